"""How many rows a loop takes before it can work on them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from jobloop import JobLoop, each
from tests.jobloop.tickets import Desk, make_queue


@pytest.mark.parametrize(("claims_ahead", "held"), [(True, 4), (False, 3)])
async def test_a_loop_may_leave_what_it_cannot_work_on_yet(desk: Desk, claims_ahead: bool, held: int) -> None:
    """With claims ahead one row waits in this process while others might have it."""
    await desk.queue(6)
    running, may_end, stop = 0, asyncio.Event(), asyncio.Event()
    all_busy = asyncio.Event()

    async def work(row: Any) -> None:
        nonlocal running
        running += 1
        if running == 3:
            all_busy.set()
        await may_end.wait()

    loop = JobLoop(
        make_queue(),
        each(work),
        session_factory=desk.sessions,
        batch_size=1,
        concurrency=3,
        claims_ahead=claims_ahead,
        poll_seconds=0.01,
    )
    async with asyncio.timeout(20):
        task = asyncio.create_task(loop.run(stop))
        await all_busy.wait()
        while (await desk.statuses()).get("Processing", 0) < held:
            await asyncio.sleep(0)
        taken = (await desk.statuses())["Processing"]
        may_end.set()
        while (await desk.statuses()).get("Complete", 0) < 6:
            await asyncio.sleep(0)
        stop.set()
        report = await task
    assert taken == held
    assert report.completed == 6


async def test_a_drain_that_does_not_claim_ahead_still_takes_everything(desk: Desk) -> None:
    await desk.queue(25)

    async def work(row: Any) -> None:
        await asyncio.sleep(0)

    loop = JobLoop(
        make_queue(), each(work), session_factory=desk.sessions, batch_size=2, concurrency=3, claims_ahead=False
    )
    assert (await loop.drain()).completed == 25
