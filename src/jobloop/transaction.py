"""Transactions: one statement, one short transaction, run again if a user's transaction made it fail.

READ COMMITTED whatever the engine's default, because SKIP LOCKED under REPEATABLE READ fails after any concurrent
claim.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.orm import Session
from sqlalchemy.util import greenlet_spawn

from jobloop.errors import TableUnfit
from jobloop.queue import JobQueue

log = logging.getLogger("jobloop")
T = TypeVar("T")

_DEADLOCK, _SERIALIZATION, _LOCK_NOT_AVAILABLE = "40P01", "40001", "55P03"
#: A column changed its type since the driver prepared the statement; it prepares it again.
_STALE_PLAN = "0A000"
#: What another transaction brings about by chance: the same statement may pass the next time.
TRANSIENT = frozenset({_DEADLOCK, _SERIALIZATION, _LOCK_NOT_AVAILABLE, _STALE_PLAN})
_UNDEFINED_COLUMN, _UNDEFINED_TABLE = "42703", "42P01"
_MOST_TRIES = 8
#: Rows are plain tuples here: no ORM state to bring up to date.
NO_SYNC: Mapping[str, Any] = {"synchronize_session": False}

Statement = sa.Executable
Binds = Mapping[str, Any]


def rows(connection: sa.Connection, statement: Statement, binds: Binds) -> Sequence[Any]:
    """The rows of a statement, as SQLAlchemy makes them."""
    return connection.execute(statement, dict(binds), execution_options=NO_SYNC).all()


def records(connection: sa.Connection, statement: Statement, binds: Binds) -> tuple[list[Any], list[int]]:
    """The rows as the driver made them, unconverted, and the oid of each column's type."""
    result = connection.execute(statement, dict(binds), execution_options=NO_SYNC)
    cursor: Any = result.cursor
    found, types = list(cursor.fetchall()), [column[1] for column in cursor.description]
    result.close()
    return found, types


def loaded(connection: sa.Connection, statement: Statement, binds: Binds) -> Sequence[Any]:
    """The rows of `select(…, Model).from_statement(…)`, their entities loaded by SQLAlchemy and detached."""
    with Session(bind=connection, autoflush=False) as session:
        found = session.execute(statement, dict(binds)).all()  # with its relationships left unloaded
        session.expunge_all()
        session.commit()
        return found


class Transactions:
    """Runs statements on connections of an engine's pool; holds none between calls."""

    def __init__(self, queue: JobQueue, engine: AsyncEngine) -> None:
        self._queue = queue
        self._engine = engine
        self._isolation: str | None = None

    async def run(self, statement: Statement, binds: Binds, fetch: Callable[[sa.Connection, Statement, Binds], T]) -> T:
        """Run `statement` in a transaction of its own, again if a deadlock or the like ended it; returns its rows.

        Raises `TableUnfit` for a missing table or column, else what SQLAlchemy raises.
        """
        for attempt in range(1, _MOST_TRIES + 1):
            try:
                # All steps in one greenlet: each of AsyncConnection's own costs as much as the query's round trip.
                return await greenlet_spawn(self._run, statement, binds, fetch)
            except DBAPIError as exc:
                if sqlstate(exc) in (_UNDEFINED_COLUMN, _UNDEFINED_TABLE):
                    raise self._unfit(exc) from exc
                if sqlstate(exc) not in TRANSIENT or attempt == _MOST_TRIES:
                    raise
                log.info("%s: %s, trying the statement again", self._queue.name, sqlstate(exc))
                await asyncio.sleep(random.uniform(0, 0.01 * 2**attempt))
        raise AssertionError("unreachable")

    def _run(self, statement: Statement, binds: Binds, fetch: Callable[[sa.Connection, Statement, Binds], T]) -> T:
        with self._engine.sync_engine.connect() as connection:
            connection.execution_options(isolation_level=self._isolation_level(connection))
            found = fetch(connection, statement, binds)
            connection.commit()
            return found

    def _isolation_level(self, connection: sa.Connection) -> Any:
        """AUTOCOMMIT saves two round trips, but takes the server's own level: only where that is the right one.

        And not behind a transaction pooler: it deals out a session a transaction, and without a transaction around them
        a statement is prepared in one session and executed in another, which does not know it.
        """
        if self._isolation is None:
            default = connection.scalar(sa.text("SHOW default_transaction_isolation"))
            connection.rollback()
            is_alone = default == "read committed" and not _is_pooled(connection)
            self._isolation = "AUTOCOMMIT" if is_alone else "READ COMMITTED"
        return self._isolation

    def _unfit(self, exc: DBAPIError) -> TableUnfit:
        words = str(exc.orig).rpartition(": ")[2]
        return TableUnfit(self._queue.table.fullname, (f"PostgreSQL says: {words}. Run the migrations.",))


def _is_pooled(connection: sa.Connection) -> bool:
    """True if the engine keeps no prepared statements, as it must behind a transaction pooler."""
    return getattr(connection.connection.dbapi_connection, "_prepared_statement_cache", True) is None


def sqlstate(exc: BaseException) -> str | None:
    """PostgreSQL's five-character code behind an error of SQLAlchemy's or the driver's, if there is one."""
    orig = getattr(exc, "orig", None)
    for error in (exc, orig, getattr(orig, "__cause__", None)):  # SQLAlchemy does not copy it to each of its own
        if code := getattr(error, "sqlstate", None) or getattr(error, "pgcode", None):
            return str(code)
    return None
