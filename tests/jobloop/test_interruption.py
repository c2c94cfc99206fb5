"""Whatever stops a cycle, every row that it claimed is settled or released, and nothing is forgotten."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import asyncpg
import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from jobloop import Complete, JobLoop, batch, each
from jobloop.refusal import is_absent
from tests.jobloop.tickets import Desk, Effect, Ticket, make_queue


def loop_of(desk: Desk, handler: Any, **options: Any) -> JobLoop:
    queue = options.pop("queue", None) or make_queue()
    return JobLoop(queue, handler, session_factory=desk.sessions, **options)


@pytest.mark.parametrize("form", ["each", "batch", "session"])
async def test_cancelled_mid_batch_leaves_no_row_processing_and_counts_nothing(desk: Desk, form: str) -> None:
    await desk.queue(10)
    in_handler = asyncio.Event()

    async def one(row: Any, session: AsyncSession | None = None) -> Complete:
        if session is not None:
            session.add(Effect(number=1))
            await session.flush()
        in_handler.set()
        await asyncio.Event().wait()
        return Complete()

    handler = {"each": each(one), "batch": batch(one), "session": one}[form]  # type: ignore[dict-item]
    cycle = asyncio.create_task(loop_of(desk, handler, concurrency=3).run_once())
    async with asyncio.timeout(20):
        await in_handler.wait()
        cycle.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cycle

    assert await desk.statuses() == {"Queued": 10}
    (row,) = await desk.sql("SELECT max(crm_retry_count), count(crm_claim_token), max(crm_rescue_count) FROM tickets")
    assert tuple(row) == (0, 0, 0)
    assert await desk.sql("SELECT 1 FROM effects") == []
    assert desk.engine.pool.checkedout() == 0  # type: ignore[attr-defined]
    assert (await loop_of(desk, each(complete)).run_once()).completed == 10, "due again at once"


async def test_rows_finished_before_the_cancellation_are_settled(desk: Desk) -> None:
    await desk.queue(5)
    hanging = asyncio.Event()

    async def sync(row: Any) -> None:
        if row.number == 3:
            hanging.set()
            await asyncio.Event().wait()

    cycle = asyncio.create_task(loop_of(desk, each(sync), concurrency=1).run_once())
    async with asyncio.timeout(20):
        await hanging.wait()
        cycle.cancel()
        await asyncio.wait([cycle])

    assert await desk.statuses() == {"Complete": 2, "Queued": 3}


async def test_cancelled_while_the_claim_is_under_way_releases_what_it_took(desk: Desk) -> None:
    await desk.queue(3)
    async with desk.engine.connect() as locker:
        # An index build's lock: the claim waits inside the server, after it was sent.
        await locker.execute(sa.text("LOCK TABLE tickets IN SHARE MODE"))
        cycle = asyncio.create_task(loop_of(desk, each(complete)).run_once())
        await until_waiting_for_lock(desk)
        cycle.cancel()
        await locker.rollback()
    with pytest.raises(asyncio.CancelledError):
        await cycle

    assert await desk.statuses() == {"Queued": 3}
    assert await desk.sql("SELECT 1 FROM tickets WHERE crm_claim_token IS NOT NULL") == []


async def test_deadline_ends_a_hung_handler_and_counts_it_as_failed(desk: Desk) -> None:
    await desk.queue(4)

    async def sync(row: Any) -> None:
        if row.number == 2:
            await asyncio.Event().wait()

    loop = loop_of(desk, each(sync), concurrency=2, deadline_seconds=0.3, grace_seconds=0.1)
    async with asyncio.timeout(20):
        report = await loop.run_once()

    assert report.hit_deadline
    assert (report.completed, report.retried) == (3, 1)
    ticket = await desk.ticket(2)
    assert (ticket.crm_status, ticket.crm_retry_count) == ("Queued", 1)
    assert "still running" in ticket.crm_error


async def test_deadline_releases_rows_that_never_started(desk: Desk) -> None:
    await desk.queue(4)

    async def hang(row: Any) -> None:
        await asyncio.Event().wait()

    loop = loop_of(desk, each(hang), concurrency=1, deadline_seconds=0.3, grace_seconds=0.1)
    async with asyncio.timeout(20):
        report = await loop.run_once()

    assert (report.retried, report.released) == (1, 3)
    assert (await desk.ticket(4)).crm_retry_count == 0


async def test_handler_that_ignores_its_cancellation_is_left_behind(desk: Desk, monkeypatch: Any, caplog: Any) -> None:
    await desk.queue(1)
    monkeypatch.setattr("jobloop.crew._OBEY_SECONDS", 0.2)
    enough = asyncio.Event()

    async def stubborn(row: Any) -> None:
        while not enough.is_set():
            try:
                await enough.wait()
            except asyncio.CancelledError:
                continue

    loop = loop_of(desk, each(stubborn), deadline_seconds=0.2, grace_seconds=0.1)
    async with asyncio.timeout(20):
        report = await loop.run_once()
    enough.set()

    assert report.hit_deadline
    assert "ignored its cancellation" in caplog.text
    assert (await desk.ticket()).crm_status == "Processing", "the lease brings it back"


async def test_stop_lets_running_handlers_finish_and_releases_the_rest(desk: Desk) -> None:
    await desk.queue(10)
    stop, started = asyncio.Event(), asyncio.Event()
    seen: list[int] = []

    async def sync(row: Any) -> None:
        seen.append(row.number)
        started.set()
        await stop.wait()

    running = asyncio.create_task(loop_of(desk, each(sync), concurrency=2, poll_seconds=0.05).run(stop))
    async with asyncio.timeout(20):
        await started.wait()
        stop.set()
        report = await running

    assert report.completed == len(seen)
    assert report.released == 10 - len(seen)
    assert await desk.statuses() == {"Complete": len(seen), "Queued": 10 - len(seen)}


async def test_row_deleted_mid_flight_is_counted_as_lost(desk: Desk, caplog: Any) -> None:
    await desk.queue(2)

    async def sync(row: Any) -> None:
        if row.number == 1:
            await desk.sql("DELETE FROM tickets WHERE number = 1")

    report = await loop_of(desk, each(sync)).run_once()

    assert (report.completed, report.lost) == (1, 1)
    assert "was lost before its settle" in caplog.text


async def test_handler_whose_own_task_was_cancelled_failed_and_the_worker_lives(desk: Desk) -> None:
    await desk.queue(3)

    async def sync(row: Any) -> None:
        if row.number == 1:
            inner = asyncio.create_task(asyncio.sleep(60))
            inner.cancel()
            await inner

    report = await loop_of(desk, each(sync), concurrency=1).run_once()

    assert (report.retried, report.completed) == (1, 2)
    assert (await desk.ticket(1)).crm_error == "CancelledError"


async def test_settle_cut_off_in_flight_is_written_again(desk: Desk, caplog: Any) -> None:
    await desk.queue(2)
    user = await desk.engine.connect()

    async def sync(row: Any) -> Complete:
        if row.number == 2:
            await user.execute(sa.text("SELECT 1 FROM tickets FOR UPDATE"))
            tasks.append(asyncio.create_task(cut_the_settle()))
        return Complete(values={"external_id": "x"})

    async def cut_the_settle() -> None:
        await until_waiting_for_lock(desk)
        await desk.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        await user.close()

    tasks: list[asyncio.Task[None]] = []
    async with asyncio.timeout(30):
        report = await loop_of(desk, each(sync)).run_once()
        await asyncio.gather(*tasks)

    assert report.completed == 2
    assert "settle failed, trying again" in caplog.text


async def test_bulk_update_by_a_user_that_deadlocks_does_not_kill_the_cycle(desk: Desk, caplog: Any) -> None:
    """The user locks rows in the opposite order of ours; PostgreSQL kills one of the two, and ours tries again."""
    ids = [UUID(int=n) for n in (1, 2)]  # in the same order on the disk as by key, whichever way PostgreSQL goes
    for ticket_id in ids:
        await desk.sql("INSERT INTO tickets (id, number, crm_status) VALUES (:id, 1, 'Queued')", id=ticket_id)
    settled = asyncio.Event()

    async def user() -> None:
        async with desk.engine.connect() as connection:
            await connection.execute(sa.text("SET deadlock_timeout = '10s'"))  # so that ours is the victim
            lock = sa.select(Ticket.id).with_for_update()
            await connection.execute(lock.where(Ticket.id == ids[1]))
            settled.set()
            await until_waiting_for_lock(desk)
            await connection.execute(lock.where(Ticket.id == ids[0]))
            await connection.rollback()
            await connection.execute(sa.text("RESET deadlock_timeout"))
            await connection.commit()

    async def sync(rows: list[Any]) -> dict[Any, Complete]:
        tasks.append(asyncio.create_task(user()))
        await settled.wait()
        return {row.id: Complete() for row in rows}

    tasks: list[asyncio.Task[None]] = []
    caplog.set_level("INFO", "jobloop")
    async with asyncio.timeout(30):
        report = await loop_of(desk, batch(sync)).run_once()
        await asyncio.gather(*tasks)

    assert report.completed == 2
    assert "40P01, trying the statement again" in caplog.text


async def test_settle_that_cannot_get_its_lock_does_not_make_the_row_an_error(
    desk: Desk, monkeypatch: Any, caplog: Any
) -> None:
    """A user's long transaction is no fault of the row, whose handler did its work."""
    await desk.queue(1)
    await desk.sql("DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET lock_timeout = 50', current_database()); END $$")
    await desk.engine.dispose()
    monkeypatch.setattr("jobloop.transaction._MOST_TRIES", 2)
    async with desk.engine.connect() as user:

        async def let_go() -> None:
            while not ("refused" in caplog.text or "left to the rescue" in caplog.text):
                await asyncio.sleep(0.001)
            await user.rollback()

        async def sync(row: Any) -> Complete:
            await user.execute(sa.text("SELECT 1 FROM tickets FOR UPDATE"))
            tasks.append(asyncio.create_task(let_go()))
            return Complete(values={"external_id": "known"})

        tasks: list[asyncio.Task[None]] = []
        async with asyncio.timeout(20):
            report = await loop_of(desk, each(sync)).run_once()
            await asyncio.gather(*tasks)

    assert (report.failed, report.lost) == (0, 1)
    assert (await desk.ticket()).crm_status == "Processing", "the rescue brings it back"


def test_connection_that_ended_between_two_messages_is_an_absent_database() -> None:
    assert is_absent(asyncpg.InternalClientError("cannot switch to state 12; another operation (2) is in progress"))


async def complete(row: Any) -> None:
    """A handler that is content."""


async def until_waiting_for_lock(desk: Desk) -> None:
    async with asyncio.timeout(10):
        while True:
            rows = await desk.sql(
                "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
            if rows:
                return
            await asyncio.sleep(0.005)
