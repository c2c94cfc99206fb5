"""Driven: a statement compiled once and run on asyncpg itself, inside a transaction that SQLAlchemy holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from jobloop.queue import JobQueue


class Driven:
    """A statement whose binds are arrays of the key and of the token, and no others."""

    def __init__(self, statement: sa.UpdateBase, queue: JobQueue, dialect: sa.Dialect) -> None:
        compiled: Any = statement.compile(dialect=dialect)
        self._sql: str = compiled.string
        self._names: list[str] = list(compiled.positiontup)
        # What SQLAlchemy would do to each value on its way to the driver; None for uuid, int and text.
        self._convert = {
            f"key_{i}": column.type.dialect_impl(dialect).bind_processor(dialect)
            for i, column in enumerate(queue.columns.key)
        }

    async def fetch(self, session: AsyncSession, binds: Mapping[str, list[Any]]) -> Sequence[Any] | None:
        """Run it in the session's transaction, after what the session still has to write; returns the driver's rows.

        None, and nothing done, where no transaction is open: SQLAlchemy begins one with its own first statement.
        """
        if session.new or session.dirty or session.deleted:
            await session.flush()
        connection = await (await session.connection()).get_raw_connection()
        driver: Any = connection.driver_connection
        if not driver.is_in_transaction():
            return None
        return await driver.fetch(self._sql, *(self._converted(name, binds[name]) for name in self._names))  # type: ignore[no-any-return]

    def _converted(self, name: str, values: list[Any]) -> list[Any]:
        convert = self._convert.get(name)
        return values if convert is None else [convert(value) for value in values]
