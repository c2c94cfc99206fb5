"""`each(fn, session=True)`: one row at hand, its handler's writes and its settle in one transaction."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from jobloop import CycleReport, Fail, JobLoop, QueueDeclarationError, batch, each, threaded
from jobloop.store import Store
from tests.jobloop.test_batch_session import effects
from tests.jobloop.tickets import Desk, Effect, Status, Ticket, make_queue


async def work(desk: Desk, fn: Any, *, entities: bool = False, **options: Any) -> CycleReport:
    handler = each(fn, session=True, entities=entities)
    return await JobLoop(make_queue(), handler, session_factory=desk.sessions, **options).run_once()


@pytest.mark.parametrize("concurrency", [1, 3])
async def test_each_row_commits_with_its_own_writes(desk: Desk, concurrency: int) -> None:
    await desk.queue(3)

    async def sync(row: Any, session: AsyncSession) -> None:
        session.add(Effect(number=row.number, token=row.id))
        await session.flush()
        assert row.number not in await effects(desk)

    report = await work(desk, sync, concurrency=concurrency)

    assert (report.claimed, report.completed, report.processed) == (3, 3, 3)
    pairs = await desk.sql("SELECT t.xmin::text = e.xmin::text FROM tickets t JOIN effects e ON e.token = t.id")
    assert [together for (together,) in pairs] == [True] * 3
    assert len(await desk.sql("SELECT DISTINCT xmin::text FROM effects")) == 3, "a transaction for each"


async def test_row_is_not_loaded_again(desk: Desk) -> None:
    await desk.queue(2)
    said: list[str] = []

    async def sync(row: Any, session: AsyncSession) -> None:
        await session.execute(sa.insert(Effect), {"number": row.number})

    sa.event.listen(
        desk.engine.sync_engine, "before_cursor_execute", lambda *arguments: said.append(arguments[2].split()[0])
    )
    report = await work(desk, sync)

    assert report.completed == 2
    assert said.count("INSERT") == 2
    assert "SELECT" not in said[said.index("INSERT") :]


async def test_exception_undoes_its_own_rows_writes_and_no_others(desk: Desk) -> None:
    await desk.queue(3)

    async def sync(row: Any, session: AsyncSession) -> Fail | None:
        session.add(Effect(number=row.number))
        await session.flush()
        if row.number == 2:
            raise ValueError("after its write")
        return Fail("but written") if row.number == 3 else None

    report = await work(desk, sync)

    assert (report.completed, report.retried, report.failed) == (1, 1, 1)
    assert await effects(desk) == [1, 3]
    assert (await desk.ticket(2)).crm_error == "ValueError: after its write"


async def test_lost_claim_undoes_the_writes(desk: Desk) -> None:
    await desk.queue(1)

    async def sync(row: Any, session: AsyncSession) -> None:
        session.add(Effect(number=row.number))
        await session.flush()
        await desk.expire_leases()
        await Store(make_queue(), desk.engine).rescue()

    report = await work(desk, sync)

    assert (report.lost, report.completed) == (1, 0)
    assert await effects(desk) == []
    assert await desk.statuses() == {"Queued": 1}


async def test_what_is_set_on_an_entity_is_written(desk: Desk) -> None:
    """By the session's own unit of work: what the model does on an update is done."""
    await desk.queue(2)

    async def sync(ticket: Ticket, session: AsyncSession) -> None:
        assert ticket in session
        ticket.title = f"seen {ticket.number}"
        if ticket.number == 2:
            ticket.crm_status = Status.Error

    (before,) = await desk.sql("SELECT max(updated_at) AS latest FROM tickets")
    report = await work(desk, sync, entities=True)

    assert (report.completed, report.failed) == (1, 1)
    for number, status in ((1, "Complete"), (2, "Error")):
        ticket = await desk.ticket(number)
        assert (ticket.title, ticket.crm_status, ticket.crm_claim_token) == (f"seen {number}", status, None)
        assert ticket.updated_at > before.latest


async def test_entity_can_be_read_and_locked_anew(desk: Desk) -> None:
    await desk.queue(1)

    async def sync(ticket: Ticket, session: AsyncSession) -> None:
        await desk.sql("UPDATE tickets SET title = 'changed meanwhile'")
        assert ticket.title == "ticket 1"
        await session.refresh(ticket, with_for_update=True)
        ticket.title = f"{ticket.title}, and seen"

    assert (await work(desk, sync, entities=True)).completed == 1
    assert (await desk.ticket()).title == "changed meanwhile, and seen"


@pytest.mark.parametrize("form", ["each", "batch"])
async def test_handler_may_begin_and_roll_back_itself(desk: Desk, form: str) -> None:
    await desk.queue(1)

    async def sync(ticket: Ticket, session: AsyncSession) -> None:
        async with session.begin():
            ticket.title = "its own"
        await session.refresh(ticket)
        ticket.title = "undone"
        await session.rollback()

    async def many(tickets: list[Ticket], session: AsyncSession) -> dict[Any, None]:
        key = tickets[0].id
        await sync(tickets[0], session)
        return {key: None}

    handler = each(sync, session=True, entities=True) if form == "each" else batch(many, session=True, entities=True)
    report = await JobLoop(make_queue(), handler, session_factory=desk.sessions).run_once()

    assert report.completed == 1
    assert (await desk.ticket()).title == "its own"


@pytest.mark.parametrize("entities", [False, True])
async def test_session_that_was_not_used_costs_no_transaction(desk: Desk, entities: bool) -> None:
    """All rows are settled together, as those of handlers without a session."""
    await desk.queue(20)

    async def sync(row: Any, session: AsyncSession) -> None: ...

    assert (await work(desk, sync, entities=entities)).completed == 20
    assert len(await desk.sql("SELECT DISTINCT xmin::text FROM tickets")) == 1


@pytest.mark.parametrize("form", ["each", "batch"])
async def test_row_says_what_it_failed_of_also_when_its_connection_is_gone(desk: Desk, form: str) -> None:
    await desk.queue(1)

    async def sync(row: Any, session: AsyncSession) -> None:
        backend = await session.scalar(sa.text("SELECT pg_backend_pid()"))
        await desk.sql("SELECT pg_terminate_backend(:pid, 5000)", pid=backend)
        raise ValueError("the handler's own")

    async def many(rows: list[Any], session: AsyncSession) -> dict[Any, None]:
        await sync(rows[0], session)
        return {}

    handler = each(sync, session=True) if form == "each" else batch(many, session=True)
    await JobLoop(make_queue(), handler, session_factory=desk.sessions).run_once()

    assert (await desk.ticket()).crm_error == "ValueError: the handler's own"


@pytest.mark.parametrize("is_threaded", [False, True])
def test_blocking_function_is_refused(is_threaded: bool) -> None:
    def sync(row: Any, session: AsyncSession) -> None: ...

    handler: Any = threaded(sync) if is_threaded else sync
    for wrap in (each, batch):
        with pytest.raises(QueueDeclarationError, match="sync must be async; its session cannot be used in a thread"):
            wrap(handler, session=True)  # type: ignore[operator]
