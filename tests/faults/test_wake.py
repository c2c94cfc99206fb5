"""A worker that was asleep for a lease begins nothing before it knows what is still its own."""

from __future__ import annotations

from tests.faults import heir
from tests.faults.conftest import orders_for
from tests.faults.jobs import Table
from tests.faults.oracle import judge
from tests.faults.processes import Crowd, eventually


async def test_rows_that_waited_while_the_worker_slept_past_its_lease_are_not_started(
    jobs: Table, crowd: Crowd
) -> None:
    await jobs.enqueue(5)
    sleeper = await crowd.start(orders_for(jobs, is_gated=True, lease_seconds=1.0, concurrency=1))
    await sleeper.says("started")
    await sleeper.freeze()
    await eventually(lambda: leases_are_over(jobs), "its leases are over by every clock")
    report = await heir.drain(jobs, "each")
    assert (report.rescued, report.completed) == (5, 5)
    sleeper.go()  # which ends the one handler, so that the next row could begin
    sleeper.thaw()
    await sleeper.logs("lease on 5 was lost")
    its_report = await sleeper.stop()

    assert (its_report["lost"], its_report["completed"]) == (5, 0)
    verdict = await judge(jobs)
    assert verdict.violations == []
    assert await jobs.value("SELECT count(*) FROM effects") == 6, "five by the heir, one before the sleep"


async def leases_are_over(jobs: Table) -> bool:
    return await jobs.value("SELECT bool_and(lease_expires_at < clock_timestamp()) FROM jobs") is True
