"""Blocking handlers in threads: at once, stopped with care, and never believed when their row is another's."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from datetime import timedelta
from typing import Any

import pytest

from jobloop import Complete, Fail, JobLoop, QueueDeclarationError, Retry, batch, each, threaded
from jobloop.store import Store
from tests.jobloop.tickets import Desk, make_queue

PATIENCE_SECONDS = 20


def loop_of(desk: Desk, handler: Any, **options: Any) -> JobLoop:
    queue = options.pop("queue", None) or make_queue()
    return JobLoop(queue, handler, session_factory=desk.sessions, **options)


async def test_as_many_run_at_once_as_the_loop_says(desk: Desk) -> None:
    await desk.queue(24)
    all_there = threading.Barrier(12, timeout=PATIENCE_SECONDS)

    running = threading.Semaphore(12)

    def work(row: Any) -> Complete:
        assert running.acquire(blocking=False), "a thirteenth"
        all_there.wait()  # breaks unless twelve are here together
        running.release()
        return Complete({"external_id": threading.current_thread().name})

    report = await loop_of(desk, each(threaded(work)), concurrency=12).run_once()

    assert report.completed == 24
    names = await desk.sql("SELECT DISTINCT external_id FROM tickets")
    assert all(name.startswith("work") for (name,) in names)


async def test_event_loop_goes_on_while_threads_block(desk: Desk) -> None:
    await desk.queue(4)

    def work(row: Any) -> None:
        time.sleep(0.3)

    report = await loop_of(desk, each(threaded(work)), queue=make_queue(lease=timedelta(seconds=0.2))).run_once()

    assert (report.completed, report.lost) == (4, 0), "leases shorter than the work were renewed meanwhile"


async def test_batch_answers_by_key_and_what_it_leaves_out_failed(desk: Desk) -> None:
    await desk.queue(3)

    def work(rows: list[Any]) -> dict[Any, Any]:
        assert threading.current_thread() is not threading.main_thread()
        return {rows[0].id: Complete({"external_id": "x"}), rows[1].id: Fail("no")}

    report = await loop_of(desk, batch(threaded(work))).run_once()

    assert (report.completed, report.failed, report.retried) == (1, 1, 1)
    assert (await desk.ticket(1)).external_id == "x"


async def test_exceptions_are_failures_of_their_row(desk: Desk) -> None:
    await desk.queue(3)

    def work(row: Any) -> Any:
        if row.number == 1:
            raise ConnectionError("no line")
        return Retry("busy") if row.number == 2 else 42

    report = await loop_of(desk, each(threaded(work))).run_once()

    assert (report.retried, report.failed) == (2, 1)
    assert [(await desk.ticket(n)).crm_error for n in (1, 2)] == ["ConnectionError: no line", "busy"]
    assert "42" in (await desk.ticket(3)).crm_error


async def test_context_of_the_loop_is_the_threads_too(desk: Desk) -> None:
    await desk.queue(1)
    request = contextvars.ContextVar("request", default="none")
    request.set("from outside")

    def work(row: Any) -> Complete:
        return Complete({"title": request.get()})

    await loop_of(desk, each(threaded(work))).run_once()

    assert (await desk.ticket(1)).title == "from outside"


@pytest.mark.parametrize("grace_seconds", [PATIENCE_SECONDS, 0.05])
async def test_stop_waits_for_a_running_thread_and_uses_its_answer(desk: Desk, grace_seconds: float) -> None:
    """Also when the grace is over and the worker is cancelled: the thread ends soon after."""
    await desk.queue(5)
    started, may_end, stop = threading.Event(), threading.Event(), asyncio.Event()

    def work(row: Any) -> Complete:
        started.set()
        assert may_end.wait(PATIENCE_SECONDS)
        return Complete({"external_id": "answered"})

    loop = loop_of(desk, each(threaded(work)), concurrency=1, grace_seconds=grace_seconds)
    running = asyncio.create_task(loop.run(stop))
    async with asyncio.timeout(PATIENCE_SECONDS):
        await asyncio.to_thread(started.wait)
        stop.set()
        await asyncio.sleep(0.2)
        may_end.set()
        report = await running

    assert (report.completed, report.released) == (1, 4)
    assert (await desk.ticket(1)).external_id == "answered"
    assert await desk.statuses() == {"Complete": 1, "Queued": 4}


async def test_cancelled_cycle_uses_the_answer_of_a_running_thread(desk: Desk) -> None:
    await desk.queue(2)
    started, may_end = threading.Event(), threading.Event()

    def work(row: Any) -> None:
        started.set()
        assert may_end.wait(PATIENCE_SECONDS)

    cycle = asyncio.create_task(loop_of(desk, each(threaded(work)), concurrency=1).run_once())
    async with asyncio.timeout(PATIENCE_SECONDS):
        await asyncio.to_thread(started.wait)
        cycle.cancel()
        may_end.set()
        with pytest.raises(asyncio.CancelledError):
            await cycle

    assert await desk.statuses() == {"Complete": 1, "Queued": 1}


async def test_thread_that_does_not_end_is_left_behind_with_its_row(desk: Desk, monkeypatch: Any, caplog: Any) -> None:
    monkeypatch.setattr("jobloop.crew._OBEY_SECONDS", 0.2)
    await desk.queue(1)
    may_end = threading.Event()

    def work(row: Any) -> None:
        may_end.wait(PATIENCE_SECONDS)

    loop = loop_of(desk, each(threaded(work)), deadline_seconds=0.2, grace_seconds=0.1)
    async with asyncio.timeout(PATIENCE_SECONDS):
        report = await loop.run_once()
    may_end.set()

    assert report.hit_deadline
    assert "ignored its cancellation" in caplog.text
    assert await desk.statuses() == {"Processing": 1}
    await desk.expire_leases()
    assert await Store(make_queue(), desk.engine).rescue() == (1, 0)


async def test_answer_of_a_thread_that_lost_its_row_changes_nothing(desk: Desk) -> None:
    await desk.queue(2)
    queue = make_queue(lease=timedelta(seconds=0.3))
    started, may_end = threading.Event(), threading.Event()

    def work(row: Any) -> Complete:
        if row.number == 1:
            started.set()
            assert may_end.wait(PATIENCE_SECONDS)
        return Complete({"external_id": "of the loser"})

    cycle = asyncio.create_task(loop_of(desk, each(threaded(work)), queue=queue, concurrency=1).run_once())
    async with asyncio.timeout(PATIENCE_SECONDS):
        await asyncio.to_thread(started.wait)
        # As if this worker had been stopped for longer than its lease, and another had done the row meanwhile.
        await desk.sql("UPDATE tickets SET crm_status = 'Complete', crm_claim_token = NULL WHERE number = 1")
        await asyncio.sleep(0.3)  # the next renewal finds the claim gone
        may_end.set()
        report = await cycle

    assert (report.completed, report.lost) == (1, 1)
    ticket = await desk.ticket(1)
    assert (ticket.crm_status, ticket.external_id) == ("Complete", None)


def test_plain_function_is_refused_with_what_to_write() -> None:
    def sync(row: Any) -> None: ...

    async def already(row: Any) -> None: ...

    with pytest.raises(QueueDeclarationError, match=r"handler sync must be async.*each\(threaded\(sync\)\)"):
        each(sync)  # type: ignore[arg-type]
    with pytest.raises(QueueDeclarationError, match=r"batch\(threaded\(sync\)\)"):
        batch(sync)  # type: ignore[arg-type]
    with pytest.raises(QueueDeclarationError, match="handler already is async already"):
        threaded(already)


def test_callable_objects_are_known_by_their_call() -> None:
    class Sync:
        def __call__(self, row: Any) -> None: ...

    class Asynchronous:
        async def __call__(self, row: Any) -> None: ...

    each(Asynchronous())
    each(threaded(Sync()))
    with pytest.raises(QueueDeclarationError, match="must be async"):
        each(Sync())  # type: ignore[arg-type]
