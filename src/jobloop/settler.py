"""Settler: gathers the outcomes of many workers and writes them together."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Sequence

from jobloop.arrays import Settled
from jobloop.claim import Claim
from jobloop.interrupt import to_the_end
from jobloop.lease import LeaseKeeper
from jobloop.outcome import describe
from jobloop.refusal import blames_row, is_absent
from jobloop.report import CycleReport
from jobloop.settlement import COMPLETED, Settlement
from jobloop.status import Role
from jobloop.store import Store

log = logging.getLogger("jobloop")

_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.1, 5.0


class Settler:
    """Settles by size, after a short linger, or at once when nothing else is running.

    most_rows        rows in one statement, at most
    linger_seconds   how long an outcome may wait for company
    is_quiet         tells that no handler is running, so nothing is worth waiting for

    While the database is away it tries again, for as long as a lease: after that the rows belong to the rescue.
    """

    def __init__(
        self,
        store: Store,
        leases: LeaseKeeper,
        report: CycleReport,
        is_quiet: Callable[[], bool],
        *,
        most_rows: int = 500,
        linger_seconds: float = 0.01,
    ) -> None:
        self._store = store
        self._leases = leases
        self._report = report
        self._is_quiet = is_quiet
        self._most_rows = most_rows
        self._linger_seconds = linger_seconds
        self._pending: list[Settled] = []
        self._writing: list[Settled] = []
        self._wake = asyncio.Event()
        self._hurry = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()
        self._closes_at = float("inf")

    def put(self, claim: Claim, settlement: Settlement) -> None:
        pending = self._pending
        pending.append((claim, settlement))
        if len(pending) == 1:
            self._empty.clear()
            self._wake.set()
        if len(pending) >= self._most_rows:
            self._hurry.set()

    def unwritten(self) -> set[Claim]:
        """Claims whose outcome was put and is not yet known to be written."""
        return {claim for claim, _ in (*self._writing, *self._pending)}

    def hurry(self) -> None:
        """Nothing more will come soon: do not linger."""
        self._hurry.set()

    async def settled(self) -> None:
        """Wait until everything put so far is written or given up."""
        await self._empty.wait()

    async def run(self) -> None:
        """Write what comes, for ever; cancel to stop, then call `flush`."""
        while True:
            await self._wake.wait()
            if len(self._pending) < self._most_rows and not self._is_quiet():
                self._hurry.clear()
                try:
                    async with asyncio.timeout(self._linger_seconds):
                        await self._hurry.wait()
                except TimeoutError:
                    pass
            await to_the_end(self.flush())  # cut off in between, outcomes would be forgotten

    def close_within(self, seconds: float) -> None:
        """From now on, do not wait longer than this for a database that is away."""
        self._closes_at = time.monotonic() + seconds

    async def flush(self) -> None:
        """Write everything that waits."""
        while self._pending:
            some, self._pending = self._pending[: self._most_rows], self._pending[self._most_rows :]
            self._writing = some
            for alike in self._store.together(some):
                await self._write(alike)
        self._writing = []
        self._wake.clear()
        self._empty.set()

    async def _write(self, some: Sequence[Settled]) -> None:
        """Settle `some`, again and again while the database is away; halve what the database refuses."""
        give_up_at = time.monotonic() + self._store.queue.lease.total_seconds()
        pause_seconds = _FIRST_PAUSE_SECONDS
        while True:
            try:
                contested = await self._store.settle(some)
                break
            except Exception as exc:
                if not is_absent(exc):
                    await self._write_refused(some, exc)
                    return
                if time.monotonic() >= min(give_up_at, self._closes_at):
                    log.error(
                        "%s: %d outcomes not written, left to the rescue: %s",
                        self._store.queue.name,
                        len(some),
                        exc,
                    )
                    self._give_up(some)
                    return
                log.warning("%s: settle failed, trying again: %s", self._store.queue.name, exc)
            await asyncio.sleep(pause_seconds * random.uniform(0.5, 1))
            pause_seconds = min(pause_seconds * 2, _LONGEST_PAUSE_SECONDS)
        for claim in contested.lost:
            log.warning("%s: claim on %s was lost before its settle", self._store.queue.name, claim.key)
        self._report.lost += self._leases.drop(contested.lost)
        self._leases.drop([claim for claim, _ in some])
        if some[0][1] is COMPLETED and not contested.lost and not contested.kept:  # nearly always; they are alike
            self._report.count(COMPLETED, Role.COMPLETE, len(some))
            return
        for claim, settlement in some:
            if claim not in contested.lost:
                self._report.count(settlement, contested.kept.get(claim, settlement.to))

    async def _write_refused(self, some: Sequence[Settled], exc: Exception) -> None:
        """The database refused the statement: find the row that it refuses, and fail only that one."""
        if len(some) > 1:
            middle = len(some) // 2
            await self._write(some[:middle])
            await self._write(some[middle:])
            return
        ((claim, settlement),) = some
        if (settlement.values or settlement.to is not Role.ERROR) and blames_row(exc):
            log.warning("%s: outcome of %s refused: %s", self._store.queue.name, claim.key, exc)
            await self._write([(claim, Settlement.failed(describe(getattr(exc, "orig", None) or exc)))])
            return
        log.error("%s: %s cannot be settled, left to the rescue", self._store.queue.name, claim.key, exc_info=exc)
        self._give_up(some)

    def _give_up(self, some: Sequence[Settled]) -> None:
        self._report.lost += self._leases.drop([claim for claim, _ in some])
