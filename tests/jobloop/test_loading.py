"""Entities that only SQLAlchemy can load are loaded by a second statement. What happens between the two."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, async_sessionmaker, create_async_engine
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.pool import NullPool

from jobloop import CycleReport, JobLoop, each, queue_columns
from tests.faults.proxy import Proxy
from tests.jobloop.shapes import fresh_base, queue_of
from tests.jobloop.test_ownership import until_blocked
from tests.jobloop.tickets import Desk

Base = fresh_base()
_GATE = 4711


class Creature(Base, queue_columns("")):  # type: ignore[misc, valid-type]
    """The row says of which class it is."""

    __tablename__ = "creatures"
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    status: Mapped[str | None]
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "creature"}


@pytest.fixture
async def desk(engine: AsyncEngine) -> Desk:
    """Two creatures, queued; each claim waits at a gate in its UPDATE, if somebody holds that."""
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    desk = Desk(engine)
    await desk.sql(
        "CREATE FUNCTION gate() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN PERFORM pg_advisory_xact_lock({_GATE}); RETURN NEW; END $$"
    )
    await desk.sql(
        "CREATE TRIGGER gate BEFORE UPDATE ON creatures FOR EACH ROW WHEN (NEW.status = 'Processing') "
        "EXECUTE FUNCTION gate()"
    )
    await desk.sql(
        "INSERT INTO creatures (id, kind, status, retry_count, rescue_count) "
        "SELECT i, 'creature', 'Queued', 0, 0 FROM generate_series(1, 2) i"
    )
    return desk


def loop_of(sessions: async_sessionmaker[Any], seen: list[Any] | None = None) -> JobLoop:
    async def look(creature: Any) -> None:
        if seen is not None:
            seen.append(creature)

    return JobLoop(queue_of(Creature), each(look, entities=True), session_factory=sessions)


@asynccontextmanager
async def at_the_gate(desk: Desk, cycle: JobLoop) -> AsyncIterator[tuple[asyncio.Task[CycleReport], AsyncConnection]]:
    """A cycle whose claim is in its UPDATE, and the connection that can let it go on: `open_gate`."""
    async with asyncio.timeout(30), desk.engine.connect() as keeper:
        await keeper.execute(sa.text(f"SELECT pg_advisory_lock({_GATE})"))
        running = asyncio.create_task(cycle.run_once())
        await until_blocked(desk, 1)
        yield running, keeper


async def open_gate(keeper: AsyncConnection) -> None:
    await keeper.execute(sa.text(f"SELECT pg_advisory_unlock({_GATE})"))


@asynccontextmanager
async def before_the_load(
    desk: Desk, cycle: JobLoop
) -> AsyncIterator[tuple[asyncio.Task[CycleReport], AsyncConnection]]:
    """A cycle whose claim is committed and whose load waits for the table, and the transaction that has it."""
    async with at_the_gate(desk, cycle) as (running, keeper), desk.engine.connect() as user:
        locking = asyncio.create_task(user.execute(sa.text("LOCK TABLE creatures IN ACCESS EXCLUSIVE MODE")))
        await until_blocked(desk, 2)
        await open_gate(keeper)
        await locking
        await until_blocked(desk, 1)
        yield running, user


@pytest.mark.parametrize("fate", ["pg_cancel_backend(pid)", "pg_terminate_backend(pid, 5000)"])
async def test_load_that_the_database_ends_leaves_the_claim_to_the_rescue(desk: Desk, fate: str) -> None:
    """No row is to blame: none fails, and no attempt is counted."""
    async with before_the_load(desk, loop_of(desk.sessions)) as (running, user):
        await desk.sql(
            f"SELECT {fate} FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        await user.rollback()
        with pytest.raises(DBAPIError):
            await running

    await is_left_to_the_rescue(desk)


async def test_load_that_finds_no_server_leaves_the_claim_to_the_rescue(desk: Desk, database_url: str) -> None:
    async with Proxy(database_url) as proxy:
        engine = create_async_engine(proxy.url, poolclass=NullPool)
        async with at_the_gate(desk, loop_of(async_sessionmaker(engine))) as (running, keeper):
            proxy.is_refusing = True
            await open_gate(keeper)
            with pytest.raises(ConnectionError):
                await running

    await is_left_to_the_rescue(desk)


async def is_left_to_the_rescue(desk: Desk) -> None:
    rows = await desk.sql("SELECT status, retry_count, rescue_count, error FROM creatures")
    assert [tuple(row) for row in rows] == [("Processing", 0, 0, None)] * 2
    await desk.sql("UPDATE creatures SET lease_expires_at = now() - interval '1 s'")

    report = await loop_of(desk.sessions).run_once()

    assert (report.rescued, report.completed) == (2, 2)
    rows = await desk.sql("SELECT status, retry_count, rescue_count, error FROM creatures")
    assert [tuple(row) for row in rows] == [("Complete", 0, 1, None)] * 2


async def test_row_that_is_gone_when_it_is_loaded_is_not_handed_out(desk: Desk, caplog: Any) -> None:
    caplog.set_level(logging.DEBUG, "jobloop")
    seen: list[Any] = []
    async with before_the_load(desk, loop_of(desk.sessions, seen)) as (running, user):
        await user.execute(sa.text("DELETE FROM creatures WHERE id = 1"))
        await user.commit()
        report = await running

    assert [creature and creature.id for creature in seen] == [2]
    assert (report.claimed, report.completed, report.lost) == (2, 1, 1)
    assert "LookupError: the row is gone" in caplog.text


class Beast(fresh_base(), queue_columns("")):  # type: ignore[misc]
    """What only birds have is in a table of their own, which is read by itself."""

    __tablename__ = "beasts"
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    status: Mapped[str | None]
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "beast"}


class Bird(Beast):
    __tablename__ = "birds"
    id: Mapped[int] = mapped_column(sa.ForeignKey("beasts.id"), primary_key=True)
    wings: Mapped[int]
    __mapper_args__ = {"polymorphic_identity": "bird", "polymorphic_load": "selectin"}


async def test_row_whose_data_the_database_cannot_read_fails_alone(engine: AsyncEngine) -> None:
    desk = Desk(engine)
    async with engine.begin() as connection:
        await connection.run_sync(Beast.metadata.create_all)
    await desk.sql("ALTER TABLE birds RENAME TO all_birds")
    await desk.sql("CREATE VIEW birds AS SELECT id, 2 / wings AS wings FROM all_birds")
    await desk.sql(
        "INSERT INTO beasts (id, kind, status, retry_count, rescue_count) "
        "SELECT i, 'bird', 'Queued', 0, 0 FROM generate_series(1, 4) i"
    )
    await desk.sql("INSERT INTO all_birds (id, wings) SELECT i, (i <> 3)::int FROM generate_series(1, 4) i")
    seen: list[int] = []

    async def look(bird: Any) -> None:
        seen.append(bird.id)

    loop = JobLoop(queue_of(Beast), each(look, entities=True), session_factory=desk.sessions)
    report = await loop.run_once()

    assert sorted(seen) == [1, 2, 4]
    assert (report.completed, report.retried, report.lost) == (3, 1, 0)
    (row,) = await desk.sql("SELECT error FROM beasts WHERE id = 3")
    assert "division by zero" in row.error
