"""A worker hears of fresh rows at once, and polling goes on when it cannot."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations

import jobloop.migrations  # noqa: F401 - registers the operations
from jobloop import JobLoop, Listener, each
from tests.jobloop.tickets import Desk, make_queue

FOREVER_SECONDS = 3600.0


@pytest.fixture
async def notifying(desk: Desk) -> Desk:
    def add_trigger(connection: sa.Connection) -> None:
        operations: Any = Operations(MigrationContext.configure(connection))
        operations.create_queue_notify_trigger("tickets", status="crm_status")

    async with desk.engine.begin() as connection:
        await connection.run_sync(add_trigger)
    return desk


@pytest.fixture
async def listener(notifying: Desk) -> AsyncIterator[Listener]:
    url = notifying.engine.url.set(drivername="postgresql")
    async with Listener(url.render_as_string(hide_password=False), probe_seconds=0.5) as listener:
        yield listener


async def until_completed(desk: Desk, count: int) -> None:
    async with asyncio.timeout(20):
        while (await desk.statuses()).get("Complete", 0) < count:
            await asyncio.sleep(0.01)


async def complete(row: Any) -> None: ...


async def test_enqueue_wakes_a_loop_that_never_polls(notifying: Desk, listener: Listener) -> None:
    queue, stop = make_queue(), asyncio.Event()
    loop = JobLoop(
        queue,
        each(complete),
        session_factory=notifying.sessions,
        wake=listener.wake_event(queue),
        poll_seconds=FOREVER_SECONDS,
    )
    running = asyncio.create_task(loop.run(stop))
    async with asyncio.timeout(20):
        await listener.is_listening.wait()
        await notifying.queue(5)
        await until_completed(notifying, 5)
        await notifying.sql("UPDATE tickets SET crm_status = 'Queued'")
        await until_completed(notifying, 5)
        stop.set()
        assert (await running).completed == 10


async def test_lost_connection_is_made_again_and_everybody_is_woken(notifying: Desk, listener: Listener) -> None:
    queue, stop = make_queue(), asyncio.Event()
    wake = listener.wake_event(queue)
    loop = JobLoop(queue, each(complete), session_factory=notifying.sessions, wake=wake, poll_seconds=FOREVER_SECONDS)
    running = asyncio.create_task(loop.run(stop))
    async with asyncio.timeout(20):
        await listener.is_listening.wait()
        await notifying.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'jobloop listener' "
            "AND datname = current_database()"
        )
        await notifying.queue(3)  # heard, or missed and made good by the wake after connecting again
        await until_completed(notifying, 3)
        stop.set()
        await running


async def test_listener_that_cannot_connect_leaves_the_work_to_polling(desk: Desk, caplog: Any) -> None:
    queue, stop = make_queue(), asyncio.Event()
    async with Listener("postgresql://nobody@127.0.0.1:1/none") as listener, asyncio.timeout(20):
        loop = JobLoop(
            queue,
            each(complete),
            session_factory=desk.sessions,
            wake=listener.wake_event(queue),
            poll_seconds=0.02,
        )
        running = asyncio.create_task(loop.run(stop))
        await desk.queue(3)
        await until_completed(desk, 3)
        stop.set()
        await running

    assert "listener cannot connect, polling goes on" in caplog.text
