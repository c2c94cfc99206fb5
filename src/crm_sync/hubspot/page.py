"""Page: one page of records and where the next one begins."""

from __future__ import annotations

from dataclasses import dataclass

from crm_sync.hubspot.exchange import Json
from crm_sync.hubspot.objects import Record


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a search.

    after  what to pass for the next page; None on the last one
    total  matches in all, None where HubSpot does not count
    """

    records: tuple[Record, ...]
    after: str | None = None
    total: int | None = None

    @classmethod
    def of(cls, body: Json) -> Page:
        following = (body.get("paging") or {}).get("next") or {}
        after = following.get("after")
        total = body.get("total")
        return cls(
            records=tuple(Record.of(entry) for entry in body["results"]),
            after=str(after) if after is not None else None,
            total=int(total) if total is not None else None,
        )
