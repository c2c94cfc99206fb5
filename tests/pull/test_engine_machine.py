"""Whatever happens in the portal between the runs, in whichever order: incremental runs make the mirror equal again.

A live record that is deleted for good shows nowhere but in its absence from the list: only a full pull tells.
"""

from __future__ import annotations

import asyncio
import os
import random
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from crm_sync.database import create_engine
from crm_sync.hubspot.errors import HubSpotError
from hubspot_emulator import EmulatorServer
from tests.pull.pulling import CRM, Pulls
from tests.pull.users import Users

STEPS = int(os.environ.get("PULL_WALK_STEPS", "20"))


async def catch_up(pulls: Pulls, users: Users) -> None:
    """What makes the mirror equal, without a full pull of anything that does not need one."""
    await pulls.changes(*CRM, catch_up=True)
    if users.purged:
        await pulls.full(*CRM)  # the others for what was associated with the deleted ones
        users.purged.clear()
        await pulls.changes(*CRM, catch_up=True)


@pytest.mark.parametrize("seed", [1, 2, random.randrange(2**32)], ids=["1", "2", "any"])
async def test_incremental_runs_follow_a_long_walk(either: Pulls, seed: int) -> None:
    print(f"seed {seed}")
    users = Users(either.emulator, random.Random(seed), set())
    with either.emulator.account.lock:
        for name in CRM:
            for _ in range(25):
                users.create(name)
    users.act(60)
    users.purged.clear()
    await either.full(*CRM, batch_size=10)
    await either.assert_equal(*CRM)
    for _ in range(STEPS):
        users.act(users.random.randrange(1, 15))
        if users.random.random() < 0.5:  # one of the streams only, within the lag or after it
            await either.let_time_pass(users.random.choice([0, 10, 90, 3_700]))
            await either.pull(users.random.choice(CRM), batch_size=users.random.choice([1, 7, 1_000]))
        else:
            await catch_up(either, users)
            await either.assert_equal(*CRM)
    await catch_up(either, users)
    await either.assert_equal(*CRM)


class Portal(RuleBasedStateMachine):
    """Rules for people, for programs and for the runs; at the end of every example the mirror is equal."""

    emulator: EmulatorServer
    database_url: str

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.emulator.reset()
        self.engine = create_engine(self.database_url)
        self.pulls = Pulls(self.emulator, self.engine)
        self.users = Users(self.emulator, random.Random(0), set())

    def run(self, work: Any) -> Any:
        return self.runner.run(work)

    @initialize(api_version=st.sampled_from(["v3", "2026-03"]), seed=st.integers(0, 1_000), records=st.integers(0, 8))
    def begin(self, api_version: str, seed: int, records: int) -> None:
        self.run(self.pulls.sql(_EMPTY))
        self.pulls.api_version = api_version
        self.users.random.seed(seed)
        with self.emulator.account.lock:
            for name in CRM:
                for _ in range(records):
                    self.users.create(name)

    @rule(times=st.integers(1, 10))
    def something_happens(self, times: int) -> None:
        self.users.act(times)

    @rule(seconds=st.sampled_from([1, 29, 31, 119, 3_700, 90_000]))
    def time_passes(self, seconds: float) -> None:
        self.run(self.pulls.let_time_pass(seconds))

    @rule(stream=st.sampled_from(CRM), size=st.sampled_from([1, 3, 1_000]), catches_up=st.booleans())
    def changes_are_pulled(self, stream: str, size: int, catches_up: bool) -> None:
        self.run(self.pulls.pull(stream, batch_size=size, catch_up=catches_up))

    @rule(stream=st.sampled_from(CRM))
    def all_is_pulled(self, stream: str) -> None:
        self.run(self.pulls.full(stream))

    @rule(stream=st.sampled_from(CRM), nth=st.integers(1, 8), kind=st.sampled_from(["429-daily", "401", "477"]))
    def a_run_is_cut_off(self, stream: str, nth: int, kind: str) -> None:
        self.emulator.fault(kind, nth=nth, times=0)
        try:
            self.run(self.pulls.pull(stream, batch_size=1))
        except HubSpotError:
            pass
        finally:
            self.emulator.clear_faults()

    def teardown(self) -> None:
        try:
            self.run(catch_up(self.pulls, self.users))
            self.run(self.pulls.assert_equal(*CRM))
        finally:
            self.run(self.pulls.stack.aclose())
            self.run(self.engine.dispose())
            self.runner.close()


_EMPTY = """TRUNCATE sync_cursors, sync_issues, hubspot.contacts, hubspot.companies, hubspot.deals, hubspot.notes,
    hubspot.associations, hubspot.property_history, hubspot.removed_records, hubspot.association_types"""


def test_incremental_runs_follow_any_history(running_emulator: EmulatorServer, migrated_url: str) -> None:
    machine = type("Machine", (Portal,), {"emulator": running_emulator, "database_url": migrated_url})
    examples = int(os.environ.get("PULL_EXAMPLES", "12"))
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=10,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )
