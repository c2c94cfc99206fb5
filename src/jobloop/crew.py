"""Crew: the workers of one cycle, what they hold, and how they are stopped."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from types import TracebackType
from typing import Self, cast

from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from jobloop.claim import Claim
from jobloop.desk import AnswerDesk
from jobloop.forms import Handler
from jobloop.interrupt import to_the_end
from jobloop.lag import watch_lag
from jobloop.lease import LeaseKeeper
from jobloop.pause import PauseWatch
from jobloop.pauser import Pauser
from jobloop.report import CycleReport
from jobloop.settlement import Settlement
from jobloop.settler import Settler
from jobloop.store import Store

log = logging.getLogger("jobloop")

#: After so many rows of handlers that never wait, a worker lets the loop claim and settle.
_BREATH_ROWS = 10
#: Turns of the event loop before a call with so many; it needs two to send the next claim.
_BREATH_TURNS = 3
#: How long a handler may take to obey its cancellation before it is left behind.
_OBEY_SECONDS = 5.0


class Crew:
    """Long-lived workers on one queue of rows, with one settler and one lease keeper.

    Use as an async context manager. Leaving it in any way, cancellation included, settles every row that was
    claimed: processed rows as decided, running handlers after their cancellation and rows that never started as
    released. A handler that ignores its cancellation is left behind with an error in the log; its row is rescued
    when the lease ends, and its late answer changes nothing.
    """

    def __init__(
        self,
        store: Store,
        handler: Handler,
        sessions: async_sessionmaker[AsyncSession],
        report: CycleReport,
        concurrency: int,
        watch: PauseWatch,
    ) -> None:
        self._store = store
        self._handler = handler
        self._report = report
        self._concurrency = concurrency
        self._waiting: deque[Claim] = deque()
        self._idle: deque[asyncio.Future[None]] = deque()
        self._running: dict[asyncio.Task[None], list[Claim]] = {}
        self._lost: set[asyncio.Task[None]] = set()
        self._leases = LeaseKeeper(store, self._cancel_lost)
        self._settler = Settler(store, self._leases, report, self._is_quiet)
        self._workers: list[asyncio.Task[None]] = []
        self._keepers: list[asyncio.Task[None]] = []
        self._watchers: list[asyncio.Future[None]] = []
        self._pauser = Pauser(store, watch, on_pause=self._release_waiting)
        self._desk = AnswerDesk(store, sessions, self._leases, self._settler, self._pauser, report)
        self._when_stopped: Callable[[Claim], Settlement] = _released

    async def __aenter__(self) -> Self:
        name = self._store.queue.name
        self._keepers = [
            asyncio.create_task(self._settler.run(), name=f"{name} settler"),
            asyncio.create_task(self._leases.run(), name=f"{name} leases"),
            asyncio.create_task(watch_lag(self._report, self._store.queue.lease), name=f"{name} lag"),
        ]
        self._workers = [asyncio.create_task(self._work(), name=f"{name} worker {n}") for n in range(self._concurrency)]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await to_the_end(self._close())

    # -- what the loop does ---------------------------------------------------------------------------------------

    async def claim(self, batch_size: int) -> int:
        """Claim up to `batch_size` rows and put them to work; returns how many there were."""
        return await to_the_end(self._claim(batch_size))

    async def probe(self) -> int:
        """Claim one row of a paused queue whose time has come, to see whether its service works again.

        Returns 1 if this crew probes now, else 0: not paused, not yet time, another worker probes, or nothing is due.
        """
        return await to_the_end(self._probe())

    def is_time_to_probe(self) -> bool:
        """True once when a pause that this crew made has come to its end."""
        return self._pauser.is_time_to_probe()

    async def room(self, batch_size: int, most: int | None = None) -> None:
        """Wait until fewer than `batch_size` claimed rows wait to be started, and fewer than `most` are held in all."""
        while len(self._waiting) >= batch_size or (most is not None and self._held() >= most):
            await self._next_progress()

    def _held(self) -> int:
        return len(self._waiting) + sum(map(len, self._running.values()))

    async def idle(self) -> None:
        """Wait until everything claimed is processed and settled."""
        while not self._is_quiet():
            await self._next_progress()
        await self._settler.settled()

    def is_idle(self) -> bool:
        """True when nothing claimed is left, not even a lease."""
        return not self._leases

    async def wind_down(self, grace_seconds: float, then: Callable[[Claim], Settlement] | None = None) -> bool:
        """Start nothing more and give what runs `grace_seconds` to end; returns whether everything did.

        What still runs after that is cancelled when the crew is left, and settled as `then` says (default: released).
        """
        self._release_waiting()
        try:
            async with asyncio.timeout(grace_seconds):
                await self.idle()
        except TimeoutError:
            self._when_stopped = then or _released
            return False
        return True

    # -- workers --------------------------------------------------------------------------------------------------

    async def _work(self) -> None:
        """Process shares until cancelled. A share that is cut off is settled as the crew's stop says."""
        me = cast("asyncio.Task[None]", asyncio.current_task())
        rows_in_a_breath = 0
        while not me.cancelling():  # a handler may end well although it was cancelled
            if not self._waiting:
                await self._arrival()
            share = self._running[me] = self._handler.next_share(self._waiting)
            if self._idle and self._waiting:
                self._wake_one()
            try:
                if len(share) >= _BREATH_ROWS:
                    self._moved_on()  # fewer wait now: there may be room for the next claim
                    await _let_claim()
                if not self._leases.are_sure():
                    await self._leases.until_sure()
                if len(share) == 1 or (share := self._leases.held(share)):  # of many some may be lost meanwhile
                    await self._handler.run(share, self._desk)
            except asyncio.CancelledError as exc:
                if not me.cancelling():  # not ours: something that the handler awaited was cancelled
                    for claim in self._unanswered(share):
                        self._desk.settle(claim, exc)
                elif me not in self._lost:
                    self._stopped(share)
                    raise
            except BaseException:
                self._stopped(share)
                raise
            finally:
                del self._running[me]
                if me in self._lost:
                    self._lost.discard(me)
                    me.uncancel()
                self._moved_on()
            rows_in_a_breath += len(share)
            if rows_in_a_breath >= _BREATH_ROWS:
                rows_in_a_breath = 0
                await asyncio.sleep(0)

    async def _arrival(self) -> None:
        while not self._waiting:
            turn = asyncio.get_running_loop().create_future()
            self._idle.append(turn)
            await turn

    def _wake_one(self) -> None:
        """Wake an idle worker; it wakes the next if there is more. All at once would keep the loop from claiming."""
        while self._idle:
            turn = self._idle.popleft()
            if not turn.done():
                turn.set_result(None)
                return

    def _stopped(self, share: list[Claim]) -> None:
        for claim in self._unanswered(share):
            self._settler.put(claim, self._when_stopped(claim))

    def _unanswered(self, share: list[Claim]) -> list[Claim]:
        """Those still to be settled: a batch may be cut off after some of its rows."""
        answered = self._settler.unwritten()
        return [claim for claim in self._leases.held(share) if claim not in answered]

    def _cancel_lost(self, claim: Claim) -> None:
        """Another worker has this row: stop our handler, unless it also works for rows that are still ours."""
        log.warning("%s: lease on %s was lost", self._store.queue.name, claim.key)
        self._report.lost += 1
        with suppress(ValueError):
            self._waiting.remove(claim)
            self._moved_on()
        for task, share in self._running.items():
            if claim in share and not self._leases.held(share):
                self._lost.add(task)
                task.cancel()

    # -- bookkeeping ----------------------------------------------------------------------------------------------

    async def _claim(self, batch_size: int) -> int:
        asked_at = time.monotonic()
        claims, is_wanted = await self._pauser.claim(batch_size)
        self._put_to_work(claims, asked_at)
        if not is_wanted:
            self._release_waiting()
        return len(claims)

    async def _probe(self) -> int:
        asked_at = time.monotonic()
        claims = await self._pauser.probe()
        self._put_to_work(claims, asked_at)
        return len(claims)

    def _put_to_work(self, claims: list[Claim], asked_at: float) -> None:
        self._report.claimed += len(claims)
        self._report.batches += bool(claims)
        self._leases.hold(claims, asked_at)
        self._waiting.extend(claims)
        self._wake_one()

    def _is_quiet(self) -> bool:
        return not self._running and not self._waiting

    def _moved_on(self) -> None:
        if self._watchers:
            for watcher in self._watchers:
                if not watcher.done():
                    watcher.set_result(None)
            self._watchers.clear()
        if not self._running and not self._waiting:
            self._settler.hurry()

    async def _next_progress(self) -> None:
        watcher = asyncio.get_running_loop().create_future()
        self._watchers.append(watcher)
        await watcher

    def _release_waiting(self) -> None:
        while self._waiting:
            self._settler.put(self._waiting.popleft(), Settlement.released())
        self._moved_on()

    async def _close(self) -> None:
        """Stop the workers, then write what they left, then stop the keepers."""
        self._release_waiting()
        await _cancel(self._workers, _OBEY_SECONDS)
        self._settler.close_within(_OBEY_SECONDS)
        await self._settler.flush()
        await self._pauser.close(_OBEY_SECONDS)
        await _cancel(self._keepers, _OBEY_SECONDS)


async def _let_claim() -> None:
    """Let the loop send its next claim first: the server works on that while Python works on these rows."""
    for _ in range(_BREATH_TURNS):
        await asyncio.sleep(0)


def _released(_: Claim) -> Settlement:
    return Settlement.released()


async def _cancel(tasks: Iterable[asyncio.Task[None]], within_seconds: float) -> None:
    """Cancel `tasks` and wait for their end; whoever does not obey in time is left behind, and said."""
    tasks = [task for task in tasks if not task.done()]
    for task in tasks:
        task.cancel()
    if not tasks:
        return
    _, disobedient = await asyncio.wait(tasks, timeout=within_seconds)
    for task in disobedient:
        log.error("%s ignored its cancellation for %g s and is left behind", task.get_name(), within_seconds)
