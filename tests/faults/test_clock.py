"""Workers whose clocks are an hour fast and an hour slow: the database's clock decides everything."""

from __future__ import annotations

import glob
import os
import random
import time

import pytest

from tests.faults.chaos import Chaos, Plan
from tests.faults.jobs import Table
from tests.faults.processes import Crowd

LIBRARIES = glob.glob("/usr/lib/*/faketime/libfaketime.so.1") + glob.glob("/usr/lib/faketime/libfaketime.so.1")
HOW_TO_GET_IT = "libfaketime is not installed: `apt-get install faketime`, or your system's package of that name"


def clock(offset: str) -> dict[str, str]:
    """The environment of a process whose wall clock is off; its monotonic clock, which only measures, is right."""
    return {"LD_PRELOAD": LIBRARIES[0], "FAKETIME": offset, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


@pytest.mark.skipif(not LIBRARIES, reason=HOW_TO_GET_IT)
async def test_workers_with_wrong_clocks_steal_no_lease_and_keep_every_date(jobs: Table, crowd: Crowd) -> None:
    seed = int(os.environ.get("CHAOS_SEED") or random.SystemRandom().randrange(1 << 31))
    print(f"CHAOS_SEED={seed}")
    plan = Plan(
        seed=seed,
        seconds=5,
        operations=600,
        workers=2,
        rows=60,
        lease_seconds=3.0,
        user_pause_seconds=0.01,
        kill_every_seconds=60,
        freeze_every_seconds=60,
    )
    chaos = Chaos(jobs, plan, crowd)
    chaos.environments = [clock("+1h"), clock("-1h")]
    verdict = await chaos.run()
    print(verdict)

    for worker in crowd.workers:
        off_by = abs(float((await worker.says("ready")).split()[1]) - time.time())
        assert 3000 < off_by < 4200, "the clock of this worker should be off by an hour"
    assert verdict.violations == []
    assert verdict.counts["settled Queued"] > 0, "retries were made and were due by the database's clock"
    assert await jobs.value("SELECT max(abs(extract(epoch FROM (after).lease_expires_at - at))) FROM journal") < 60
    assert await jobs.value("SELECT max(abs(extract(epoch FROM (after).next_retry_at - at))) FROM journal") < 60
