"""Ranges of record ids that a listing still has to show (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

#: No record has a higher id.
LAST_ID: Final = 2**63 - 1


@dataclass(slots=True)
class Range:
    """Ids from `start` to `end`, both included. `after` is HubSpot's own word for where that begins, if it gave one."""

    start: int = 0
    end: int = LAST_ID
    after: str | None = None

    @property
    def token(self) -> str | None:
        """What to ask for. Whether HubSpot begins at `after` or behind it, nothing from `start` on is left out."""
        return self.after or (str(self.start - 1) if self.start > 0 else None)


def without(ranges: Iterable[Range], start: int, end: int, after: str | None = None) -> list[Range]:
    """`ranges` without the ids from `start` to `end`; `after` is HubSpot's word for where the rest begins."""
    left = []
    for one in ranges:
        if end < one.start or one.end < start:
            left.append(one)
            continue
        if one.start < start:
            left.append(Range(one.start, start - 1, one.after))
        if end < one.end:
            left.append(Range(end + 1, one.end, after))
    return left


def as_position(ranges: Sequence[Range]) -> dict[str, Any] | None:
    """For the cursor; None when nothing is left."""
    return {"ranges": [[one.start, one.end, one.after] for one in ranges]} if ranges else None


def of_position(position: dict[str, Any]) -> list[Range]:
    """What is left to read; of an empty position, everything."""
    return [Range(*one) for one in position.get("ranges", ())] or [Range()]
