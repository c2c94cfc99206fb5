"""Random users while workers are killed, frozen and replaced; `make chaos` is the long form."""

from __future__ import annotations

import os
import random

import pytest

from tests.faults.chaos import Chaos, Plan
from tests.faults.jobs import Table
from tests.faults.processes import Crowd

OPERATIONS = {"each": 2500, "session": 1000, "batch session": 1000}


@pytest.mark.parametrize("form", OPERATIONS)
async def test_random_users_and_killed_workers_break_no_promise(jobs: Table, crowd: Crowd, form: str) -> None:
    seed = int(os.environ.get("CHAOS_SEED") or random.SystemRandom().randrange(1 << 31))
    print(f"CHAOS_SEED={seed}")
    plan = Plan(
        seed=seed,
        seconds=8,
        operations=OPERATIONS[form],
        form=form,
        rows=60,
        kill_every_seconds=0.8,
        user_pause_seconds=0.004,
    )
    verdict = await Chaos(jobs, plan, crowd).run()
    print(verdict)

    assert verdict.violations == []
    assert verdict.counts["kills"] >= 1
    assert verdict.counts["settled Complete"] > 0
