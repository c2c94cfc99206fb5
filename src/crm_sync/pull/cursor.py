"""Cursor: how far a stream has come, held by one run at a time.

What a run fetched and where it stands are written in one transaction, which fails when another run took the stream
over: a run that was frozen or cut off for longer than its hold cannot write over what came after it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from crm_sync.errors import PullError, StreamBusyError
from crm_sync.models import SyncCursor
from crm_sync.pull import cursor_statements as statements
from crm_sync.pull.window import Window

#: A run that is not heard of for so long has lost its stream.
HOLD_SECONDS = 60.0


class StreamLostError(PullError):
    """Another run took the stream over; what this one had not written yet is that one's to fetch."""


@dataclass(slots=True)
class Cursor:
    """A stream's row of `sync_cursors`, as it stands after the last transaction."""

    stream: str
    holder: UUID
    hold_seconds: float = HOLD_SECONDS
    synced_to: datetime | None = None
    passes: tuple[str, ...] = ()
    position: dict[str, Any] = field(default_factory=dict)
    window_from: datetime | None = None
    window_to: datetime | None = None
    full_at: datetime | None = None
    archived_at: datetime | None = None
    associations_at: datetime | None = None

    async def move(self, connection: AsyncConnection, **changes: Any) -> None:
        """Set columns, in the caller's transaction. Raises StreamLostError, and the caller rolls back."""
        written = dict(changes)
        if "passes" in written:
            written["passes"] = list(written["passes"])
        values = {f"new_{name}": value for name, value in written.items()}
        held = await connection.execute(
            statements.hold_cursor(tuple(written)), {**_hold(self.stream, self.holder, self.hold_seconds), **values}
        )
        if held.one_or_none() is None:
            raise StreamLostError(f"Another run took the stream {self.stream} over; this one ends.")
        for name, value in changes.items():
            setattr(self, name, value)

    @property
    def window(self) -> Window:
        """The changes that the run under way fetches. Raises PullError without one."""
        if self.window_from is None or self.window_to is None:
            raise PullError(f"The cursor of {self.stream} has passes but no window; `crm-sync pull reset` clears it.")
        return Window(self.window_from, self.window_to)


class Cursors:
    """The rows of `sync_cursors`. `hold_seconds` is how long a run that is not heard of keeps its stream."""

    def __init__(self, engine: AsyncEngine, *, hold_seconds: float = HOLD_SECONDS) -> None:
        self._engine = engine
        self._hold_seconds = hold_seconds

    @asynccontextmanager
    async def held(self, stream: str) -> AsyncIterator[Cursor]:
        """The stream's cursor, held and renewed until the end. Raises StreamBusyError."""
        holder = uuid4()
        renewal = asyncio.create_task(self._renew(stream, holder), name=f"hold {stream}")
        try:
            yield await self._take(stream, holder)
        finally:
            renewal.cancel()
            await asyncio.gather(renewal, return_exceptions=True)
            # Also after a cancellation in the midst of taking it: what another run holds is left alone.
            await asyncio.shield(self._release(stream, holder))

    async def read(self, stream: str) -> Cursor:
        """The cursor as it stands, for looking only."""
        async with self._engine.connect() as connection:
            found = await connection.execute(sa.select(SyncCursor.__table__).where(SyncCursor.stream == stream))
            row = found.mappings().one_or_none()
        return _cursor({"stream": stream, **(row or {}), "holder": uuid4()})

    async def _take(self, stream: str, holder: UUID) -> Cursor:
        seconds = self._hold_seconds
        values = {"stream": stream, "holder": holder, "seconds": seconds, "timeout_ms": _ms(seconds)}
        async with self._engine.begin() as connection:
            row = (await connection.execute(statements.take_cursor(), values)).mappings().one_or_none()
            if row is not None:
                return _cursor({**row, "hold_seconds": self._hold_seconds})
            held_until = await connection.scalar(sa.select(SyncCursor.held_until).where(SyncCursor.stream == stream))
        raise StreamBusyError(stream, held_until)

    async def _renew(self, stream: str, holder: UUID) -> None:
        """Waits for HubSpot can be long. A database that is away for a moment is no reason to give up."""
        values = _hold(stream, holder, self._hold_seconds)
        while True:
            await asyncio.sleep(self._hold_seconds / 3)
            try:
                async with self._engine.begin() as connection:
                    await connection.execute(statements.hold_cursor(), values)
            except (sa.exc.DBAPIError, OSError):
                continue

    async def _release(self, stream: str, holder: UUID) -> None:
        """Without it, whoever comes next waits until the hold ends by itself."""
        try:
            async with self._engine.begin() as connection:
                values = {"of_stream": stream, "of_holder": holder, "timeout_ms": _ms(self._hold_seconds)}
                await connection.execute(statements.release_cursor(), values)
        except (sa.exc.DBAPIError, OSError):
            return


def _hold(stream: str, holder: UUID, seconds: float) -> dict[str, Any]:
    return {"of_stream": stream, "of_holder": holder, "seconds": seconds, "timeout_ms": _ms(seconds)}


def _ms(seconds: float) -> str:
    """As PostgreSQL takes a setting."""
    return str(max(int(seconds * 1000), 1))


def _cursor(row: Mapping[Any, Any]) -> Cursor:
    names = Cursor.__slots__
    values = {name: row[name] for name in names if row.get(name) is not None}
    return Cursor(**{**values, "passes": tuple(row.get("passes") or ()), "position": dict(row.get("position") or {})})
