"""Everything works through PgBouncer in transaction mode, and through its end and return."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.faults.chaos import Chaos, Plan
from tests.faults.conftest import orders_for
from tests.faults.jobs import FORMS, Table
from tests.faults.oracle import judge
from tests.faults.pooler import HOW_TO_GET_IT, Pooler, find_pgbouncer
from tests.faults.processes import Crowd, eventually

pytestmark = pytest.mark.skipif(find_pgbouncer() is None, reason=HOW_TO_GET_IT)


@pytest.fixture
async def pooler(database_url: str) -> AsyncIterator[Pooler]:
    folder = Path(tempfile.mkdtemp(prefix="jobloop-pooler-"))
    async with Pooler(database_url, folder) as pooler:
        yield pooler
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize("form", FORMS)
async def test_whole_loop_works_through_the_pooler_and_wakes_by_a_direct_connection(
    jobs: Table, pooler: Pooler, crowd: Crowd, form: str
) -> None:
    """Its poll is an hour away: NOTIFY comes over the direct connection. Leases are renewed, retries are retried."""
    worker = await crowd.start(
        orders_for(
            jobs,
            url=pooler.url,
            is_pooled=True,
            form=form,
            listen_url=jobs.url,
            poll_seconds=3600,
            lease_seconds=0.6,
            longest_ms=1500,
            concurrency=5,
        )
    )
    await jobs.enqueue(20)

    async def is_done() -> bool:
        return await jobs.statuses() == {"Complete": 20}

    await eventually(is_done, "every row is complete")
    report = await worker.stop()

    assert (report["completed"], report["retried"]) == (20, 0)
    verdict = await judge(jobs, form=form)
    assert verdict.violations == []
    assert verdict.counts["renewals"] > 0


async def test_pooler_that_is_killed_and_started_again_breaks_no_promise(
    jobs: Table, pooler: Pooler, crowd: Crowd
) -> None:
    seed = int(os.environ.get("CHAOS_SEED") or random.SystemRandom().randrange(1 << 31))
    print(f"CHAOS_SEED={seed}")
    plan = Plan(
        seed=seed,
        seconds=5,
        workers=2,
        rows=60,
        user_pause_seconds=0.01,
        kill_every_seconds=3,
        freeze_every_seconds=60,
    )
    chaos = Chaos(jobs, plan, crowd, url=pooler.url, is_pooled=True)

    async def restart(dice: random.Random) -> str:
        await pooler.kill()
        await asyncio.sleep(dice.uniform(0, 0.3))
        await pooler.start()
        return "pooler restarts"

    chaos.restart, chaos.restart_every_seconds = restart, 1.0
    verdict = await chaos.run()
    print(verdict)

    assert verdict.violations == []
    assert verdict.counts["pooler restarts"] >= 2
