"""A session factory that has more than one engine, or one that translates schemas."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

from jobloop import JobLoop, NotBound, batch, each
from jobloop.store import Store
from tests.jobloop.test_batch_session import effects
from tests.jobloop.tickets import Base, Desk, Effect, Ticket, make_queue


@pytest.fixture
async def second(database_url: str) -> AsyncIterator[AsyncEngine]:
    """Another engine on the same database, which does not wait for its own process's locks."""
    engine = create_async_engine(database_url, connect_args={"server_settings": {"lock_timeout": "1s"}})
    yield engine
    await engine.dispose()


def form_of(form: str, fn: Any) -> Any:
    """`fn(row, session)` as a handler of one row or, for "batch", of many."""

    async def many(rows: list[Any], session: AsyncSession) -> dict[Any, None]:
        return {row.id: await fn(row, session) for row in rows}

    return each(fn, session=True, entities=True) if form == "each" else batch(many, session=True, entities=True)


def test_engines_by_model_alone_are_refused() -> None:
    async def sync(row: Any, session: AsyncSession) -> None: ...

    engine = create_async_engine("postgresql+asyncpg://nowhere/x")
    sessions = async_sessionmaker(binds={Ticket: engine, Effect: engine})
    with pytest.raises(NotBound, match=r"must be bound to an AsyncEngine: async_sessionmaker\(engine\)"):
        JobLoop(make_queue(), form_of("each", sync), session_factory=sessions)


@pytest.mark.parametrize("form", ["each", "batch"])
async def test_settle_goes_by_the_engine_that_the_session_has_for_the_model(
    desk: Desk, second: AsyncEngine, form: str
) -> None:
    """Where the handler's own write of the row goes: by another one it would wait for that."""
    await desk.queue(2)

    async def sync(ticket: Ticket, session: AsyncSession) -> None:
        ticket.title = "seen"

    sessions = async_sessionmaker(second, binds={Ticket: desk.engine})
    report = await JobLoop(make_queue(), form_of(form, sync), session_factory=sessions).run_once()

    assert report.completed == 2
    assert [row.title for row in await desk.sql("SELECT title FROM tickets")] == ["seen"] * 2


@pytest.mark.parametrize("form", ["each", "batch"])
@pytest.mark.parametrize("is_lost", [False, True], ids=["held", "lost"])
async def test_what_is_written_by_another_engine_is_written_if_the_claim_held(
    desk: Desk, second: AsyncEngine, form: str, is_lost: bool
) -> None:
    await desk.queue(1)

    async def sync(ticket: Ticket, session: AsyncSession) -> None:
        session.add(Effect(number=ticket.number))
        await session.flush()
        if is_lost:
            await desk.expire_leases()
            await Store(make_queue(), desk.engine).rescue()

    sessions = async_sessionmaker(desk.engine, binds={Effect: second})
    report = await JobLoop(make_queue(), form_of(form, sync), session_factory=sessions).run_once()

    assert (report.lost, report.completed) == ((1, 0) if is_lost else (0, 1))
    assert await effects(desk) == ([] if is_lost else [1])


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
