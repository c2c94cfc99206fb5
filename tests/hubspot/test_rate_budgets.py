"""The ledger of calls in PostgreSQL: exact between connections, right about time, and honest about what others did.

Its clock is the database's. The tests move it by moving what is written, which comes to the same.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from crm_sync.database import create_engine
from crm_sync.hubspot.exchange import Bucket
from crm_sync.hubspot.ratelimit import Budget, Reading
from crm_sync.hubspot.shared_ratelimit import BUCKETS, LedgerAway
from crm_sync.rate_budgets import RateBudgets, fingerprint
from tests.faults.pooler import HOW_TO_GET_IT, Pooler, find_pgbouncer

TOKEN = "pat-na1-00000000-0000-0000-0000-00000000cafe"
BURST, SEARCH = BUCKETS[Bucket.BURST], BUCKETS[Bucket.SEARCH]
#: The way to HubSpot that a grant allows for, in seconds.
MARGIN_SECONDS = 0.25


def ledger(engine: AsyncEngine, calls: int = 100, token: str = TOKEN) -> RateBudgets:
    return RateBudgets(engine, token, {Bucket.BURST: Budget(calls, 10.0), Bucket.SEARCH: Budget(4, 1.0)})


async def sql(engine: AsyncEngine, statement: str, **binds: Any) -> list[Any]:
    async with engine.begin() as connection:
        result = await connection.execute(text(statement), binds)
        return list(result.all()) if result.returns_rows else []


async def let_pass(engine: AsyncEngine, seconds: float) -> None:
    await sql(
        engine,
        """
        UPDATE rate_budgets SET paused_until = paused_until - make_interval(secs => :seconds),
            taken_at = ARRAY(SELECT at - make_interval(secs => :seconds) FROM unnest(taken_at) AS a (at) ORDER BY at)
        """,
        seconds=seconds,
    )


async def test_no_more_than_the_limit_is_granted_and_all_of_it(migrated_engine: AsyncEngine) -> None:
    budgets = ledger(migrated_engine)
    grants = [await budgets.reserve(BURST, 30) for _ in range(5)]
    assert [grant.places for grant in grants] == [30, 30, 30, 10, 0]
    assert [grant.counted for grant in grants] == [30, 60, 90, 100, 100]
    assert grants[-1].wait_seconds == pytest.approx(10 + MARGIN_SECONDS, abs=0.2)


async def test_connections_that_ask_at_once_are_granted_the_limit_together(migrated_engine: AsyncEngine) -> None:
    budgets = ledger(migrated_engine, calls=500)

    async def take_all() -> int:
        taken = 0
        while (grant := await budgets.reserve(BURST, 7)).places:
            taken += grant.places
        return taken

    assert sum(await asyncio.gather(*(take_all() for _ in range(8)))) == 500
    assert await sql(migrated_engine, "SELECT sum(n) FROM rate_budgets, unnest(taken) AS t (n)") == [(500,)]


async def test_steady_state_uses_95_percent_and_no_window_holds_more_than_the_limit(
    migrated_engine: AsyncEngine,
) -> None:
    """A hundred seconds of three busy processes, each call on its way for up to the margin."""
    budgets, chance = ledger(migrated_engine), random.Random(4)
    now, sent = 0.0, []
    began_at = asyncio.get_running_loop().time()
    while now < 100:
        grant = await budgets.reserve(BURST, 10)
        sent += [now + asyncio.get_running_loop().time() - began_at] * grant.places
        if not grant.places:
            await let_pass(migrated_engine, grant.wait_seconds)
            now += grant.wait_seconds
    arrivals = sorted(at + chance.uniform(0.0, MARGIN_SECONDS) for at in sent)
    busiest = max(sum(1 for other in arrivals[i : i + 101] if other < at + 10) for i, at in enumerate(arrivals))
    assert busiest <= 100
    seconds = now + asyncio.get_running_loop().time() - began_at
    assert len(sent) / (100 * (seconds / 10)) > 0.95


async def test_search_takes_a_place_of_both_limits_or_of_none(migrated_engine: AsyncEngine) -> None:
    budgets = ledger(migrated_engine)
    assert [(await budgets.reserve(SEARCH, 3)).places for _ in range(3)] == [3, 1, 0]
    assert (await budgets.reserve(BURST, 1)).counted == 5
    await let_pass(migrated_engine, 1.2)
    assert (await budgets.reserve(SEARCH, 10)).places == 4

    scarce = ledger(migrated_engine, calls=2, token="another")
    assert [(await scarce.reserve(SEARCH, 3)).places for _ in range(2)] == [2, 0]


async def test_association_batches_are_counted_apart(migrated_engine: AsyncEngine) -> None:
    budgets = ledger(migrated_engine)
    associations = BUCKETS[Bucket.ASSOCIATIONS]
    assert [(await budgets.reserve(associations, 60)).places for _ in range(3)] == [60, 40, 0]
    assert (await budgets.reserve(BURST, 100)).places == 100
    await budgets.pause(Bucket.ASSOCIATIONS, 3)
    await let_pass(migrated_engine, 10.5)
    assert (await budgets.reserve(associations, 1)).places == 1


async def test_limit_follows_hubspots_headers(migrated_engine: AsyncEngine) -> None:
    budgets = ledger(migrated_engine, calls=1)
    await budgets.reserve(BURST, 1)
    await budgets.correct(Bucket.BURST, Reading(limit=190, remaining=189, window_seconds=10.0), 0.1)
    grant = await budgets.reserve(BURST, 500)
    assert (grant.places, grant.limit_calls, grant.counted) == (189, 190, 190)
    await budgets.correct(Bucket.BURST, Reading(limit=100, remaining=0, window_seconds=10.0), 0.1)
    assert (await budgets.reserve(BURST, 1)).places == 0


async def test_calls_of_other_applications_are_counted_once(migrated_engine: AsyncEngine) -> None:
    budgets = ledger(migrated_engine)
    await budgets.reserve(BURST, 10)
    for _ in range(3):
        await budgets.correct(Bucket.BURST, Reading(limit=100, remaining=60, window_seconds=10.0), 0.1)
    assert (await budgets.reserve(BURST, 100)).places == 60


async def test_late_answer_does_not_count_own_calls_again(migrated_engine: AsyncEngine) -> None:
    budgets = ledger(migrated_engine)
    await budgets.reserve(BURST, 99)
    await let_pass(migrated_engine, 9)
    await budgets.reserve(BURST, 1)
    await let_pass(migrated_engine, 2)
    await budgets.correct(Bucket.BURST, Reading(limit=100, remaining=0, window_seconds=10.0), 2.0)
    assert (await budgets.reserve(BURST, 200)).places == 99
    await let_pass(migrated_engine, 20)
    await budgets.correct(Bucket.BURST, Reading(limit=100, remaining=0, window_seconds=10.0), 20.0)
    assert (await budgets.reserve(BURST, 200)).places == 100


async def test_pause_holds_back_every_process(migrated_engine: AsyncEngine) -> None:
    budgets = ledger(migrated_engine)
    await budgets.reserve(BURST, 1)
    await budgets.pause(Bucket.BURST, 10)
    await budgets.pause(Bucket.BURST, 2)
    grant = await budgets.reserve(BURST, 1)
    assert (grant.places, grant.wait_seconds) == (0, pytest.approx(10, abs=0.5))
    assert (await budgets.reserve(SEARCH, 1)).places == 0
    await let_pass(migrated_engine, 10)
    assert (await budgets.reserve(BURST, 1)).places == 1


async def test_clock_that_was_set_back_holds_back_nobody(migrated_engine: AsyncEngine) -> None:
    budgets = ledger(migrated_engine)
    await budgets.reserve(BURST, 100)
    await let_pass(migrated_engine, -3600)
    assert (await budgets.reserve(BURST, 100)).places == 100


async def test_a_row_stays_small_on_its_page_and_never_holds_the_token(migrated_engine: AsyncEngine) -> None:
    budgets = ledger(migrated_engine, calls=10_000)
    for _ in range(400):
        await budgets.reserve(BURST, 2)
        await let_pass(migrated_engine, 0.1)
    ((entries, size, row),) = await sql(
        migrated_engine,
        "SELECT cardinality(taken), pg_column_size(rate_budgets.*), rate_budgets::text FROM rate_budgets",
    )
    assert entries < 150
    assert size < 2000
    assert TOKEN not in row
    assert fingerprint(TOKEN) in row
    assert len(fingerprint(TOKEN)) == 16
    # Not the pages: anybody's open transaction on the same server keeps PostgreSQL from clearing them meanwhile.
    await migrated_engine.dispose()  # sessions that end hand in what they counted
    updates = heap_only = 0
    async with asyncio.timeout(20):
        while updates < 800:
            ((updates, heap_only),) = await sql(
                migrated_engine,
                "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'rate_budgets'",
            )
    assert heap_only / updates > 0.75, "a version that no index points to is cleared on the way"


async def test_under_a_strict_default_isolation_nothing_is_lost(migrated_url: str) -> None:
    """With SERIALIZABLE as the server's default, statements that meet are repeated."""
    first = create_engine(migrated_url)
    name = first.url.database
    await sql(first, f'ALTER DATABASE "{name}" SET default_transaction_isolation = serializable')
    await first.dispose()
    engine = create_engine(migrated_url)
    try:
        budgets = ledger(engine, calls=40)
        grants = await asyncio.gather(*(budgets.reserve(BURST, 3) for _ in range(5)))
        assert sorted(grant.counted for grant in grants) == [3, 6, 9, 12, 15]
    finally:
        await engine.dispose()


@pytest.mark.skipif(find_pgbouncer() is None, reason=HOW_TO_GET_IT)
async def test_behind_a_pooler_that_deals_out_sessions_in_turn_nothing_is_lost(migrated_url: str) -> None:
    folder = Path(tempfile.mkdtemp(prefix="jobloop-pooler-"))
    async with Pooler(migrated_url, folder) as pooler:
        engine = create_engine(pooler.url, pooler=True)
        budgets = RateBudgets(engine, TOKEN, {Bucket.BURST: Budget(200, 10.0)}, pooler=True)
        try:
            grants = await asyncio.gather(*(budgets.reserve(BURST, 3) for _ in range(60)))
            await budgets.correct(Bucket.BURST, Reading(limit=300, remaining=1, window_seconds=10.0), 0.1)
            await budgets.pause(Bucket.BURST, 3)
        finally:
            await engine.dispose()
    shutil.rmtree(folder)
    assert sorted(grant.counted for grant in grants) == list(range(3, 181, 3))


async def test_a_database_that_is_away_is_said_at_once(database_url: str, engine: AsyncEngine) -> None:
    with pytest.raises(LedgerAway, match='"rate_budgets" does not exist'):
        await ledger(engine).reserve(BURST, 1)
    nowhere = create_engine("postgresql://bob@127.0.0.1:1/crm")
    with pytest.raises(LedgerAway):
        await ledger(nowhere).reserve(BURST, 1)
    await nowhere.dispose()
