"""JobLoop: claim → process → settle, over one queue.

    run_once   one batch
    drain      batches until nothing is due
    run        for ever, until asked to stop

A row's journey: `Store.claim` takes it with a token and a lease; the crew's workers run the handler on it while the
lease keeper renews; `decide` turns the answer into a settlement; the settler writes it, together with others, where
the token in the row is still the claim's. Whatever stops a cycle, every row it claimed is settled or released.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from jobloop.binding import engine_of, need_one_transaction, sessions_of, warn_if_small
from jobloop.claim import Claim
from jobloop.crew import Crew
from jobloop.handler import Form, handler_of
from jobloop.pause import PauseWatch
from jobloop.queue import JobQueue
from jobloop.refusal import blames_row
from jobloop.report import CycleReport
from jobloop.retry import RetryPolicy
from jobloop.session_forms import BatchInSession, InSession, SessionFunction
from jobloop.settlement import Settlement, decide
from jobloop.status import Statuses
from jobloop.store import Store
from jobloop.table import check_table
from jobloop.waiting import Every, until

log = logging.getLogger("jobloop")

_RESCUED_AT_ONCE = 1000
#: A queue that another worker paused is looked at this often, to see whether the time for a probe has come.
_PROBE_SECONDS = 30.0
#: A wait between two polls is this much longer at most, so that many workers do not look all at once.
_POLL_SPREAD = 0.2
#: How often a running loop shows its observers what it did.
_OBSERVED_SECONDS = 10.0

Observer = Callable[[CycleReport], None]


class JobLoop:
    """Works one queue with one handler.

    queue             the declaration
    handler           `each(fn)`, `batch(fn)`, or a bare `fn(row_id, session)`
    session_factory   an async_sessionmaker bound to an AsyncEngine; None: the one that `jobloop.bind` gave the model
    batch_size        rows taken by one claim
    concurrency       handler calls at once; None: 10 for each, 1 for batch and with a session
    claims_ahead      False: a row is claimed only when a handler is free for it, so that other workers may have it;
                      for rows that take long
    deadline_seconds  how long one cycle or drain may take; then nothing more is started, what runs gets
                      `grace_seconds`, and a handler that still runs is cancelled and counts as failed
    grace_seconds     how long running handlers may take to end when the loop is asked to stop
    poll_seconds      `run` looks for due rows this often; each wait is up to a fifth longer
    wake              `run` looks at once when this is set: `Listener.wake_event(queue)`
    observers         called with the report at the end of each cycle or drain, and by `run` every ten seconds with
                      what came since; see `jobloop.metrics`
    """

    def __init__(
        self,
        queue: JobQueue,
        handler: Form | SessionFunction,
        *,
        session_factory: async_sessionmaker[AsyncSession] | None = None,
        batch_size: int = 100,
        concurrency: int | None = None,
        claims_ahead: bool = True,
        deadline_seconds: float | None = 900.0,
        grace_seconds: float = 10.0,
        poll_seconds: float = 1.0,
        wake: asyncio.Event | None = None,
        observers: Sequence[Observer] = (),
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size must be 1 or more, got {batch_size}")
        if concurrency is not None and concurrency < 1:
            raise ValueError(f"concurrency must be 1 or more, got {concurrency}")
        self.queue = queue
        self.handler = handler_of(handler)
        self.sessions = sessions_of(queue.model, session_factory)
        self.batch_size = batch_size
        self.concurrency = concurrency or self.handler.default_concurrency
        self.claims_ahead = claims_ahead
        self.deadline_seconds = deadline_seconds
        self.grace_seconds = grace_seconds
        self.poll_seconds = poll_seconds
        self.wake = wake or asyncio.Event()
        self.observers = tuple(observers)
        self.store = Store(queue, engine_of(queue.model, self.sessions), entities=self.handler.entities)
        self._watch = PauseWatch()
        has_session = isinstance(self.handler, InSession | BatchInSession)
        if has_session:
            need_one_transaction(self.store.engine, self.sessions, queue.name)
        with_session = self.concurrency if has_session else 0
        warn_if_small(self.store.engine, queue.name, with_session)

    async def run_once(self) -> CycleReport:
        """Rescue what lost workers left, claim one batch, process it, settle every row of it."""
        return await self._cycle(self._one_batch)

    async def drain(self) -> CycleReport:
        """Like `run_once`, batch after batch, claiming ahead of the handlers, until nothing is due."""
        return await self._cycle(self._every_batch)

    async def run(self, stop: asyncio.Event) -> CycleReport:
        """Work until `stop` is set; then end within about `grace_seconds`.

        Between claims that found nothing it waits for `wake`, or about `poll_seconds`. A database that goes away is
        waited for; the log says so.
        """
        report, observed = CycleReport(self.queue.name), None
        await check_table(self.queue, self.store.engine)
        async with self._crew(report) as crew:
            rescue, probe = Every(self.queue.lease.total_seconds() / 2), Every(_PROBE_SECONDS)
            observation = Every(_OBSERVED_SECONDS)
            while not stop.is_set():
                self.wake.clear()
                if observation.is_due():
                    observed = self._observe(report, observed)
                try:
                    if rescue.is_due():
                        await self._rescue(report)
                    await until(stop, self._room(crew))
                    if not stop.is_set() and await crew.claim(self.batch_size):
                        continue
                    if probe.is_due() or crew.is_time_to_probe():
                        await crew.probe()
                except Exception as exc:
                    log.warning("%s: cannot claim, trying again: %s", self.queue.name, exc)
                await until(stop, self.wake.wait(), seconds=self.poll_seconds * random.uniform(1, 1 + _POLL_SPREAD))
            await crew.wind_down(self.grace_seconds)
        self._observe(report, observed)
        return report.finish()

    # -- the steps of a cycle -------------------------------------------------------------------------------------

    async def _cycle(self, work: Callable[[Crew], Awaitable[None]]) -> CycleReport:
        report = CycleReport(self.queue.name)
        await check_table(self.queue, self.store.engine)
        await self._rescue(report)
        async with self._crew(report) as crew:
            try:
                async with asyncio.timeout(self.deadline_seconds) as deadline:
                    await work(crew)
            except TimeoutError:
                if not deadline.expired():
                    raise
                report.hit_deadline = True
                log.info("%s: the cycle ends at its deadline of %s s", self.queue.name, self.deadline_seconds)
                if not await crew.wind_down(self.grace_seconds, then=self._overran):
                    log.error("%s: handlers still run after the deadline and are cancelled", self.queue.name)
        report.finish()
        for observe in self.observers:
            observe(report)
        return report

    async def _one_batch(self, crew: Crew) -> None:
        await crew.claim(self.batch_size) or await crew.probe()
        await crew.idle()

    async def _every_batch(self, crew: Crew) -> None:
        while True:
            await self._room(crew)
            if await crew.claim(self.batch_size):
                continue
            if crew.is_idle() and not await crew.probe():
                return
            await crew.idle()  # a short batch is not an empty queue: what runs may leave more

    async def _room(self, crew: Crew) -> None:
        await crew.room(self.batch_size, None if self.claims_ahead else self.concurrency)

    async def _rescue(self, report: CycleReport) -> None:
        while True:
            try:
                rescued, poison = await self.store.rescue(_RESCUED_AT_ONCE)
            except DBAPIError as exc:
                if not blames_row(exc):
                    raise
                log.error("%s: rows of lost workers are refused by the table: %s", self.queue.name, exc.orig)
                return  # what nobody lost can be worked all the same
            report.rescued += rescued
            report.poison += poison
            if rescued or poison:
                log.warning("%s: %d rows of lost workers rescued, %d given up", self.queue.name, rescued, poison)
            if rescued + poison < _RESCUED_AT_ONCE:
                return

    def _overran(self, claim: Claim) -> Settlement:
        words = f"stopped: still running {self.grace_seconds} s after the cycle's deadline of {self.deadline_seconds} s"
        return decide(TimeoutError(words), claim.retry_count, self.queue.retry)

    def _crew(self, report: CycleReport) -> Crew:
        return Crew(self.store, self.handler, self.sessions, report, self.concurrency, self._watch)

    def _observe(self, report: CycleReport, since: CycleReport | None = None) -> CycleReport:
        """Show the observers what came after `since`; returns the whole as it is now, for the next time."""
        part = report.since(since)
        if part.processed or part.rescued or part.poison:
            for observe in self.observers:
                observe(part)
        return report.since(None)


async def run_job_loop(
    model: type[Any],
    status_enum: type[Any],
    queued_status: Any,
    processing_status: Any,
    completed_status: Any,
    failed_status: Any,
    processing_function: Form | SessionFunction,
    batch_size: int,
    order_by_column: Any = None,
    status_field_name: str = "status",
    error_field_name: str | None = None,
    additional_filters: Sequence[Any] | None = None,
    *,
    decision_field_name: str | None = None,
    session_factory: async_sessionmaker[AsyncSession] | None = None,
    retry_policy: RetryPolicy | None = None,
    lease: timedelta = timedelta(minutes=5),
    max_rescues: int = 3,
    concurrency: int | None = None,
    deadline_seconds: float | None = 900.0,
    drain: bool = False,
    observers: Sequence[Observer] = (),
) -> CycleReport:
    """One batch of the queue on `model`'s status column: claim → process → settle. With `drain`, all that is due.

    `processing_function` is `each(fn)`, `batch(fn)` or a bare `fn(row_id, session)`. `order_by_column` is a column,
    `asc(column)`, or a list of them. The keyword-only arguments are those of `JobQueue` and `JobLoop`.
    Raises `QueueDeclarationError` if the model lacks a column, `TableUnfit` if the table does.
    """
    orders = order_by_column if isinstance(order_by_column, list | tuple) else [order_by_column]
    queue = JobQueue(
        model,
        Statuses(
            queued=_member(status_enum, queued_status),
            processing=_member(status_enum, processing_status),
            complete=_member(status_enum, completed_status),
            error=_member(status_enum, failed_status),
        ),
        status_field_name=status_field_name,
        error_field_name=error_field_name,
        decision_field_name=decision_field_name,
        order_by=[order for order in orders if order is not None],
        filters=additional_filters or (),
        retry=retry_policy,
        lease=lease,
        max_rescues=max_rescues,
    )
    loop = JobLoop(
        queue,
        processing_function,
        session_factory=session_factory,
        batch_size=batch_size,
        concurrency=concurrency,
        deadline_seconds=deadline_seconds,
        observers=observers,
    )
    return await (loop.drain() if drain else loop.run_once())


def _member(status_enum: type[Any], value: Any) -> Any:
    """`value` as a member of the user's enum, so that a plain label may be given too."""
    return value if isinstance(value, status_enum) else status_enum(value)
