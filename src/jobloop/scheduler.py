"""A loop as a job of APScheduler 3: every so often, one cycle, never two at once in this process."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol

from jobloop.errors import JobLoopError
from jobloop.report import CycleReport

log = logging.getLogger("jobloop")

_OBEY_SECONDS = 15.0


class IntervalScheduler(Protocol):
    """The part of `apscheduler.schedulers.asyncio.AsyncIOScheduler` that is used here."""

    def add_job(self, func: object, trigger: str, **options: object) -> object: ...


class ScheduledLoop:
    """One loop under a scheduler. It knows its running cycles, so that they can be ended in good order.

    `AsyncIOScheduler.shutdown(wait=True)` of APScheduler 3.11 returns at once and cancels running coroutines:
    await `stop` first, in the application's lifespan.
    """

    def __init__(self, name: str, run_cycle: Callable[[], Awaitable[CycleReport]]) -> None:
        self.name = name
        self._run_cycle = run_cycle
        self._running: set[asyncio.Task[None]] = set()
        self._is_stopping = False

    async def run(self) -> None:
        """One cycle; what the scheduler calls. Its failure is logged, and the next cycle comes all the same."""
        if self._is_stopping:
            return
        # A task of its own, so that the scheduler's cancellation at shutdown does not cut it off.
        task = asyncio.create_task(self._cycle(), name=f"{self.name} cycle")
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        await asyncio.shield(task)

    async def stop(self, grace_seconds: float = 30.0) -> None:
        """Start no further cycle; wait for the running one, then cancel it: its rows go back to the queue."""
        self._is_stopping = True
        if self._running:
            await asyncio.wait(self._running, timeout=grace_seconds)
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(self._running, timeout=_OBEY_SECONDS)

    async def _cycle(self) -> None:
        try:
            report = await self._run_cycle()
        except JobLoopError as exc:  # its sentence says what to do; the way there says nothing more
            log.error("%s: cycle failed, the next one will try again: %s", self.name, exc)
        except Exception as exc:
            log.error("%s: cycle failed, the next one will try again: %s", self.name, exc, exc_info=exc)
        else:
            if report.claimed or report.rescued or report.poison:
                log.info("%s: cycle done: %s", self.name, report.as_dict())


def add_scheduler_job(
    scheduler: IntervalScheduler,
    name: str,
    run_cycle: Callable[[], Awaitable[CycleReport]],
    *,
    interval: timedelta,
    batch_size: int,
    max_instances: int = 1,
    misfire_grace: timedelta = timedelta(minutes=1),
    api_key: str | None,
    api_key_name: str,
    service: str,
) -> ScheduledLoop | None:
    """Register a loop with an AsyncIOScheduler; the first cycle starts at once, further ones every `interval`.

    run_cycle   `loop.run_once`, `loop.drain`, or any function of no arguments around `run_job_loop`
    interval    between the starts of cycles; missed starts are coalesced into one
    batch_size  for the log line alone
    api_key     of the service that the handler calls; None or empty: a warning is logged and nothing registered
    Returns the job, to be stopped in the application's lifespan, or None if it was not registered.
    """
    if not api_key:
        log.warning("%s not configured - %s sync scheduler DISABLED", api_key_name, service)
        return None
    job = ScheduledLoop(name, run_cycle)
    scheduler.add_job(
        job.run,  # a coroutine function: a callable object would be run in a thread
        "interval",
        seconds=interval.total_seconds(),
        id=name,
        name=name,
        max_instances=max_instances,
        coalesce=True,
        misfire_grace_time=max(int(misfire_grace.total_seconds()), 1),
        next_run_time=datetime.now(UTC),
        replace_existing=True,
    )
    log.info(
        "%s: scheduler job registered: interval %s, batch size %d, max instances %d",
        name,
        interval,
        batch_size,
        max_instances,
    )
    return job
