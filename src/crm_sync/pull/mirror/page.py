"""A page of records as the mirror takes it: columns of values, and what there is to say about them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Issue:
    """A value that the mirror could not keep as HubSpot has it; at most one for a property of a record.

    property  HubSpot's name; `createdAt` and the like for the record's own times
    value     the raw text, cut at 200 characters, with U+FFFD for what PostgreSQL cannot hold
    reason    why, without the value, so that equal faults can be counted; several are joined by "; "
    """

    record_id: int
    property: str
    value: str
    reason: str


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """The value that a property got at `changed_at`; None: it was cleared.

    position  0 for the oldest change of the property at that moment, 1 for the next: HubSpot's clock has milliseconds
    """

    record_id: int
    property: str
    value: str | None
    changed_at: datetime
    source_type: str | None
    source_id: str | None
    position: int = 0


@dataclass(frozen=True, slots=True)
class MirrorPage:
    """Rows of one mirror table, one for each record id, in the order of their ids.

    Writers that take their rows in one order wait for each other instead of deadlocking.

    columns  column → its values, one for each row: hubspot_id, every typed column, `properties` (JSON text),
             created_at, updated_at, archived, archived_at
    merged   (old id, the id of the record it went into), each old id once
    """

    columns: Mapping[str, list[Any]]
    issues: tuple[Issue, ...] = ()
    merged: tuple[tuple[int, int], ...] = ()
    history: tuple[HistoryEntry, ...] = ()

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def ids(self) -> list[int]:
        return self.columns["hubspot_id"]
