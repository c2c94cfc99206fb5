"""Parts: a stream that has a cursor for each of its parts, such as forms, or types of events.

Whoever holds the stream's own cursor may take all of its parts', without asking who held them: that one holds the
stream no more, and its next write is refused. So 310 cursors are taken with one statement and given back with one, and
those of a run that was killed stand in nobody's way.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import fields
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from crm_sync.pull.cursor import Cursor, Cursors
from crm_sync.pull.others import statements
from crm_sync.pull.wish import Wants, Wish

#: What the stream's own cursor says while its parts are read from scratch.
_FULL = "full"


@asynccontextmanager
async def held(cursors: Cursors, stream: str, wish: Wish) -> AsyncIterator[Cursor]:
    """The stream's cursor, held; in a dry run as it stands. Raises StreamBusyError."""
    if wish.dry_run:
        yield await cursors.read(stream)
        return
    async with cursors.held(stream) as cursor:
        yield cursor


class Parts:
    """The cursors of the parts of a stream, whose own is `stream`: `email-events/OPEN` is that of the part OPEN."""

    def __init__(self, engine: AsyncEngine, stream: Cursor, *, dry_run: bool) -> None:
        self._engine = engine
        self._stream = stream
        self._dry_run = dry_run

    @asynccontextmanager
    async def taken(self, parts: Iterable[str]) -> AsyncIterator[Mapping[str, Cursor]]:
        """The cursors by part, held; in a dry run as they stand, and nothing half done. Raises StreamLostError."""
        names = {self._name(part): part for part in parts}
        if self._dry_run:
            found = await self._read(list(names))
            yield {part: found.get(name) or Cursor(name, self._stream.holder) for name, part in names.items()}
            return
        values = {"names": list(names), "holder": self._stream.holder, "seconds": self._stream.hold_seconds}
        async with self._engine.begin() as connection:
            await self._stream.move(connection)
            rows = (await connection.execute(statements.take_parts(), values)).mappings().all()
        try:
            yield {names[row["stream"]]: _cursor(row, self._stream) for row in rows}
        finally:
            await asyncio.shield(self._release(list(names)))

    async def from_scratch(self, wish: Wish) -> bool:
        """Whether each part whose `full_at` is null is to be read from end to end; in a dry run, every part.

        The stream's cursor remembers it until `finished`, so that a full run that was cut off does not begin again with
        parts it had done.
        """
        if wish.since is not None:
            return False
        if self._dry_run:
            return wish.wants is Wants.FULL
        if wish.wants is Wants.FULL and not self._stream.passes:
            async with self._engine.begin() as connection:
                await self._stream.move(connection, passes=(_FULL,))
                await connection.execute(statements.restart_parts(), {"prefix": self._name("")})
        return bool(self._stream.passes)

    def finished(self, *, full: bool, synced_to: datetime) -> dict[str, Any]:
        """What the stream's cursor says once every part is done."""
        done: dict[str, Any] = {"passes": (), "full_at": synced_to} if full else {}
        return {**done, "synced_to": synced_to}

    async def forget(self, connection: AsyncConnection, parts: Iterable[str]) -> None:
        await connection.execute(statements.forget_parts(), {"names": [self._name(part) for part in parts]})

    async def _read(self, names: list[str]) -> dict[str, Cursor]:
        async with self._engine.connect() as connection:
            rows = (await connection.execute(statements.read_parts(), {"names": names})).mappings().all()
        found = {row["stream"]: _cursor(row, self._stream) for row in rows}
        for cursor in found.values():
            cursor.passes, cursor.position = (), {}
        return found

    async def _release(self, names: list[str]) -> None:
        """Only for whoever looks at the cursors: the next run takes them as they are."""
        try:
            async with self._engine.begin() as connection:
                values = {"names": names, "of_holder": self._stream.holder}
                await connection.execute(statements.release_parts(), values)
        except (sa.exc.DBAPIError, OSError):
            return

    def _name(self, part: str) -> str:
        return f"{self._stream.stream}/{part}"


def _cursor(row: Mapping[Any, Any], stream: Cursor) -> Cursor:
    given = {one.name: row[one.name] for one in fields(Cursor) if row.get(one.name) is not None}
    own = {"holder": stream.holder, "hold_seconds": stream.hold_seconds}
    return Cursor(**{**given, **own, "passes": tuple(row["passes"]), "position": dict(row["position"])})
