"""The faults of the loop that run_job_loop replaces, ten rows each, through the same signature.

That loop claimed rows by status alone, ran `fn(row_id, session)` on one after the other and left the status to the
function. What each test says was measured to go wrong there.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import sqlalchemy as sa
import sqlalchemy.orm
from sqlalchemy.ext.asyncio import AsyncSession

from jobloop import CycleReport, SharedColumn, run_job_loop
from tests.jobloop.tickets import Desk, Status, Ticket


async def run(desk: Desk, process: Any, **options: Any) -> CycleReport:
    return await run_job_loop(
        model=Ticket,
        status_enum=Status,
        queued_status=Status.Queued,
        processing_status=Status.Processing,
        completed_status=Status.Complete,
        failed_status=Status.Error,
        processing_function=process,
        batch_size=10,
        order_by_column=sa.asc(Ticket.updated_at),
        status_field_name="crm_status",
        error_field_name="crm_error",
        session_factory=desk.sessions,
        **options,
    )


async def test_cancelled_mid_batch_leaves_nothing_processing(desk: Desk) -> None:
    """There: 7 of 10 rows Processing for ever."""
    await desk.queue(10)
    third = asyncio.Event()
    seen = 0

    async def process(ticket_id: Any, session: AsyncSession) -> None:
        nonlocal seen
        seen += 1
        if seen == 3:
            third.set()
            await asyncio.Event().wait()

    cycle = asyncio.create_task(run(desk, process))
    async with asyncio.timeout(20):
        await third.wait()
        cycle.cancel()
        await asyncio.wait([cycle])

    assert await desk.statuses() == {"Complete": 2, "Queued": 8}


async def test_requeued_by_a_user_while_the_handler_fails_is_not_lost(desk: Desk) -> None:
    """There: the failure overwrote the user's Queued."""
    await desk.queue(10)

    async def process(ticket_id: Any, session: AsyncSession) -> None:
        await desk.sql("UPDATE tickets SET crm_status = 'Queued' WHERE id = :id", id=ticket_id)
        raise RuntimeError("boom")

    report = await run(desk, process)

    assert report.superseded == 10
    (row,) = await desk.sql(
        "SELECT count(*) FROM tickets WHERE crm_status = 'Queued' AND crm_next_retry_at IS NULL AND crm_retry_count = 0"
    )
    assert row[0] == 10, "and no attempt is counted against the fresh request"


async def test_handler_that_returns_without_setting_a_status_is_complete(desk: Desk) -> None:
    """There: stuck in Processing."""
    await desk.queue(10)

    async def process(ticket_id: Any, session: AsyncSession) -> None: ...

    await run(desk, process)

    assert await desk.statuses() == {"Complete": 10}


async def test_handler_that_raises_is_tried_again(desk: Desk) -> None:
    """There: Error at once; next_retry_at was written and never read."""
    await desk.queue(10)
    attempts = 0

    async def process(ticket_id: Any, session: AsyncSession) -> None:
        nonlocal attempts
        attempts += 1
        if attempts <= 10:
            raise ConnectionError("not now")

    await run(desk, process)
    assert await desk.statuses() == {"Queued": 10}
    assert (await run(desk, process)).claimed == 0, "not before next_retry_at"
    await desk.due_now()
    await run(desk, process)

    assert await desk.statuses() == {"Complete": 10}


async def test_row_deleted_mid_flight_leaves_a_trace(desk: Desk, caplog: Any) -> None:
    """There: no trace."""
    await desk.queue(10)

    async def process(ticket_id: Any, session: AsyncSession) -> None:
        await desk.sql("DELETE FROM tickets WHERE id = :id", id=ticket_id)

    report = await run(desk, process)

    assert report.lost == 10
    assert caplog.text.count("was lost") == 10


async def test_queues_that_share_retry_columns_are_refused(desk: Desk) -> None:
    """There: four CRMs on one row wrote the same retry_count and next_retry_at."""

    class Base(sa.orm.DeclarativeBase):
        pass

    text = {"__tablename__": "leads", "id": sa.orm.mapped_column(sa.Integer, primary_key=True)}
    for crm in ("hubspot", "brevo"):
        text |= {
            f"{crm}_processing_status": sa.orm.mapped_column(sa.Text),
            f"{crm}_processing_error": sa.orm.mapped_column(sa.Text),
            f"{crm}_claim_token": sa.orm.mapped_column(sa.Uuid),
            f"{crm}_lease_expires_at": sa.orm.mapped_column(sa.DateTime(timezone=True)),
            f"{crm}_rescue_count": sa.orm.mapped_column(sa.Integer, nullable=False),
        }
    text |= {
        "retry_count": sa.orm.mapped_column(sa.Integer, nullable=False),
        "next_retry_at": sa.orm.mapped_column(sa.DateTime(timezone=True)),
    }
    lead: Any = type("Lead", (Base,), text)

    async def process(lead_id: Any, session: AsyncSession) -> None: ...

    async def sync(crm: str) -> CycleReport:
        return await run_job_loop(
            lead,
            Status,
            Status.Queued,
            Status.Processing,
            Status.Complete,
            Status.Error,
            process,
            batch_size=10,
            status_field_name=f"{crm}_processing_status",
            session_factory=desk.sessions,
        )

    async with desk.engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    await sync("hubspot")
    with pytest.raises(SharedColumn, match="share the retry_count column 'retry_count'"):
        await sync("brevo")


async def test_claim_does_not_touch_updated_at(desk: Desk) -> None:
    """There: every claim bumped it, so that ordering by it starved rows and other syncs queued themselves."""
    await desk.queue(10)
    before = await desk.sql("SELECT id, updated_at FROM tickets ORDER BY id")
    in_handler: list[Any] = []

    async def process(ticket_id: Any, session: AsyncSession) -> None:
        if not in_handler:
            in_handler.extend(await desk.sql("SELECT id, updated_at FROM tickets ORDER BY id"))

    await run(desk, process)

    assert in_handler == before == await desk.sql("SELECT id, updated_at FROM tickets ORDER BY id")
