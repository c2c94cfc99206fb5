"""What waits for a lock, and in which order locks are taken."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from jobloop import Control
from jobloop.settlement import Settlement
from jobloop.settles import Contested
from jobloop.store import Store
from tests.jobloop.test_ownership import until_blocked
from tests.jobloop.tickets import Desk, make_queue

LOW, HIGH = UUID(int=1), UUID(int=2)


@pytest.fixture
async def two(desk: Desk) -> Desk:
    """Two tickets, of which the one with the higher key comes first in the table and in the queue."""
    await desk.queue(2)
    await desk.sql("UPDATE tickets SET id = :id WHERE number = 1", id=HIGH)
    await desk.sql("UPDATE tickets SET id = :id WHERE number = 2", id=LOW)
    await desk.queue(20_000, first=3, status="Complete")  # a table small enough is scanned, in its own order
    await desk.sql("ANALYZE tickets")
    return desk


async def test_claim_and_rescue_pass_by_a_row_that_a_user_has_locked(two: Desk) -> None:
    store = Store(make_queue(), two.engine)
    async with locked(two, HIGH), asyncio.timeout(10):
        assert [claim.key for claim in await store.claim(2)] == [LOW]
    await store.claim(2)
    await two.expire_leases()
    async with locked(two, HIGH), asyncio.timeout(10):
        assert await store.rescue() == (1, 0)

    assert await two.statuses() == {"Queued": 1, "Processing": 1, "Complete": 20_000}


async def test_row_that_a_user_changes_while_a_claim_runs_comes_with_the_next_claim(desk: Desk) -> None:
    """The claim's snapshot is older than the row's present version, which it locks and does not find again."""
    await desk.queue(2)
    await desk.sql(
        "CREATE FUNCTION gate() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN PERFORM pg_advisory_xact_lock(1); RETURN NEW; END $$"
    )
    await desk.sql(
        "CREATE TRIGGER gate BEFORE UPDATE ON tickets FOR EACH ROW WHEN (NEW.crm_status = 'Processing') "
        "EXECUTE FUNCTION gate()"
    )
    store = Store(make_queue(), desk.engine)
    async with asyncio.timeout(10), desk.engine.connect() as keeper:
        await keeper.execute(sa.text("SELECT pg_advisory_lock(1)"))
        claiming = asyncio.create_task(store.claim(2))
        await until_blocked(desk, 1)
        await desk.sql("UPDATE tickets SET title = 'edited' WHERE number = 2")
        await keeper.execute(sa.text("SELECT pg_advisory_unlock(1)"))
        (first,) = await claiming
    (second,) = await store.claim(2)

    assert first.key != second.key
    assert await desk.statuses() == {"Processing": 2}


async def test_settle_of_several_claims_locks_in_key_order(two: Desk) -> None:
    store = Store(make_queue(), two.engine)
    claims = [*await store.claim(1), *await store.claim(1)]
    assert [claim.key for claim in claims] == [HIGH, LOW]
    async with locked(two, LOW):
        settling = asyncio.create_task(store.settle([(claim, Settlement.completed()) for claim in claims]))
        await until_blocked(two, 1)
        assert await is_free(two, HIGH), "it waits for the lower key before it locks the higher"
    assert await settling == Contested()


async def test_operator_locks_in_key_order(two: Desk) -> None:
    async with locked(two, LOW):
        cancelling = asyncio.create_task(Control(make_queue(), two.engine).cancel())
        await until_blocked(two, 1)
        assert await is_free(two, HIGH)
    assert len(await cancelling) == 2


@asynccontextmanager
async def locked(desk: Desk, key: UUID) -> AsyncIterator[None]:
    """A user's open transaction that holds the row."""
    async with desk.engine.connect() as user:
        await user.execute(sa.text("SELECT 1 FROM tickets WHERE id = :id FOR UPDATE"), {"id": key})
        yield
        await user.rollback()


async def is_free(desk: Desk, key: Any) -> bool:
    try:
        await desk.sql("SELECT 1 FROM tickets WHERE id = :id FOR UPDATE NOWAIT", id=key)
    except DBAPIError:
        return False
    return True
