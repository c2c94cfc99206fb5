"""CursorRows: the rows of `sync_cursors` as an operator looks at them and resets them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from crm_sync.errors import StreamBusyError
from crm_sync.models import SyncCursor

_TABLE = SyncCursor.__table__
_NOW = sa.func.clock_timestamp()
#: What stands between a stream and one of its parts: forms/0b5a…, email-events/OPEN.
_PART = "/"


@dataclass(frozen=True, slots=True)
class CursorRow:
    """How far a stream is; `held_until` None: no run works on it. The other names are those of the table."""

    stream: str
    synced_to: datetime | None
    full_at: datetime | None
    archived_at: datetime | None
    associations_at: datetime | None
    passes: list[str]
    held_until: datetime | None
    updated_at: datetime

    def as_dict(self) -> dict[str, Any]:
        return {
            name: value.isoformat() if isinstance(value, datetime) else value for name, value in asdict(self).items()
        }


class CursorRows:
    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def read(self, *, parts: bool = False) -> list[CursorRow]:
        """Those of the streams, and of their parts if wanted."""
        held = sa.case((SyncCursor.held_until > _NOW, SyncCursor.held_until)).label("held_until")
        columns = [held if name == "held_until" else _TABLE.c[name] for name in CursorRow.__slots__]
        statement = sa.select(*columns).order_by(SyncCursor.stream)
        if not parts:
            statement = statement.where(~SyncCursor.stream.contains(_PART))
        async with self._engine.connect() as connection:
            return [CursorRow(**row) for row in (await connection.execute(statement)).mappings()]

    async def is_held(self, stream: str) -> bool:
        """Whether a run works on the stream now."""
        statement = sa.select(SyncCursor.held_until > _NOW).where(SyncCursor.stream == stream)
        async with self._engine.connect() as connection:
            return bool(await connection.scalar(statement))

    async def reset(self, streams: Sequence[str]) -> list[str]:
        """Forget how far these streams are, all or none; returns those of which anything was known.

        Raises StreamBusyError while a run holds one of them.
        """
        wanted = sa.func.split_part(SyncCursor.stream, _PART, 1).in_(streams)
        lock = sa.select(SyncCursor.stream, SyncCursor.held_until, _NOW.label("now")).where(wanted).with_for_update()
        async with self._engine.begin() as connection:
            rows = (await connection.execute(lock)).all()
            for row in rows:
                if row.held_until is not None and row.held_until > row.now:
                    raise StreamBusyError(row.stream, row.held_until)
            await connection.execute(sa.delete(SyncCursor).where(wanted))
        known = {row.stream.split(_PART)[0] for row in rows}
        return [stream for stream in streams if stream in known]
