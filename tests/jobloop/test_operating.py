"""An operator's statements touch the rows they name, and no others."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from jobloop import Control
from jobloop.store import Store
from tests.jobloop.tickets import Desk, Status, make_queue


@pytest.fixture
async def zoo(desk: Desk) -> Desk:
    """1 fresh, 2 a waiting retry, 3 a due retry, 4 held, 5 Processing without a lease, 6 Complete, 7 Error, 8 Skipped.

    6 to 8 have a next_retry_at that somebody else wrote.
    """
    await desk.queue(1, first=4)
    await Store(make_queue(), desk.engine).claim(1)
    await desk.queue(3)
    for number, status in enumerate(("Processing", "Complete", "Error", "Skipped"), start=5):
        await desk.queue(1, first=number, status=status)
    await desk.sql("UPDATE tickets SET crm_next_retry_at = now() + interval '1 h' WHERE number IN (2, 6, 7, 8)")
    await desk.sql("UPDATE tickets SET crm_next_retry_at = now() - interval '1 h' WHERE number = 3")
    await desk.sql("UPDATE tickets SET crm_retry_count = 2 WHERE number IN (2, 3, 7)")
    return desk


@pytest.mark.parametrize(
    ("act", "touched"),
    [
        (lambda control: control.requeue(), {7}),
        (lambda control: control.retry_now(), {2}),
        (lambda control: control.cancel(status=Status.Skipped), {1, 2, 3}),
        (lambda control: control.adopt(), {5}),
    ],
    ids=["requeue", "retry now", "cancel", "adopt"],
)
async def test_only_the_rows_it_names_are_touched(zoo: Desk, engine: AsyncEngine, act: Any, touched: set[int]) -> None:
    before = await numbered(zoo)
    keys = await act(Control(make_queue(), engine))
    after = await numbered(zoo)

    assert {number for number in before if before[number] != after[number]} == touched
    assert set(keys) == {before[number].id for number in touched}


async def test_requeued_row_is_a_fresh_request_and_a_retry_made_due_is_not(zoo: Desk, engine: AsyncEngine) -> None:
    control = Control(make_queue(), engine)
    await control.requeue()
    await control.retry_now()
    await Store(make_queue(), engine).claim(10)

    after = await numbered(zoo)
    assert (after[7].crm_status, after[7].crm_retry_count) == ("Processing", 0)
    assert (after[2].crm_status, after[2].crm_retry_count) == ("Processing", 2)


async def test_cancelled_retry_that_is_queued_again_is_a_fresh_request(zoo: Desk, engine: AsyncEngine) -> None:
    await Control(make_queue(), engine).cancel()
    await zoo.sql("UPDATE tickets SET crm_status = 'Queued' WHERE number = 2")
    (claim,) = await Store(make_queue(), engine).claim(10)

    assert (claim.key, claim.retry_count) == ((await zoo.ticket(2)).id, 0)


async def numbered(desk: Desk) -> dict[int, Any]:
    return {row.number: row for row in await desk.sql("SELECT * FROM tickets")}
