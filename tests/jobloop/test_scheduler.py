"""A loop under a real AsyncIOScheduler."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from apscheduler.schedulers.asyncio import AsyncIOScheduler

from jobloop import Complete, CycleReport, JobLoop, each
from jobloop.scheduler import ScheduledLoop, add_scheduler_job
from tests.jobloop.tickets import Desk, make_queue


@pytest.fixture
async def scheduler() -> Any:
    scheduler = AsyncIOScheduler()
    scheduler.start()
    yield scheduler
    if scheduler.running:
        scheduler.shutdown(wait=False)


def register(scheduler: Any, cycle: Any, *, api_key: str | None = "pat-x") -> ScheduledLoop | None:
    return add_scheduler_job(
        scheduler,
        "ticket sync",
        cycle,
        interval=timedelta(minutes=5),
        batch_size=10,
        api_key=api_key,
        api_key_name="CRM_API_KEY",
        service="CRM",
    )


async def test_first_cycle_starts_at_once_and_the_log_says_how_it_runs(
    desk: Desk, scheduler: AsyncIOScheduler, caplog: Any
) -> None:
    caplog.set_level(logging.INFO)
    await desk.queue(3)
    done = asyncio.Event()

    async def sync(row: Any) -> Complete:
        if row.number == 3:
            done.set()
        return Complete()

    job = register(scheduler, JobLoop(make_queue(), each(sync), session_factory=desk.sessions).run_once)
    assert job is not None
    async with asyncio.timeout(20):
        await done.wait()
    await job.stop()

    assert await desk.statuses() == {"Complete": 3}
    assert "interval 0:05:00, batch size 10, max instances 1" in caplog.text
    assert "'completed': 3" in caplog.text


async def test_without_a_key_nothing_is_registered_and_one_warning_says_so(
    scheduler: AsyncIOScheduler, caplog: Any
) -> None:
    async def cycle() -> CycleReport:
        raise AssertionError("must not run")

    assert register(scheduler, cycle, api_key="") is None
    assert scheduler.get_jobs() == []
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING] == [
        "CRM_API_KEY not configured - CRM sync scheduler DISABLED"
    ]


async def test_stop_lets_the_running_cycle_end(desk: Desk, scheduler: AsyncIOScheduler) -> None:
    await desk.queue(1)
    started, may_end = asyncio.Event(), asyncio.Event()

    async def sync(row: Any) -> None:
        started.set()
        await may_end.wait()

    job = register(scheduler, JobLoop(make_queue(), each(sync), session_factory=desk.sessions).run_once)
    assert job is not None
    async with asyncio.timeout(20):
        await started.wait()
        stopping = asyncio.create_task(job.stop())
        await asyncio.sleep(0)
        scheduler.shutdown(wait=True)  # cancels running coroutines; the cycle is not one of them
        may_end.set()
        await stopping

    assert await desk.statuses() == {"Complete": 1}


async def test_stop_that_runs_out_of_patience_puts_the_rows_back(desk: Desk, scheduler: AsyncIOScheduler) -> None:
    await desk.queue(2)
    started = asyncio.Event()

    async def hang(row: Any) -> None:
        started.set()
        await asyncio.Event().wait()

    job = register(scheduler, JobLoop(make_queue(), each(hang), session_factory=desk.sessions).run_once)
    assert job is not None
    async with asyncio.timeout(20):
        await started.wait()
        await job.stop(grace_seconds=0.05)

    assert await desk.statuses() == {"Queued": 2}


async def test_cycle_that_fails_is_logged_and_the_next_one_runs(scheduler: AsyncIOScheduler, caplog: Any) -> None:
    reports: Iterator[Any] = iter([ConnectionError("database away"), CycleReport("tickets")])

    async def cycle() -> CycleReport:
        report = next(reports)
        if isinstance(report, Exception):
            raise report
        return report

    job = ScheduledLoop("ticket sync", cycle)
    await job.run()
    await job.run()

    assert "cycle failed, the next one will try again: database away" in caplog.text
    assert next(reports, None) is None
