"""Store: runs the statements of one queue, each in one short transaction of its own."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from asyncpg.pgproto import pgproto
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from jobloop import statements
from jobloop.arrays import Settled, claim_arrays
from jobloop.claim import Claim
from jobloop.errors import TableUnfit
from jobloop.queue import JobQueue
from jobloop.reader import Reader
from jobloop.refusal import blames_data, hides_column, is_absent
from jobloop.session_settle import SessionSettle
from jobloop.settles import Contested, Settles
from jobloop.transaction import Transactions, loaded, records, rows

log = logging.getLogger("jobloop")


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
        self._goes_by_place = True
        self._claims = self._claims_of()
        self._renew = statements.renew(queue)
        self._rescue = statements.rescue(queue)
        self._settles = Settles(queue)
        self._in_session = SessionSettle(queue, engine, self._settles)
        self._reader = Reader(queue, engine.dialect, entities=entities)
        self._transactions = Transactions(queue, engine)

    async def claim(self, batch_size: int, *, although_paused: bool = False) -> list[Claim]:
        """Claim up to `batch_size` due rows, in the queue's order; none while the queue is paused."""
        token = pgproto.UUID(uuid4().bytes)  # which the driver need not convert for every row of a settle
        binds = {
            "batch_size": batch_size,
            "retry_share": share_of(batch_size, self.retry_share),
            "token": token,
            "lease_seconds": self.queue.lease.total_seconds(),
        }
        claims = self._reader.of_records(*await self._claimed(although_paused, binds), token)
        await self._load(claims)
        return claims

    async def _claimed(self, although_paused: bool, binds: Mapping[str, Any]) -> tuple[list[Any], list[int]]:
        """The records of a claim; by key from then on where a row's place cannot be read."""
        try:
            return await self._transactions.run(self._claims[although_paused], binds, records)
        except (TableUnfit, DBAPIError) as exc:
            if not self._goes_by_place or not hides_column(exc):
                raise
        by_key = self._claims_of(by_place=False)
        found = await self._transactions.run(by_key[although_paused], binds, records)
        self._claims, self._goes_by_place = by_key, False
        log.info("%s: a row's place (ctid) cannot be read here, claims go by key", self.queue.name)
        return found

    def _claims_of(self, *, by_place: bool = True) -> dict[bool, sa.UpdateBase]:
        """The claim, and the one of a probe (True)."""
        return {
            probes: statements.claim(self.queue, although_paused=probes, by_place=by_place) for probes in (False, True)
        }

    async def reread(self, claims: Sequence[Claim]) -> list[Claim]:
        """Give `claims` the records of their rows as they are now; returns those that still hold."""
        binds = claim_arrays(self.queue, claims)
        found = await self._transactions.run(statements.claimed(self.queue), binds, records)
        now = {claim.key: claim for claim in self._reader.of_records(*found, claims[0].token)}
        held = [claim for claim in claims if claim.key in now]
        for claim in held:
            claim.record, claim.read = now[claim.key].record, now[claim.key].read
        await self._load(held)
        return held

    async def _load(self, claims: Sequence[Claim]) -> None:
        """Give claims the entities that only SQLAlchemy can load.

        Not in the claim's own statement: rows are claimed by then, and one that cannot be loaded, of a class that this
        worker does not know, would take the others along. It is found by halves, and fails when it is read.
        """
        if not self._reader.needs_orm or not claims:
            return
        loading = statements.claimed_entities(self.queue)
        try:
            found = await self._transactions.run(loading, claim_arrays(self.queue, claims), loaded)
        except Exception as exc:
            if (isinstance(exc, DBAPIError) and not blames_data(exc)) or is_absent(exc):
                raise
            if middle := len(claims) // 2:
                await self._load(claims[:middle])
                await self._load(claims[middle:])
            else:
                claims[0].read = _raising(exc)
            return
        entities = {self.queue.key_of(row): row[-1] for row in found}
        for claim in claims:
            claim.record = entities.get(claim.key)
            claim.read = _raising(LookupError("the row is gone")) if claim.record is None else _as_is

    async def settle(self, settlements: Sequence[Settled]) -> Contested:
        """Write the outcomes; one statement for each role and set of value columns among them."""
        contested = Contested()
        for settle in self._settles.of(settlements):
            settle.tell(await self.run(settle.statement, settle.binds), contested)
        return contested

    def together(self, settlements: Sequence[Settled]) -> Iterator[Sequence[Settled]]:
        """`settlements` in groups that one statement each writes: what one of them meets says nothing of the others."""
        return self._settles.together(settlements)

    async def settle_in(self, session: AsyncSession, settlements: Sequence[Settled]) -> Contested:
        """Write the outcomes in the handler's own transaction and commit; roll back if any claim was lost.

        Closes the session.
        """
        return await self._in_session.write(session, settlements)

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


def _as_is(value: Any) -> Any:
    return value


def _raising(exc: Exception) -> Callable[[Any], Any]:
    def read(_: Any) -> Any:
        raise exc

    return read


def share_of(batch_size: int, share: float) -> int:
    """How many due retries go before fresh rows: a `share` of the batch; of small batches, that often at least one."""
    whole, rest = divmod(batch_size * share, 1)
    return int(whole) if whole >= 1 else int(random.random() < rest)
