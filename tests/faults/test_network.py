"""Connections that are cut, refused, slow or half open, between a worker and PostgreSQL."""

from __future__ import annotations

import asyncio
import os
import random

import pytest

from tests.faults.chaos import Chaos, Plan
from tests.faults.conftest import orders_for
from tests.faults.jobs import SESSION_FORMS, Table
from tests.faults.oracle import judge
from tests.faults.processes import Crowd, eventually
from tests.faults.proxy import Proxy

ROWS = 10


@pytest.mark.parametrize("form", ["each", "batch"])
async def test_connections_cut_while_handlers_run_are_replaced_and_every_row_is_settled_once(
    jobs: Table, proxy: Proxy, crowd: Crowd, form: str
) -> None:
    await jobs.enqueue(ROWS)
    worker = await crowd.start(orders_for(jobs, url=proxy.url, form=form, concurrency=ROWS, is_gated=True))
    await worker.says("started", times=ROWS)
    proxy.is_refusing = True
    proxy.cut()
    worker.go()
    await worker.logs("settle failed")
    proxy.is_refusing = False
    await eventually(lambda: is_all_complete(jobs), "every row is settled when the way is open again")
    report = await worker.stop()

    assert (report["completed"], report["retried"], report["lost"]) == (ROWS, 0, 0)
    verdict = await judge(jobs)
    assert verdict.violations == []
    assert verdict.counts["starts"] == ROWS


async def test_answer_of_a_settle_that_is_lost_on_the_way_is_not_settled_twice(
    jobs: Table, proxy: Proxy, crowd: Crowd
) -> None:
    """The settle was committed, the worker cannot know it: its second try changes 0 rows, and harms nothing."""
    await jobs.enqueue(ROWS)
    worker = await crowd.start(orders_for(jobs, url=proxy.url, form="batch", is_gated=True))
    await worker.says("started", times=ROWS)
    blocker = await jobs_lock(jobs)
    worker.go()
    await eventually(lambda: is_waiting(jobs), "the settle waits in the server")
    proxy.hold_answers()
    await blocker.sql("COMMIT")
    await eventually(lambda: is_all_complete(jobs), "the settle is committed")
    await jobs.sql("UPDATE jobs SET status = 'Queued', revision = 1 WHERE id = 1")  # a user's next request
    proxy.cut()
    proxy.release()
    await eventually(lambda: is_all_complete(jobs), "the next request is served")
    report = await worker.stop()
    await blocker.close()

    assert report["lost"] == ROWS, "as far as the worker knows"
    verdict = await judge(jobs)
    assert verdict.violations == []
    assert verdict.counts["starts"] == ROWS + 1


@pytest.mark.parametrize("form", SESSION_FORMS)
async def test_session_forms_cut_connection_rolls_back_its_writes_and_counts_a_failed_attempt(
    jobs: Table, proxy: Proxy, crowd: Crowd, form: str
) -> None:
    await jobs.enqueue(1)
    worker = await crowd.start(
        orders_for(jobs, url=proxy.url, form=form, is_gated=True, retry_seconds=0.05, batch_size=1)
    )
    await worker.says("started")
    proxy.cut()
    worker.go()
    await eventually(lambda: is_all_complete(jobs, 1), "the second attempt completes the row")
    report = await worker.stop()

    assert (report["retried"], report["completed"]) == (1, 1)
    verdict = await judge(jobs, form=form)
    assert verdict.violations == []
    assert await jobs.value("SELECT count(*) FROM own_writes") == 1
    assert (await jobs.job())["retry_count"] == 1


async def test_half_open_connections_cost_the_lease_and_nothing_else(jobs: Table, proxy: Proxy, crowd: Crowd) -> None:
    """Nothing comes back and nothing says so, as behind a firewall that forgot the connection."""
    await jobs.enqueue(ROWS)
    cut_off = await crowd.start(
        orders_for(jobs, "worker cut off", url=proxy.url, concurrency=ROWS, is_gated=True, lease_seconds=1.0)
    )
    await cut_off.says("started", times=ROWS)
    proxy.hold_requests()
    proxy.hold_answers()
    await proxy.requests_held.wait()  # a renewal went nowhere
    heir = await crowd.start(orders_for(jobs, "worker heir", lease_seconds=1.0))
    await eventually(lambda: is_all_complete(jobs), "the heir rescues and completes the rows")
    cut_off.go()
    proxy.release()  # what was sent in the meantime arrives now, late
    report = await cut_off.stop()
    await heir.stop()

    assert report["completed"] == 0
    verdict = await judge(jobs)
    assert verdict.violations == []
    assert verdict.counts["starts whose lease was lost"] == ROWS


async def test_half_open_listen_connection_is_found_and_replaced_and_wakes(
    jobs: Table, proxy: Proxy, crowd: Crowd
) -> None:
    """The worker polls once an hour here: only NOTIFY can make it quick."""
    worker = await crowd.start(orders_for(jobs, listen_url=proxy.url, probe_seconds=0.5, poll_seconds=3600))
    await eventually(lambda: is_listening(jobs, 1), "it listens")
    await jobs.enqueue(1)
    await eventually(lambda: is_all_complete(jobs, 1), "a notification wakes it")

    proxy.hold_answers()
    await jobs.enqueue(1, first=2)  # this notification is lost: nobody hears it, nothing says so
    await worker.logs("listener lost its connection")
    proxy.cut()
    proxy.release()
    await eventually(lambda: is_all_complete(jobs, 2), "it connects again and looks for what it missed")
    await eventually(lambda: is_listening(jobs, 1), "it listens again")
    await jobs.enqueue(1, first=3)
    await eventually(lambda: is_all_complete(jobs, 3), "and hears again")

    assert proxy.accepted >= 2
    assert (await worker.stop())["completed"] == 3


async def test_connections_that_are_cut_at_random_break_no_promise(jobs: Table, proxy: Proxy, crowd: Crowd) -> None:
    seed = int(os.environ.get("CHAOS_SEED") or random.SystemRandom().randrange(1 << 31))
    print(f"CHAOS_SEED={seed}")
    plan = Plan(
        seed=seed,
        seconds=5,
        operations=600,
        workers=2,
        rows=60,
        user_pause_seconds=0.01,
        kill_every_seconds=60,
        freeze_every_seconds=60,
    )
    chaos = Chaos(jobs, plan, crowd, url=proxy.url)

    async def cut(dice: random.Random) -> str:
        proxy.cut()
        proxy.is_refusing = dice.random() < 0.5
        await asyncio.sleep(dice.uniform(0, 0.3))
        proxy.is_refusing = False
        return "cuts of all connections"

    chaos.restart, chaos.restart_every_seconds = cut, 0.5
    verdict = await chaos.run()
    print(verdict)

    assert verdict.violations == []
    assert verdict.counts["cuts of all connections"] >= 2


async def jobs_lock(jobs: Table) -> Table:
    user = Table(jobs.url, who="user with a lock")
    await user.sql("BEGIN")
    await user.sql("SELECT 1 FROM jobs FOR UPDATE")
    return user


async def is_waiting(jobs: Table) -> bool:
    return bool(
        await jobs.value(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
            "AND application_name LIKE 'worker%' AND wait_event_type = 'Lock'"
        )
    )


async def is_listening(jobs: Table, count: int) -> bool:
    return bool(
        await jobs.value(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
            "AND application_name = 'jobloop listener' AND state = 'idle' AND query LIKE 'LISTEN%'"
        )
        >= count
    )


async def is_all_complete(jobs: Table, rows: int = ROWS) -> bool:
    return await jobs.statuses() == {"Complete": rows}
