"""Two queues on one row: each has its own columns and does not see the other's."""

from __future__ import annotations

import asyncio
from typing import Any

from jobloop import Complete, CycleReport, Fail, JobLoop, Retry, each
from tests.jobloop.tickets import Desk, make_queue


async def test_two_queues_on_one_row_do_not_touch_each_other(desk: Desk) -> None:
    await desk.queue(30)
    await desk.sql("UPDATE tickets SET mail_status = 'Queued'")
    both_running = asyncio.Barrier(2)
    met = set()

    async def to_crm(row: Any) -> Any:
        if row.number == 1:
            await both_running.wait()  # the other queue holds the same row at this moment
            met.add("crm")
        return Complete() if row.number % 2 else Retry("crm is busy")

    async def to_mail(row: Any) -> Any:
        if row.number == 1:
            await both_running.wait()
            met.add("mail")
        return Fail("no such mailbox") if row.number % 3 == 0 else Complete()

    crm = JobLoop(make_queue(), each(to_crm), session_factory=desk.sessions)
    mail = JobLoop(make_queue(status_field_name="mail_status"), each(to_mail), session_factory=desk.sessions)
    async with asyncio.timeout(30):
        crm_reports, mail_reports = await asyncio.gather(cycles(crm, 30), cycles(mail, 30))

    assert met == {"crm", "mail"}
    assert (sum(report.completed for report in crm_reports), sum(report.retried for report in crm_reports)) == (15, 15)
    assert (sum(report.completed for report in mail_reports), sum(report.failed for report in mail_reports)) == (20, 10)
    for number in (1, 2, 3, 6):
        ticket = await desk.ticket(number)
        assert ticket.crm_status == ("Complete" if number % 2 else "Queued")
        assert ticket.crm_retry_count == (0 if number % 2 else 1)
        assert ticket.mail_status == ("Error" if number % 3 == 0 else "Complete")
        assert ticket.mail_retry_count == (1 if number % 3 == 0 else 0)
        assert (ticket.crm_claim_token, ticket.mail_claim_token) == (None, None)


async def cycles(loop: JobLoop, rows: int) -> list[CycleReport]:
    """Cycles until so many rows are processed: a claim passes by those that the other queue is just writing."""
    reports: list[CycleReport] = []
    while sum(report.processed for report in reports) < rows:
        reports.append(await loop.run_once())
    return reports
