"""RowWriter: rows of one table, written where they changed; in a dry run only compared."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from crm_sync.pull.cursor import Cursor
from crm_sync.pull.others import statements
from crm_sync.pull.report import StreamReport

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Counts:
    """What writing some rows came to."""

    rows: int = 0
    inserted: int = 0
    updated: int = 0
    archived: int = 0
    removed: int = 0

    def add_to(self, report: StreamReport) -> None:
        """To be called after the commit: what was rolled back was not done."""
        report.inserted += self.inserted
        report.updated += self.updated
        report.archived += self.archived
        report.removed += self.removed
        report.unchanged += self.rows - self.inserted - self.updated


class RowWriter:
    def __init__(self, table: sa.Table, *, dry_run: bool) -> None:
        self.table = table
        self._dry_run = dry_run
        self._names = statements.written_columns(table)
        self._keys = [column.name for column in table.primary_key.columns]
        self._put = statements.compare_rows(table) if dry_run else statements.upsert_rows(table)

    def columns(self, rows: Sequence[Row]) -> dict[str, list[Any]]:
        """The rows as arrays, of each key the last one, in the order of the keys: two writers wait for each other
        instead of deadlocking."""
        unique = {tuple(row[key] for key in self._keys): row for row in rows}
        ordered = [unique[key] for key in sorted(unique)]
        return {name: [row[name] for row in ordered] for name in self._names}

    async def put(self, connection: AsyncConnection, rows: Sequence[Row]) -> Counts:
        """A row of the table for each of `rows`, which have every column of `written_columns`."""
        if not rows:
            return Counts()
        columns = self.columns(rows)
        done = (await connection.execute(self._put, columns)).one()
        return Counts(len(columns[self._keys[0]]), done.inserted, done.updated, done.archived)

    async def others(self, connection: AsyncConnection, kept: Sequence[Any]) -> list[Any]:
        """The keys in the table that are not among `kept`."""
        return list((await connection.scalars(statements.other_keys(self.table), {"kept": list(kept)})).all())

    async def drop(self, connection: AsyncConnection, keys: Sequence[Any]) -> Counts:
        if keys and not self._dry_run:
            await connection.execute(statements.drop_rows(self.table), {"keys": list(keys)})
        return Counts(removed=len(keys))


@asynccontextmanager
async def step(engine: AsyncEngine, cursor: Cursor, *, dry_run: bool, **moves: Any) -> AsyncIterator[AsyncConnection]:
    """A transaction that moves the cursor; in a dry run a connection, and the cursor is moved for this run alone.

    Raises StreamLostError, and nothing is written, when another run has the stream now.
    """
    if not dry_run:
        async with engine.begin() as connection:
            await cursor.move(connection, **moves)  # first of all, so that two runs never write side by side
            yield connection
        return
    async with engine.connect() as connection:
        yield connection
    for name, value in moves.items():
        setattr(cursor, name, value)
