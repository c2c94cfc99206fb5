"""What the queue costs, in figures that no machine's speed changes: statements, bytes of WAL, buffers.

The ceilings are a little above what was measured on PostgreSQL 18 when they were set; each says what is in it. A
change that breaks one has made every row dearer: that may be right, but then it is decided and not an accident.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy import URL
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, create_async_engine

from crm_sync.embedded_postgres import EmbeddedPostgres
from jobloop import Complete, JobLoop, Outcome, batch, each, statements
from jobloop.settlement import COMPLETED
from jobloop.store import Store
from tests.jobloop.tickets import PAUSES, Desk, make_queue

ROWS = 5_000
BATCH = 500
#: Nobody else's work in the counters; no page images, whose number depends on when the last checkpoint was.
PARAMETERS = {
    "shared_preload_libraries": "pg_stat_statements",
    "pg_stat_statements.track_planning": "on",
    "full_page_writes": "off",
    "autovacuum": "off",
    "fsync": "off",
}
#: What the driver asks once a connection; how many connections are opened depends on what runs at the same time.
ONCE_A_CONNECTION = ("typeinfo_tree", "set_config")
RAW_CLAIM = """
    UPDATE tickets SET crm_status = 'Processing', updated_at = now()
    FROM (SELECT id FROM tickets WHERE crm_status = 'Queued'
          ORDER BY coalesce(crm_next_retry_at, '-infinity'::timestamptz), created_at, id LIMIT 500
          FOR UPDATE SKIP LOCKED) AS due
    WHERE tickets.id = due.id RETURNING tickets.id
"""
RAW_COMPLETE = """
    UPDATE tickets SET crm_status = 'Complete', updated_at = now() WHERE id = ANY(:ids) AND crm_status = 'Processing'
"""


@pytest.fixture(scope="module")
def server_url() -> Iterator[URL]:
    """A server of these tests' own, in place of the one that all tests share."""
    with tempfile.TemporaryDirectory(prefix="jobloop-costs-") as folder:
        server = EmbeddedPostgres(Path(folder), parameters=PARAMETERS).start()
        yield server.url("postgres")
        server.stop(delete=True)


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    """Without pre-ping, which with asyncpg is three round trips for each connection taken from the pool."""
    engine = create_async_engine(database_url, pool_size=20)
    yield engine
    await engine.dispose()


@dataclass(frozen=True)
class Kind:
    """All runs of one statement."""

    text: str
    calls: int
    plans: int
    rows: int
    buffers: int


class Meter:
    """Counts what happens in one database, looking from another."""

    def __init__(self, observer: AsyncConnection, database: str) -> None:
        self._observer = observer
        self._database = database

    async def reset(self) -> None:
        await self._observer.execute(sa.text("SELECT pg_stat_statements_reset()"))

    async def kinds(self) -> list[Kind]:
        found = await self._observer.execute(
            sa.text("""
                SELECT query, calls, plans, rows, shared_blks_hit + shared_blks_read AS buffers
                FROM pg_stat_statements JOIN pg_database ON pg_database.oid = dbid WHERE datname = :database
            """),
            {"database": self._database},
        )
        kinds = [Kind(*row) for row in found]
        return [kind for kind in kinds if not any(word in kind.text for word in ONCE_A_CONNECTION)]

    async def statements(self) -> int:
        return sum(kind.calls for kind in await self.kinds())

    async def wal_position(self) -> int:
        found = await self._observer.execute(sa.text("SELECT (pg_current_wal_insert_lsn() - '0/0')::int8"))
        return int(found.scalar_one())


@pytest.fixture
async def meter(desk: Desk, server_url: URL) -> AsyncIterator[Meter]:
    engine = create_async_engine(server_url, isolation_level="AUTOCOMMIT")
    async with engine.connect() as observer:
        await observer.execute(sa.text("CREATE EXTENSION IF NOT EXISTS pg_stat_statements"))
        yield Meter(observer, str(desk.engine.url.database))
    await engine.dispose()


async def complete(row: Any) -> None: ...


async def complete_all(rows: list[Any]) -> dict[UUID, Outcome]:
    return {row.id: Complete() for row in rows}


async def complete_in_session(ticket_id: UUID, session: AsyncSession) -> None: ...


async def write_in_session(ticket_id: UUID, session: AsyncSession) -> None:
    await session.execute(sa.text("UPDATE tickets SET title = 'seen' WHERE id = :id"), {"id": ticket_id})


async def warm_loop(desk: Desk, handler: Any, **options: Any) -> JobLoop:
    """A loop that has looked at its table, on connections that are open: what happens once is over."""
    loop = JobLoop(make_queue(), handler, session_factory=desk.sessions, batch_size=BATCH, **options)
    await desk.queue(BATCH, first=1_000_000)
    assert (await loop.drain()).completed == BATCH
    return loop


@pytest.mark.parametrize("handler", [each(complete), batch(complete_all)], ids=["each", "batch"])
async def test_a_thousand_rows_take_a_handful_of_statements(desk: Desk, meter: Meter, handler: Any) -> None:
    """Two claims and two settles, measured 4.6 with those that find the queue empty; no BEGIN, no COMMIT.

    The ceiling leaves room for settles that a slow machine cuts in two.
    """
    loop = await warm_loop(desk, handler)
    await desk.queue(ROWS)
    await meter.reset()

    assert (await loop.drain()).completed == ROWS

    kinds = await meter.kinds()
    assert await meter.statements() <= 6 * ROWS / 1000 + 4, kinds
    assert not [kind for kind in kinds if kind.text.startswith(("BEGIN", "COMMIT", "SHOW", "SET"))]


async def test_behind_a_transaction_pooler_every_statement_is_in_a_transaction(desk: Desk, meter: Meter) -> None:
    """It could prepare a statement in one session and execute it in another, but for the transaction around both."""
    pooled = create_async_engine(desk.engine.url, connect_args={"prepared_statement_cache_size": 0})
    store = Store(make_queue(), pooled)
    await desk.queue(2)
    assert len(await store.claim(1)) == 1, "the connection is open, the server's isolation known"
    await meter.reset()

    await store.settle([(claim, COMPLETED) for claim in await store.claim(1)])

    kinds = await meter.kinds()
    assert [sum(kind.calls for kind in kinds if kind.text.startswith(word)) for word in ("BEGIN", "COMMIT")] == [2, 2]
    await pooled.dispose()


async def test_a_session_of_its_own_costs_a_row_three_statements(desk: Desk, meter: Meter) -> None:
    """BEGIN, the settle, COMMIT, beside the handler's own."""
    loop = await warm_loop(desk, write_in_session, concurrency=5)
    await desk.queue(BATCH)
    await meter.reset()

    assert (await loop.drain()).completed == BATCH

    assert await meter.statements() <= 4 * BATCH + 10, await meter.kinds()


async def test_the_settle_in_a_session_is_planned_once(desk: Desk, meter: Meter) -> None:
    """A statement with arrays is planned for every execution, which costs the server more than the update."""
    loop = await warm_loop(desk, write_in_session, concurrency=2)
    await desk.queue(BATCH)
    await meter.reset()

    assert (await loop.drain()).completed == BATCH

    (settle,) = [kind for kind in await meter.kinds() if "crm_claim_token = $" in kind.text]
    assert settle.calls == BATCH
    assert settle.plans <= BATCH / 5, "five for each connection that has not run it before, none afterwards"


async def test_a_session_without_an_open_transaction_is_settled_with_others(desk: Desk, meter: Meter) -> None:
    """The handler never used it, or committed by itself: there is nothing to settle together with."""
    loop = await warm_loop(desk, complete_in_session, concurrency=5)
    await desk.queue(BATCH)
    await meter.reset()

    assert (await loop.drain()).completed == BATCH

    assert await meter.statements() <= BATCH / 5, await meter.kinds()


async def test_wal_of_a_row_is_little_more_than_that_of_two_plain_updates(desk: Desk, meter: Meter) -> None:
    """The token and the lease ride on updates that are made anyway: measured 869 bytes against 844. No third one."""
    loop = await warm_loop(desk, batch(complete_all))
    await desk.queue(ROWS, first=1)
    await desk.sql("VACUUM ANALYZE tickets")
    before = await meter.wal_position()
    await loop.drain()
    ours = (await meter.wal_position() - before) / ROWS

    await desk.sql("TRUNCATE tickets")
    await desk.queue(BATCH, first=1_000_000, status="Complete")
    await desk.queue(ROWS, first=1)
    await desk.sql("VACUUM ANALYZE tickets")
    before = await meter.wal_position()
    await two_plain_updates(desk)
    raw = (await meter.wal_position() - before) / ROWS

    assert ours <= 1.1 * raw, f"{ours:.0f} bytes a row against {raw:.0f}"
    assert ours <= 1_000, f"{ours:.0f} bytes a row"


async def two_plain_updates(desk: Desk) -> None:
    async with desk.engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        while ids := (await connection.execute(sa.text(RAW_CLAIM))).scalars().all():
            await connection.execute(sa.text(RAW_COMPLETE), {"ids": ids})


async def test_claim_and_settle_read_a_few_buffers_for_each_row(desk: Desk, meter: Meter) -> None:
    """Measured 11.5 and 9.3, most to write: the new version of the row, an entry in each index it belongs to."""
    loop = await warm_loop(desk, batch(complete_all))
    await desk.queue(ROWS)
    await desk.sql("VACUUM ANALYZE tickets")
    await meter.reset()

    await loop.drain()

    kinds = await meter.kinds()
    (claims,) = [kind for kind in kinds if "SKIP LOCKED" in kind.text and kind.rows]
    (settles,) = [kind for kind in kinds if "unnest" in kind.text]
    assert claims.rows == ROWS
    assert settles.rows == 0, "only rows that went otherwise than said are sent back"
    assert claims.buffers / ROWS <= 13, claims
    assert settles.buffers / ROWS <= 11, settles


@pytest.mark.parametrize("entities", [False, True])
async def test_a_row_that_waits_is_few_objects(desk: Desk, entities: bool) -> None:
    """Measured 4: the claim, the driver's record, two uuids. The garbage collector goes through them all, and often."""
    store = Store(make_queue(), desk.engine, entities=entities)
    await desk.queue(2 * BATCH)
    await store.claim(BATCH)
    before = tracked_objects()

    claims = await store.claim(BATCH)

    assert len(claims) == BATCH
    assert (tracked_objects() - before) / BATCH <= 4.5


def tracked_objects() -> int:
    gc.collect()
    return len(gc.get_objects())


async def test_handlers_that_never_wait_do_not_hold_up_the_next_claim(desk: Desk, monkeypatch: Any) -> None:
    """The server works on the next claim while Python works on this one: measured after 210 rows of 500."""
    started, ran = [], [0]

    async def count(row: Any) -> None:
        ran[0] += 1

    loop = await warm_loop(desk, each(count))
    claim = loop.store.claim

    async def noting(*arguments: Any, **options: Any) -> Any:
        started.append(ran[0])
        return await claim(*arguments, **options)

    monkeypatch.setattr(loop.store, "claim", noting)
    await desk.queue(3 * BATCH)
    ran[0] = 0

    assert (await loop.drain()).completed == 3 * BATCH

    assert started[:3] == sorted(started[:3])
    assert started[1] < BATCH
    assert started[2] < 2 * BATCH


@pytest.mark.parametrize("is_slow", [False, True], ids=["quick handler", "slower than a claim"])
async def test_the_next_claim_is_sent_before_a_batch_is_handled(desk: Desk, monkeypatch: Any, is_slow: bool) -> None:
    """Rows of a batch are built and handled in one go, so the server would have nothing to do meanwhile."""
    steps: list[str] = []
    answered = asyncio.Event()
    answered.set()

    async def handle(rows: list[Any]) -> dict[UUID, Outcome]:
        steps.append("handle")
        if is_slow:
            async with asyncio.timeout(20):
                await answered.wait()
                for _ in range(20):  # turns in which the loop takes it in, and looks whether there is room for more
                    await asyncio.sleep(0)
        return await complete_all(rows)

    loop = await warm_loop(desk, batch(handle))
    claim = loop.store.claim

    async def noting(*arguments: Any, **options: Any) -> Any:
        steps.append("claim")
        answered.clear()
        claims = await claim(*arguments, **options)
        answered.set()
        return claims

    monkeypatch.setattr(loop.store, "claim", noting)
    await desk.queue(3 * BATCH)
    steps.clear()

    assert (await loop.drain()).completed == 3 * BATCH

    assert steps[:7] == ["claim", "claim", "handle", "claim", "handle", "claim", "handle"]


async def test_renewals_of_leases_touch_no_index(desk: Desk) -> None:
    """Heap-only updates, as long as the pages have room: nothing of an index is read or written."""
    await desk.sql("ALTER TABLE tickets SET (fillfactor = 50)")
    await desk.queue(200)
    token = uuid4()
    await desk.sql(
        "UPDATE tickets SET crm_status = 'Processing', crm_claim_token = :token, "
        "crm_lease_expires_at = now() + interval '1 minute'",
        token=token,
    )
    await desk.sql("VACUUM FULL tickets")
    keys = [row.id for row in await desk.sql("SELECT id FROM tickets")]

    async with desk.engine.begin() as connection:
        binds = {"key_0": keys, "token": [token] * len(keys), "lease_seconds": 60.0}
        renewed = (await connection.execute(statements.renew(make_queue()), binds)).all()
        heap_only = await connection.scalar(sa.text("SELECT pg_stat_get_xact_tuples_hot_updated('tickets'::regclass)"))

    assert len(renewed) == heap_only == 200


@pytest.mark.parametrize("pauses", [None, PAUSES], ids=["", "with a pauses table"])
async def test_an_idle_loop_sends_one_statement_a_poll(desk: Desk, meter: Meter, pauses: sa.Table | None) -> None:
    """The rescue looks every half lease, the end of a pause every 30 s: both once, at the start."""
    loop = JobLoop(make_queue(pauses=pauses), each(complete), session_factory=desk.sessions, poll_seconds=0.02)
    assert (await loop.drain()).claimed == 0
    await meter.reset()
    stop = asyncio.Event()
    running = asyncio.create_task(loop.run(stop))
    try:
        async with asyncio.timeout(20):
            while await claims_sent(meter) < 10:
                await asyncio.sleep(0.02)
        others = [kind for kind in await meter.kinds() if "due_retries" not in kind.text]
    finally:
        stop.set()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(running, 20)

    assert {kind.calls for kind in others} <= {1}, others


async def claims_sent(meter: Meter) -> int:
    return sum(kind.calls for kind in await meter.kinds() if "due_retries" in kind.text)
