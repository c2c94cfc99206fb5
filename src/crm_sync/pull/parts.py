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

from crm_sync.pull import marketing_statements as statements
from crm_sync.pull.cursor import HOLD_SECONDS, Cursor, Cursors
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


async def full_since(engine: AsyncEngine, stream: Cursor, wish: Wish, now: datetime) -> datetime | None:
    """Since when each part is to be read from scratch once; None: not at all.

    It is remembered until `finish`, so that a full run that was cut off does not begin again with parts it had done.
    """
    if wish.since is not None:
        return None
    if wish.dry_run:
        return now if wish.wants is Wants.FULL else None
    if stream.passes:
        return stream.window_to
    if wish.wants is not Wants.FULL:
        return None
    async with engine.begin() as connection:
        await stream.move(connection, passes=(_FULL,), window_to=now)
    return now


def finish(stream: Cursor, full: datetime | None, synced_to: datetime) -> dict[str, Any]:
    """What the stream's cursor says once every part is done."""
    done: dict[str, Any] = {"passes": (), "full_at": full} if full is not None else {}
    return {**done, "synced_to": synced_to}


class Parts:
    """The cursors of the parts of a stream, whose own is `stream`. That of the part X is named `prefix`/X."""

    def __init__(self, engine: AsyncEngine, stream: Cursor, prefix: str, *, dry_run: bool) -> None:
        self._engine = engine
        self._stream = stream
        self._prefix = prefix
        self._dry_run = dry_run

    @asynccontextmanager
    async def taken(self, parts: Iterable[str]) -> AsyncIterator[Mapping[str, Cursor]]:
        """The cursors by part, held; in a dry run as they stand, and nothing half done. Raises StreamLostError."""
        names = {self._name(part): part for part in parts}
        if self._dry_run:
            found = await self._read(list(names))
            yield {part: found.get(name) or Cursor(name, self._stream.holder) for name, part in names.items()}
            return
        values = {"names": list(names), "holder": self._stream.holder, "seconds": HOLD_SECONDS}
        async with self._engine.begin() as connection:
            await self._stream.move(connection)
            rows = (await connection.execute(statements.take_parts(), values)).mappings().all()
        try:
            yield {names[row["stream"]]: _cursor(row) for row in rows}
        finally:
            await asyncio.shield(self._release(list(names)))

    async def forget(self, connection: AsyncConnection, parts: Iterable[str]) -> None:
        await connection.execute(statements.forget_parts(), {"names": [self._name(part) for part in parts]})

    async def _read(self, names: list[str]) -> dict[str, Cursor]:
        async with self._engine.connect() as connection:
            rows = (await connection.execute(statements.read_parts(), {"names": names})).mappings().all()
        found = {row["stream"]: _cursor({**row, "holder": self._stream.holder}) for row in rows}
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
        return f"{self._prefix}/{part}"


def _cursor(row: Mapping[Any, Any]) -> Cursor:
    given = {one.name: row[one.name] for one in fields(Cursor) if row[one.name] is not None}
    return Cursor(**{**given, "passes": tuple(row["passes"]), "position": dict(row["position"])})
