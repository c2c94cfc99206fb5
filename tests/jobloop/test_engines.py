"""A session factory that has more than one engine, or one that translates schemas."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import Session

from jobloop import JobLoop, NotBound, QueueDeclarationError, batch, each
from tests.jobloop.test_batch_session import effects
from tests.jobloop.tickets import Base, Desk, Effect, Ticket, make_queue


def form_of(form: str, fn: Any) -> Any:
    """`fn(row, session)` as a handler of one row or, for "batch", of many."""

    async def many(rows: list[Any], session: AsyncSession) -> dict[Any, None]:
        return {row.id: await fn(row, session) for row in rows}

    return each(fn, session=True, entities=True) if form == "each" else batch(many, session=True, entities=True)


async def look(row: Any, *_: Any) -> None: ...


def test_factory_without_an_engine_for_the_model_is_refused() -> None:
    engine = create_async_engine("postgresql+asyncpg://nowhere/x")
    with pytest.raises(NotBound, match=r"must be bound to an AsyncEngine for Ticket: async_sessionmaker\(engine\)"):
        JobLoop(make_queue(), each(look), session_factory=async_sessionmaker(binds={Effect: engine}))


async def test_queue_is_worked_where_the_sessions_have_its_model(desk: Desk) -> None:
    nowhere = create_async_engine("postgresql+asyncpg://nowhere/x")
    await desk.queue(2)

    sessions = async_sessionmaker(nowhere, binds={Ticket: desk.engine})
    report = await JobLoop(make_queue(), each(look), session_factory=sessions).run_once()

    assert report.completed == 2


async def test_sessions_that_read_elsewhere_are_worked_by_the_engine_they_are_bound_to(desk: Desk) -> None:
    """As applications do that have replicas."""
    replica = create_async_engine("postgresql+asyncpg://nowhere/x")

    class Routed(Session):
        def get_bind(self, *args: Any, **kw: Any) -> Any:
            return replica.sync_engine

    await desk.queue(1)
    sessions = async_sessionmaker(desk.engine, sync_session_class=Routed)
    assert (await JobLoop(make_queue(), each(look), session_factory=sessions).run_once()).completed == 1


@pytest.mark.parametrize("form", ["each", "batch"])
async def test_settle_is_part_of_the_handlers_transaction_however_sessions_route_reads(desk: Desk, form: str) -> None:
    replica = create_async_engine("postgresql+asyncpg://nowhere/x")

    class Routed(Session):
        def get_bind(self, *args: Any, **kw: Any) -> Any:
            writes = self._flushing or isinstance(kw.get("clause"), sa.Update | sa.Insert)
            return super().get_bind(*args, **kw) if writes else replica.sync_engine

    await desk.queue(2)

    async def sync(ticket: Ticket, session: AsyncSession) -> None:
        ticket.title = "seen"

    sessions = async_sessionmaker(desk.engine, sync_session_class=Routed)
    assert (await JobLoop(make_queue(), form_of(form, sync), session_factory=sessions).run_once()).completed == 2
    assert [row.title for row in await desk.sql("SELECT title FROM tickets")] == ["seen"] * 2


@pytest.mark.parametrize("form", ["row id", "each", "batch"])
def test_handler_with_a_session_is_refused_more_than_one_engine(form: str) -> None:
    """What it writes by another one would be committed or not whatever becomes of the settle."""
    one, other = (create_async_engine(f"postgresql+asyncpg://nowhere/{name}") for name in "xy")
    handler = look if form == "row id" else form_of(form, look)
    with pytest.raises(QueueDeclarationError, match=r"its sessions have several engines \(`binds`\)"):
        JobLoop(make_queue(), handler, session_factory=async_sessionmaker(one, binds={Effect: other}))


@pytest.mark.parametrize("form", ["each", "batch"])
async def test_one_engine_may_be_named_by_model(desk: Desk, form: str) -> None:
    await desk.queue(2)

    async def sync(ticket: Ticket, session: AsyncSession) -> None:
        ticket.title = "seen"
        session.add(Effect(number=ticket.number))

    sessions = async_sessionmaker(binds={Ticket: desk.engine, Effect: desk.engine})
    report = await JobLoop(make_queue(), form_of(form, sync), session_factory=sessions).run_once()

    assert report.completed == 2
    assert [row.title for row in await desk.sql("SELECT title FROM tickets")] == ["seen"] * 2
    assert sorted(await effects(desk)) == [1, 2]


@pytest.mark.parametrize("form", ["each", "batch"])
async def test_schema_that_the_engine_translates_to_is_where_the_row_is_settled(desk: Desk, form: str) -> None:
    await desk.sql("CREATE SCHEMA tenant")
    tenant = desk.engine.execution_options(schema_translate_map={None: "tenant"})
    async with tenant.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    await desk.queue(1)
    await desk.sql(
        "INSERT INTO tenant.tickets (id, number, crm_status) SELECT id, number, 'Queued' FROM public.tickets"
    )

    async def sync(ticket: Ticket, session: AsyncSession) -> None:
        await session.execute(sa.insert(Effect), {"number": ticket.number})

    loop = JobLoop(make_queue(), form_of(form, sync), session_factory=async_sessionmaker(tenant))
    report = await loop.run_once()

    assert (report.completed, report.lost) == (1, 0)
    assert await desk.statuses() == {"Queued": 1}, "the other schema's row of the same key"
    assert await effects(desk) == []
    (row,) = await desk.sql("SELECT crm_status, (SELECT count(*) FROM tenant.effects) FROM tenant.tickets")
    assert tuple(row) == ("Complete", 1)
