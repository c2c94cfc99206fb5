"""A dry run writes nothing, and says what the real run then does."""

from __future__ import annotations

import random

import pytest

from crm_sync.pull.service import PullOptions
from crm_sync.pull.wish import Wants
from tests.hubspot.live import add
from tests.pull.pulling import CRM, Pulls
from tests.pull.test_full import define_memberships
from tests.pull.users import Users

_COUNTS = ("fetched", "inserted", "updated", "unchanged", "archived", "issues")


@pytest.mark.parametrize("wants", [Wants.FULL, Wants.CHANGES])
@pytest.mark.parametrize("stream", ["contacts", "deals"])
async def test_a_dry_run_counts_what_the_real_run_does(pulls: Pulls, stream: str, wants: Wants) -> None:
    users = Users(pulls.emulator, random.Random(6), set())
    users.act(200)
    for _ in range(3):
        await pulls.let_time_pass(4_000)
        before = await pulls.dump()
        dry = await pulls.pull(stream, wants, dry_run=True)
        assert await pulls.dump() == before
        assert dry.is_dry_run
        real = await pulls.pull(stream, wants)
        assert {name: getattr(dry, name) for name in _COUNTS} == {name: getattr(real, name) for name in _COUNTS}
        await pulls.full(*CRM)
        for _ in range(30):
            users.random.choice([users.create, users.update, users.clear, users.archive])()
        record = next(iter(pulls.emulator.portal.table("deals").records.values()))
        record.properties["amount"] = "a lot"


async def test_a_dry_run_of_a_custom_object_makes_no_table(pulls: Pulls) -> None:
    type_id = define_memberships(pulls.emulator)
    pulls.options = PullOptions(custom={"memberships": "membership"})
    add(pulls.emulator, type_id, title="A")
    before = await pulls.dump()
    report = await pulls.pull("memberships", dry_run=True)
    assert (report.inserted, report.updated) == (1, 0)
    assert await pulls.dump() == before
