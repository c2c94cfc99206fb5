"""Store: runs the statements of one queue, each in one short transaction of its own.

READ COMMITTED whatever the engine's default, because SKIP LOCKED under REPEATABLE READ fails after any concurrent
claim. A statement that a user's transaction made fail (deadlock, serialization, lock timeout) is run again.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession

from jobloop import statements
from jobloop.claim import Claim
from jobloop.errors import TableUnfit
from jobloop.queue import JobQueue
from jobloop.session_settle import SessionSettle
from jobloop.settlement import Settlement
from jobloop.status import Role

log = logging.getLogger("jobloop")

_DEADLOCK, _SERIALIZATION, _LOCK_NOT_AVAILABLE = "40P01", "40001", "55P03"
#: A column changed its type since the driver prepared the statement; it prepares it again.
_STALE_PLAN = "0A000"
_TRANSIENT = frozenset({_DEADLOCK, _SERIALIZATION, _LOCK_NOT_AVAILABLE, _STALE_PLAN})
_UNDEFINED_COLUMN, _UNDEFINED_TABLE = "42703", "42P01"
_MOST_TRIES = 8
_FIRST = itemgetter(0)

#: What tells one settle statement from another: the role, and the value columns that it writes.
_Shape = tuple[Role, tuple[str, ...]]


class Store:
    """The database side of one queue. Holds no connection between calls."""

    def __init__(self, queue: JobQueue, engine: AsyncEngine, *, retry_share: float = 0.25) -> None:
        self.queue = queue
        self.engine = engine
        self.retry_share = retry_share
        self._claim = statements.claim(queue)
        self._probe_claim = statements.claim(queue, although_paused=True)
        self._renew = statements.renew(queue)
        self._rescue = statements.rescue(queue)
        self._settles: dict[_Shape, sa.UpdateBase] = {}
        self._alone = frozenset(column for column in queue.table.columns if statements.goes_alone(column))
        self._in_session = SessionSettle(queue, engine.dialect)
        self._isolation: str | None = None

    async def claim(self, batch_size: int, *, although_paused: bool = False) -> list[Claim]:
        """Claim up to `batch_size` due rows, in the queue's order; none while the queue is paused."""
        token = uuid4()
        rows = await self.run(
            self._probe_claim if although_paused else self._claim,
            {
                "batch_size": batch_size,
                "retry_share": share_of(batch_size, self.retry_share),
                "token": token,
                "lease_seconds": self.queue.lease.total_seconds(),
            },
        )
        in_order = sorted(rows, key=_FIRST)
        if len(self.queue.columns.key) == 1:
            return [Claim(row[2], token, row[1], row) for row in in_order]
        return [Claim(self.queue.key_of(row[2:]), token, row[1], row) for row in in_order]

    async def settle(self, settlements: Iterable[tuple[Claim, Settlement]]) -> dict[Any, Role | None]:
        """Write the outcomes; one statement for each role and set of value columns among them.

        Returns {key: role} of the rows whose claim still held: the settlement's role; or the end that the handler
        itself wrote; or None, where a user re-queued or cancelled the row meanwhile and that stands.
        """
        settled: dict[Any, Role | None] = {}
        for shape, group in by_shape(settlements).items():
            for some in [group] if not self._alone_in(shape) else [[each] for each in group]:
                settled.update(self._settled(await self.run(self._settle(shape), self._settle_binds(shape, some))))
        return settled

    async def settle_in(self, session: AsyncSession, claim: Claim, settlement: Settlement) -> tuple[bool, Role | None]:
        """Write one outcome in the handler's own transaction and commit; roll back if the claim did not hold.

        Returns (whether the claim held, role as in `settle`). Closes the session.
        """
        row = await self._in_session.write(session, claim, settlement)
        return row is not None, None if row is None else _ROLES[row[-1]]

    async def renew(self, claims: Sequence[Claim]) -> set[Claim]:
        """Renew the leases of `claims`; returns those that still hold.

        A worker that slept past its lease may have claimed a row again that it lost: two claims, one of them held.
        """
        binds = {**self._claim_binds(claims), "lease_seconds": self.queue.lease.total_seconds()}
        rows = await self.run(self._renew, binds)
        held = {(self.queue.key_of(row), row[-1]) for row in rows}
        return {claim for claim in claims if (claim.key, claim.token) in held}

    async def rescue(self, batch_size: int = 1000) -> tuple[int, int]:
        """Take back rows of lost workers; returns (rows put back into the queue, rows given up as poison)."""
        rows = await self.run(self._rescue, {"batch_size": batch_size, "max_rescues": self.queue.max_rescues})
        poison = sum(1 for row in rows if row.is_poison)
        return len(rows) - poison, poison

    # -- one statement, one transaction ---------------------------------------------------------------------------

    async def run(self, statement: sa.Executable, binds: Mapping[str, Any]) -> Sequence[Any]:
        """Run `statement` in a transaction of its own, again if a deadlock or the like ended it; returns its rows.

        Raises `TableUnfit` for a missing table or column, else what SQLAlchemy raises.
        """
        for attempt in range(1, _MOST_TRIES + 1):
            try:
                return await self._run_once(statement, binds)
            except DBAPIError as exc:
                if sqlstate(exc) in (_UNDEFINED_COLUMN, _UNDEFINED_TABLE):
                    raise self._unfit(exc) from exc
                if sqlstate(exc) not in _TRANSIENT or attempt == _MOST_TRIES:
                    raise
                log.info("%s: %s, trying the statement again", self.queue.name, sqlstate(exc))
                await asyncio.sleep(random.uniform(0, 0.01 * 2**attempt))
        raise AssertionError("unreachable")

    async def _run_once(self, statement: sa.Executable, binds: Mapping[str, Any]) -> Sequence[Any]:
        async with self.engine.connect() as connection:
            await connection.execution_options(isolation_level=await self._isolation_level(connection))
            result = await connection.execute(statement, dict(binds), execution_options=_NO_SYNC)
            rows = result.all()
            await connection.commit()
            return rows

    async def _isolation_level(self, connection: AsyncConnection) -> str:
        """AUTOCOMMIT saves two round trips, but takes the server's own level: only where that is the right one.

        And not behind a transaction pooler: it deals out a session a transaction, and without a transaction around them
        a statement is prepared in one session and executed in another, which does not know it.
        """
        if self._isolation is None:
            default = await connection.scalar(sa.text("SHOW default_transaction_isolation"))
            await connection.rollback()
            is_alone = default == "read committed" and not await _is_pooled(connection)
            self._isolation = "AUTOCOMMIT" if is_alone else "READ COMMITTED"
        return self._isolation

    def _unfit(self, exc: DBAPIError) -> TableUnfit:
        words = str(exc.orig).rpartition(": ")[2]
        return TableUnfit(self.queue.table.fullname, (f"PostgreSQL says: {words}. Run the migrations.",))

    # -- the arrays that the statements take --------------------------------------------------------------------

    def _settle(self, shape: _Shape) -> sa.UpdateBase:
        statement = self._settles.get(shape)
        if statement is None:
            statement = self._settles[shape] = statements.settle(self.queue, *shape)
        return statement

    def _settle_binds(self, shape: _Shape, group: Sequence[tuple[Claim, Settlement]]) -> dict[str, Any]:
        to, names = shape
        binds: dict[str, Any] = self._claim_binds([claim for claim, _ in group])
        said = [settlement for _, settlement in group]
        if to is not Role.COMPLETE:
            binds["error"] = [each.error for each in said]
            binds["counted"] = [int(each.counted) for each in said]
        if to is Role.QUEUED:
            binds["delay_seconds"] = [each.delay_seconds for each in said]
            binds["until"] = [each.until for each in said]
        for i, name in enumerate(names):
            binds[f"value_{i}"] = [each.values[name] for each in said]
        for name in self._alone_in(shape):
            (binds[name],) = binds[name]
        return binds

    def _alone_in(self, shape: _Shape) -> list[str]:
        """The binds of values that are not passed as arrays, and so only for one row at a time."""
        if not self._alone:
            return []
        return [f"value_{i}" for i, name in enumerate(shape[1]) if self.queue.value_column(name) in self._alone]

    def _claim_binds(self, claims: Collection[Claim]) -> dict[str, list[Any]]:
        keys = [self.queue.key_values(claim.key) for claim in claims]
        binds: dict[str, list[Any]] = {f"key_{i}": list(column) for i, column in enumerate(zip(*keys, strict=True))}
        binds["token"] = [claim.token for claim in claims]
        return binds

    def _settled(self, rows: Iterable[Any]) -> dict[Any, Role | None]:
        if len(self.queue.columns.key) == 1:
            return {row[0]: _ROLES[row[1]] for row in rows}
        return {self.queue.key_of(row): _ROLES[row[-1]] for row in rows}


_ROLES: Mapping[str | None, Role | None] = {None: None, **{role.value: role for role in Role}}


def by_shape(settlements: Iterable[tuple[Claim, Settlement]]) -> dict[_Shape, list[tuple[Claim, Settlement]]]:
    """Settlements that one statement can write: the same role, the same value columns."""
    groups: dict[_Shape, list[tuple[Claim, Settlement]]] = defaultdict(list)
    for claim, settlement in settlements:
        names = tuple(sorted(settlement.values)) if settlement.values else ()
        groups[settlement.to, names].append((claim, settlement))
    return groups


#: Rows are plain tuples here: no ORM state to bring up to date.
_NO_SYNC: Mapping[str, Any] = {"synchronize_session": False}


def share_of(batch_size: int, share: float) -> int:
    """How many due retries go before fresh rows: a `share` of the batch; of small batches, that often at least one."""
    whole, rest = divmod(batch_size * share, 1)
    return int(whole) if whole >= 1 else int(random.random() < rest)


async def _is_pooled(connection: AsyncConnection) -> bool:
    """True if the engine keeps no prepared statements, as it must behind a transaction pooler."""
    raw = await connection.get_raw_connection()
    return getattr(raw.dbapi_connection, "_prepared_statement_cache", True) is None


def sqlstate(exc: DBAPIError) -> str | None:
    """PostgreSQL's five-character code behind a SQLAlchemy error, if there is one."""
    for error in (exc.orig, getattr(exc.orig, "__cause__", None)):  # SQLAlchemy does not copy it to each of its own
        if code := getattr(error, "sqlstate", None) or getattr(error, "pgcode", None):
            return str(code)
    return None
