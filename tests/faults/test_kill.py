"""SIGKILL of a worker process at every step of claim → handle → settle, in each form of handler.

The steps are held still by locks in the server, so the kill hits exactly there. What the server then does with the
statement in flight decides: it may have been committed without anyone reading the answer, or not at all.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from tests.faults import heir
from tests.faults.conftest import orders_for
from tests.faults.jobs import FORMS, SESSION_FORMS, Table, connect
from tests.faults.oracle import judge
from tests.faults.processes import Crowd, WorkerProcess, eventually
from tests.faults.proxy import Proxy

ROWS = 3
#: The worker is killed while its statement is unfinished, which the server then rolls back; or after the commit.
FATES = ("rolled back", "committed")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("fate", FATES)
async def test_killed_in_its_claim(jobs: Table, proxy: Proxy, crowd: Crowd, form: str, fate: str) -> None:
    worker = await crowd.start(orders_for(jobs, url=proxy.url, form=form, concurrency=ROWS))
    await eventually(lambda: has_claimed(jobs), "the claim is prepared: it is one message and one answer")
    async with holding(jobs, "LOCK TABLE jobs IN SHARE MODE") as lock:
        await lock.execute("INSERT INTO jobs (id, status) SELECT i, 'Queued' FROM generate_series(1, $1::int) i", ROWS)
        await until_waiting(jobs)
        await meet(fate, worker, jobs, proxy, lock, "Processing")

    assert await jobs.statuses() == {"Queued" if fate == "rolled back" else "Processing": ROWS}
    await expect_rescue(jobs, form, lost=ROWS if fate == "committed" else 0, starts=ROWS)


@pytest.mark.parametrize("form", FORMS)
async def test_killed_in_its_handlers(jobs: Table, crowd: Crowd, form: str) -> None:
    await jobs.enqueue(ROWS)
    worker = await crowd.start(orders_for(jobs, form=form, concurrency=ROWS, is_gated=True))
    await worker.says("started", times=ROWS)
    await worker.kill()

    await expect_rescue(jobs, form, lost=ROWS, starts=2 * ROWS)


@pytest.mark.parametrize("form", FORMS)
async def test_killed_between_its_handlers_end_and_the_settle(
    jobs: Table, proxy: Proxy, crowd: Crowd, form: str
) -> None:
    """The settle was sent and never reached the server."""
    worker = await at_the_gate(jobs, proxy, crowd, form)
    proxy.hold_requests()
    worker.go()
    await proxy.requests_held.wait()
    await eventually(lambda: all_ended(jobs), "the handlers ended")
    await worker.kill()
    proxy.cut()

    await expect_rescue(jobs, form, lost=ROWS, starts=2 * ROWS)


@pytest.mark.parametrize(
    ("form", "fate"),
    [
        (form, fate)
        for form in FORMS
        for fate in FATES
        if form not in SESSION_FORMS or fate == "rolled back"  # they commit later: test_killed_in_its_commit
    ],
)
async def test_killed_in_its_settle(jobs: Table, proxy: Proxy, crowd: Crowd, form: str, fate: str) -> None:
    worker = await at_the_gate(jobs, proxy, crowd, form)
    async with holding(jobs, "SELECT 1 FROM jobs FOR UPDATE") as lock:
        worker.go()
        await eventually(lambda: all_ended(jobs), "the handlers ended")
        await until_waiting(jobs)
        # A handler that ends late, on a busy machine, is left to the next settle, which is never sent.
        settled = await meet(fate, worker, jobs, proxy, lock, "Complete", at_least=1)

    lost = ROWS - settled
    await expect_rescue(jobs, form, lost=lost, starts=ROWS + lost)


@pytest.mark.parametrize("form", SESSION_FORMS)
@pytest.mark.parametrize("fate", FATES)
async def test_killed_in_its_commit(jobs: Table, proxy: Proxy, crowd: Crowd, form: str, fate: str) -> None:
    """With a session, the handler's writes and the settle are one transaction, whose COMMIT waits."""
    worker = await at_the_gate(jobs, proxy, crowd, form)
    async with holding(jobs, "SELECT pg_advisory_xact_lock(1)") as lock:
        worker.go()
        await until_waiting(jobs, sessions=ROWS if form == "session" else 1)
        await meet(fate, worker, jobs, proxy, lock, "Complete")

    lost = ROWS if fate == "rolled back" else 0
    await expect_rescue(jobs, form, lost=lost, starts=ROWS + lost)
    assert await jobs.value("SELECT count(*) FROM own_writes") == ROWS, "exactly once, with the settle"


async def test_worker_that_kills_its_worker_each_time_becomes_poison(jobs: Table, crowd: Crowd) -> None:
    """Three real workers die in the handler of one row; the fourth finds it given up and lives."""
    await jobs.enqueue(1)
    for n in range(3):
        worker = await crowd.start(orders_for(jobs, f"worker {n}", is_gated=True))
        await worker.says("started")
        await worker.kill()
        await jobs.expire_leases()
    report = await heir.drain(jobs)

    assert (report.poison, report.claimed) == (1, 0)
    job = await jobs.job()
    assert (job["status"], job["error"], job["retry_count"]) == ("Error", "worker lost 3 times", 0)
    assert (await judge(jobs)).violations == []


# -- holding a step still, and what follows ---------------------------------------------------------------------------


@asynccontextmanager
async def holding(jobs: Table, lock: str) -> AsyncIterator[asyncpg.Connection]:
    """A user's transaction that took `lock`."""
    connection = await connect(jobs.url, who="user with a lock")
    try:
        await connection.execute(f"BEGIN; {lock}")
        yield connection
    finally:
        await connection.close()


async def at_the_gate(jobs: Table, proxy: Proxy, crowd: Crowd, form: str) -> WorkerProcess:
    await jobs.enqueue(ROWS)
    worker = await crowd.start(orders_for(jobs, url=proxy.url, form=form, concurrency=ROWS, is_gated=True))
    await worker.says("started", times=ROWS)
    return worker


async def meet(
    fate: str,
    worker: WorkerProcess,
    jobs: Table,
    proxy: Proxy,
    lock: asyncpg.Connection,
    status: str,
    *,
    at_least: int = ROWS,
) -> int:
    """Kill the worker whose statement waits for `lock`; returns how many rows it gave `status`: 0 if rolled back."""
    if fate == "rolled back":
        await worker.kill()
        await jobs.sql(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND application_name LIKE 'worker%' AND application_name !~ 'oracle'"
        )
        await lock.execute("COMMIT")
        return 0
    proxy.hold_answers()
    await lock.execute("COMMIT")

    async def committed() -> int:
        count = (await jobs.statuses()).get(status, 0)
        return count if count >= at_least else 0

    count: int = await eventually(committed, f"{at_least} rows are {status}")
    await worker.kill()
    return count


async def until_waiting(jobs: Table, sessions: int = 1) -> None:
    async def is_waiting() -> bool:
        count = await jobs.value(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
            "AND application_name LIKE 'worker%' AND wait_event_type = 'Lock'"
        )
        return bool(count >= sessions)

    await eventually(is_waiting, "the worker's statement waits in the server")


async def has_claimed(jobs: Table) -> bool:
    return bool(
        await jobs.value(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle' "
            "AND application_name LIKE 'worker%' AND query LIKE 'WITH due_retries%'"
        )
    )


async def all_ended(jobs: Table) -> bool:
    return bool(await jobs.value("SELECT count(*) FROM effects WHERE ended IS NOT NULL") == ROWS)


async def expect_rescue(jobs: Table, form: str, *, lost: int, starts: int) -> None:
    """The dead worker's rows are untouchable until its lease ends; then they run again, and every promise holds."""
    before = await heir.drain(jobs, form)
    await jobs.expire_leases()
    after = await heir.drain(jobs, form)

    assert (before.rescued, after.rescued, after.completed) == (0, lost, lost)
    assert await jobs.statuses() == {"Complete": ROWS}
    verdict = await judge(jobs, form=form)
    assert verdict.violations == []
    assert verdict.counts["starts"] == starts
    assert await jobs.value("SELECT max(retry_count) FROM jobs") == 0, "a lost worker is no failed attempt"
