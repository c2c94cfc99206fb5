"""SIGSTOP of a worker past its lease: another worker takes over, and the zombie that wakes up changes nothing."""

from __future__ import annotations

import pytest

from tests.faults import heir
from tests.faults.conftest import orders_for
from tests.faults.jobs import FORMS, SESSION_FORMS, Table
from tests.faults.oracle import judge
from tests.faults.processes import Crowd, eventually


@pytest.mark.parametrize("form", FORMS)
async def test_zombie_that_wakes_up_after_its_heir_completed_changes_nothing(
    jobs: Table, crowd: Crowd, form: str
) -> None:
    await jobs.enqueue(3)
    zombie = await crowd.start(orders_for(jobs, form=form, concurrency=3, is_gated=True))
    await zombie.says("started", times=3)
    await zombie.freeze()
    await jobs.expire_leases()
    report = await heir.drain(jobs, form)
    assert (report.rescued, report.completed) == (3, 3)
    after_heir = await rows(jobs)

    zombie.go()
    zombie.thaw()
    await eventually(lambda: all_ended(jobs, 6), "the zombie's handlers ended")
    its_report = await zombie.stop()

    assert await rows(jobs) == after_heir
    assert (its_report["lost"], its_report["completed"]) == (3, 0)
    verdict = await judge(jobs, form=form)
    assert verdict.violations == []
    assert verdict.counts["starts whose lease was lost"] == 3
    if form in SESSION_FORMS:
        assert await jobs.value("SELECT count(*) FROM own_writes") == 3, "the zombie's own writes are rolled back"


async def test_zombie_whose_heir_is_still_running_does_not_end_the_heirs_run(jobs: Table, crowd: Crowd) -> None:
    await jobs.enqueue(1)
    zombie = await crowd.start(orders_for(jobs, "worker zombie", is_gated=True))
    await zombie.says("started")
    await zombie.freeze()
    await jobs.expire_leases()
    living = await crowd.start(orders_for(jobs, "worker heir", is_gated=True))
    await living.says("started")
    zombie.go()
    zombie.thaw()
    await eventually(lambda: all_ended(jobs, 1), "the zombie's handler ended")
    assert (await zombie.stop())["lost"] == 1

    assert await jobs.statuses() == {"Processing": 1}, "it is the heir's"
    living.go()
    await eventually(lambda: all_ended(jobs, 2), "the heir's handler ended")
    assert (await living.stop())["completed"] == 1
    verdict = await judge(jobs)
    assert verdict.violations == []
    assert verdict.counts["overlaps by a lost lease"] == 1


async def test_zombie_that_starts_a_row_after_its_heir_started_it_changes_nothing(jobs: Table, crowd: Crowd) -> None:
    """The row waited for a free handler when its worker was frozen: what starts last is the lost run."""
    await jobs.enqueue(2)
    zombie = await crowd.start(orders_for(jobs, "worker zombie", is_gated=True, concurrency=1))
    await zombie.says("started 1")
    await zombie.freeze()
    await jobs.expire_leases()
    living = await crowd.start(orders_for(jobs, "worker heir", is_gated=True))
    await living.says("started", times=2)
    zombie.go()
    zombie.thaw()
    await zombie.says("started 2")
    await eventually(lambda: all_ended(jobs, 2), "the zombie's handlers ended")
    living.go()
    await eventually(lambda: all_ended(jobs, 4), "the heir's handlers ended")

    assert (await zombie.stop())["lost"] == 2
    assert (await living.stop())["completed"] == 2
    verdict = await judge(jobs)
    assert verdict.violations == []
    assert verdict.counts["overlaps by a lost lease"] == 2


async def test_lone_worker_that_slept_past_its_lease_cancels_its_own_lost_run(jobs: Table, crowd: Crowd) -> None:
    """Nobody else rescues: it finds its own rows expired, takes them back, and must not mistake old for new."""
    await jobs.enqueue(1)
    lone = await crowd.start(orders_for(jobs, is_gated=True, lease_seconds=1.0, concurrency=2))
    await lone.says("started")
    await lone.freeze()
    await jobs.expire_leases()
    await jobs.sql(  # as another worker's rescue would; this one is still asleep
        "UPDATE jobs SET status = 'Queued', claim_token = NULL, lease_expires_at = NULL, next_retry_at = now()"
    )
    lone.thaw()
    await lone.says("started", times=2)
    await lone.logs("lease on 1 was lost")
    lone.go()
    await eventually(lambda: is_complete(jobs), "the second run completes the row")
    report = await lone.stop()

    assert (report["claimed"], report["completed"], report["lost"]) == (2, 1, 1)
    assert await jobs.value("SELECT count(*) FROM effects WHERE ended IS NULL") == 1, "the first was cancelled"


async def test_lone_worker_that_claimed_its_lost_row_again_starts_either_claim_once(jobs: Table, crowd: Crowd) -> None:
    """Row 2 waits for a free handler in both of its claims: the lost one starts, settles nothing, and the other counts.

    In the session form, because there a handler that asks the row for its token is told that of the other claim.
    """
    await jobs.enqueue(2)
    lone = await crowd.start(orders_for(jobs, form="session", is_gated=True, concurrency=1))
    await lone.says("started 1")
    await lone.freeze()
    await jobs.expire_leases()
    await heir.rescue(jobs)
    lone.thaw()
    await eventually(lambda: is_processing(jobs), "it claims both rows again")
    lone.go()
    await eventually(lambda: all_ended(jobs, 4), "the handlers of both claims ended")
    report = await lone.stop()

    assert (report["claimed"], report["completed"], report["lost"]) == (4, 2, 2)
    assert (await judge(jobs, form="session")).violations == []
    assert await jobs.value("SELECT count(DISTINCT (job_id, token)) FROM effects") == 4


async def rows(jobs: Table) -> list[dict[str, object]]:
    return [dict(row) for row in await jobs.sql("SELECT *, xmin FROM jobs ORDER BY id")]


async def all_ended(jobs: Table, count: int) -> bool:
    return bool(await jobs.value("SELECT count(*) FROM effects WHERE ended IS NOT NULL") == count)


async def is_processing(jobs: Table) -> bool:
    return await jobs.statuses() == {"Processing": 2}


async def is_complete(jobs: Table) -> bool:
    return await jobs.statuses() == {"Complete": 1}
