"""SessionSettle: the end of a handler's own transaction: its writes, the settle and the commit, in one go."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import Session

from jobloop import statements
from jobloop.arrays import Settled, Shape
from jobloop.claim import Claim
from jobloop.queue import JobQueue
from jobloop.settlement import Settlement
from jobloop.settles import Contested, Settles, role_of
from jobloop.status import Role
from jobloop.transaction import NO_SYNC


class SessionSettle:
    """Settles claims in the session that their handler was given."""

    def __init__(self, queue: JobQueue, engine: AsyncEngine, settles: Settles) -> None:
        self._queue = queue
        self._engine = engine.sync_engine
        self._settles = settles
        self._statements: dict[Shape, sa.UpdateBase] = {}

    async def write(self, session: AsyncSession, settlements: Sequence[Settled]) -> Contested:
        """Flush, settle and commit; if a claim did not hold, roll back instead. Closes the session."""
        return await session.run_sync(self._write, settlements)  # one greenlet for all its steps

    def _write(self, session: Session, settlements: Sequence[Settled]) -> Contested:
        session.flush()  # before the settle, which keeps a status that the handler set
        # Not as the session's class may route it: to a replica, or into another transaction than the handler's.
        connection = session.connection(bind_arguments={"bind": self._engine})
        contested = Contested()
        if len(settlements) == 1:
            self._settle_one(connection, *settlements[0], contested)
        else:
            for settle in self._settles.of(settlements):
                answer = connection.execute(settle.statement, settle.binds, execution_options=NO_SYNC)
                settle.tell(answer.all(), contested)
        if contested.lost:
            session.rollback()
        else:
            session.commit()
        session.close()
        return contested

    def _settle_one(
        self, connection: sa.Connection, claim: Claim, settlement: Settlement, contested: Contested
    ) -> None:
        """By statements on one row, whose plans the server keeps."""
        row = self._row(connection, claim, settlement)
        if row is None:
            contested.tell(claim, None, is_held=False)
        elif (role := role_of(row[-1])) is not settlement.to:
            contested.tell(claim, role)

    def _row(self, connection: sa.Connection, claim: Claim, settlement: Settlement) -> Any | None:
        is_plain = settlement.to is Role.COMPLETE and not settlement.values
        if is_plain and (driver := _in_transaction(connection)) is not None:  # nearly every row
            return self._completing.row(driver, claim)
        names = tuple(sorted(settlement.values))
        binds = {f"key_{i}": value for i, value in enumerate(self._queue.key_values(claim.key))}
        binds |= {f"value_{i}": settlement.values[name] for i, name in enumerate(names)}
        binds["token"] = claim.token
        if settlement.to is not Role.COMPLETE:
            binds |= {"error": settlement.error, "counted": int(settlement.counted)}
        if settlement.to is Role.QUEUED:
            binds |= {"delay_seconds": settlement.delay_seconds, "until": settlement.until}
        return connection.execute(self._statement(settlement.to, names), binds).first()

    @cached_property
    def _completing(self) -> _Driven:
        return _Driven(self._statement(Role.COMPLETE, ()), self._queue, self._engine.dialect)

    def _statement(self, to: Role, names: tuple[str, ...]) -> sa.UpdateBase:
        statement = self._statements.get((to, names))
        if statement is None:
            statement = self._statements[to, names] = statements.settle_one(self._queue, to, names)
        return statement


class _Driven:
    """A statement on a key and a token, compiled once and run on asyncpg itself."""

    def __init__(self, statement: sa.UpdateBase, queue: JobQueue, dialect: sa.Dialect) -> None:
        compiled: Any = statement.compile(dialect=dialect)
        self._sql: str = compiled.string
        self._queue = queue
        # What SQLAlchemy would do to each value on its way to the driver; None for uuid, int and text.
        convert = {
            f"key_{i}": column.type.dialect_impl(dialect).bind_processor(dialect)
            for i, column in enumerate(queue.columns.key)
        }
        places = {name: i for i, name in enumerate((*convert, "token"))}
        self._binds = [(places[name], convert.get(name)) for name in compiled.positiontup]

    def row(self, driver: Any, claim: Claim) -> Any | None:
        values = (*self._queue.key_values(claim.key), claim.token)
        arguments = [values[i] if convert is None else convert(values[i]) for i, convert in self._binds]
        return driver.run_async(lambda connection: connection.fetchrow(self._sql, *arguments))


def _in_transaction(connection: sa.Connection) -> Any | None:
    """The driver's connection, if a transaction is open on it; SQLAlchemy begins one with its own first statement.

    None too where SQLAlchemy has to translate schemas, which our text for the driver names as they are in the model.
    """
    if connection.get_execution_options().get("schema_translate_map"):
        return None
    driver: Any = connection.connection.dbapi_connection
    return driver if driver.driver_connection.is_in_transaction() else None
