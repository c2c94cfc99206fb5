"""Store: runs the statements of one queue, each in one short transaction of its own."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa
from asyncpg.pgproto import pgproto
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from jobloop import statements
from jobloop.arrays import PLAIN, Settled, Shape, by_shape, claim_arrays, settle_arrays
from jobloop.claim import Claim
from jobloop.queue import JobQueue
from jobloop.reader import Reader
from jobloop.session_settle import SessionSettle
from jobloop.settlement import Settlement
from jobloop.status import Role
from jobloop.transaction import Transactions, loaded, records, rows


class Store:
    """The database side of one queue. Holds no connection between calls.

    retry_share   this part of a claim goes to due retries before fresh rows
    entities      claims carry instances of the model, detached, in place of light rows
    """

    def __init__(
        self, queue: JobQueue, engine: AsyncEngine, *, retry_share: float = 0.25, entities: bool = False
    ) -> None:
        self.queue = queue
        self.engine = engine
        self.retry_share = retry_share
        self._claim = statements.claim(queue)
        self._probe_claim = statements.claim(queue, although_paused=True)
        self._renew = statements.renew(queue)
        self._rescue = statements.rescue(queue)
        self._complete_claim = statements.complete_claim(queue) if len(queue.columns.key) == 1 else None
        self._settles: dict[Shape, sa.Select[Any]] = {}
        self._alone = frozenset(column for column in queue.table.columns if statements.goes_alone(column))
        self._in_session = SessionSettle(queue, engine.dialect)
        self._reader = Reader(queue, engine.dialect, entities=entities)
        self._transactions = Transactions(queue, engine)

    async def claim(self, batch_size: int, *, although_paused: bool = False) -> list[Claim]:
        """Claim up to `batch_size` due rows, in the queue's order; none while the queue is paused."""
        token = pgproto.UUID(uuid4().bytes)  # which the driver need not convert for every row of a settle
        statement = self._probe_claim if although_paused else self._claim
        binds = {
            "batch_size": batch_size,
            "retry_share": share_of(batch_size, self.retry_share),
            "token": token,
            "lease_seconds": self.queue.lease.total_seconds(),
        }
        if self._reader.needs_orm:
            found = await self._transactions.run(statements.claim_entities(self.queue, statement), binds, loaded)
            return self._reader.of_entities(found, token)
        return self._reader.of_records(*await self._transactions.run(statement, binds, records), token)

    async def settle(self, settlements: Iterable[Settled]) -> dict[Any, Role | None]:
        """Write the outcomes; one statement for each role and set of value columns among them.

        Returns {key: role} of the rows whose claim still held: the settlement's role; or the end that the handler
        itself wrote; or None, where a user re-queued or cancelled the row meanwhile and that stands.
        """
        settled: dict[Any, Role | None] = {}
        for shape, group in by_shape(settlements).items():
            for some in [group] if not self._alone_in(shape) else [[each] for each in group]:
                settled.update(await self._settle_alike(shape, some))
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
        binds = {**claim_arrays(self.queue, claims), "lease_seconds": self.queue.lease.total_seconds()}
        rows = await self.run(self._renew, binds)
        held = {(self.queue.key_of(row), row[-1]) for row in rows}
        return {claim for claim in claims if (claim.key, claim.token) in held}

    async def rescue(self, batch_size: int = 1000) -> tuple[int, int]:
        """Take back rows of lost workers; returns (rows put back into the queue, rows given up as poison)."""
        rows = await self.run(self._rescue, {"batch_size": batch_size, "max_rescues": self.queue.max_rescues})
        poison = sum(1 for row in rows if row.is_poison)
        return len(rows) - poison, poison

    async def run(self, statement: sa.Executable, binds: Mapping[str, Any]) -> Sequence[Any]:
        """Run `statement` in a transaction of its own, again if a deadlock or the like ended it; returns its rows.

        Raises `TableUnfit` for a missing table or column, else what SQLAlchemy raises.
        """
        return await self._transactions.run(statement, binds, rows)

    async def _settle_alike(self, shape: Shape, some: Sequence[Settled]) -> dict[Any, Role | None]:
        keys = [claim.key for claim, _ in some]
        statement: sa.Select[Any]
        binds: dict[str, Any]
        if shape == PLAIN and self._complete_claim is not None and (token := _only_token(some)) is not None:
            statement, binds = self._complete_claim, {"key_0": keys, "token": token}
        else:
            statement, binds = self._settle_of(shape), settle_arrays(self.queue, shape, some)
            for name in self._alone_in(shape):
                (binds[name],) = binds[name]
        settled: dict[Any, Role | None] = dict.fromkeys(keys, shape[0])
        for place, is_held, role in await self.run(statement, binds):
            key = some[place - 1][0].key
            if is_held:
                settled[key] = _ROLES[role]
            else:
                settled.pop(key, None)
        return settled

    def _settle_of(self, shape: Shape) -> sa.Select[Any]:
        statement = self._settles.get(shape)
        if statement is None:
            statement = self._settles[shape] = statements.settle(self.queue, *shape)
        return statement

    def _alone_in(self, shape: Shape) -> list[str]:
        """The binds of values that are not passed as arrays, and so only for one row at a time."""
        if not self._alone:
            return []
        return [f"value_{i}" for i, name in enumerate(shape[1]) if self.queue.value_column(name) in self._alone]


def _only_token(some: Sequence[Settled]) -> UUID | None:
    """The token of all these claims, if one statement made them."""
    token = some[0][0].token
    return token if all(claim.token is token for claim, _ in some) else None


_ROLES: Mapping[str | None, Role | None] = {None: None, **{role.value: role for role in Role}}


def share_of(batch_size: int, share: float) -> int:
    """How many due retries go before fresh rows: a `share` of the batch; of small batches, that often at least one."""
    whole, rest = divmod(batch_size * share, 1)
    return int(whole) if whole >= 1 else int(random.random() < rest)
