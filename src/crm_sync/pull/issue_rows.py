"""IssueRows: the values of HubSpot's that their typed column could not hold."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from crm_sync.models import SyncIssue

_TABLE = SyncIssue.__table__


@dataclass(frozen=True, slots=True)
class IssueRow:
    """A row of `sync_issues`."""

    stream: str
    record_id: int
    property: str
    value: str
    reason: str
    noticed_at: datetime

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "noticed_at": self.noticed_at.isoformat()}


async def latest_issues(engine: AsyncEngine, stream: str | None, most: int) -> tuple[int, list[IssueRow]]:
    """How many there are, and the newest of them."""
    is_wanted = sa.true() if stream is None else SyncIssue.stream == stream
    newest = (
        sa.select(*(_TABLE.c[name] for name in IssueRow.__slots__))
        .where(is_wanted)
        .order_by(SyncIssue.noticed_at.desc(), SyncIssue.stream, SyncIssue.record_id, SyncIssue.property)
        .limit(most)
    )
    async with engine.connect() as connection:
        count = await connection.scalar(sa.select(sa.func.count()).select_from(SyncIssue).where(is_wanted))
        return count or 0, [IssueRow(**row) for row in (await connection.execute(newest)).mappings()]
