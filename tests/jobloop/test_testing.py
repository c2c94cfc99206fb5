"""The tools that an application's own tests get."""

from __future__ import annotations

from typing import Any

from jobloop import Retry, each
from jobloop.testing import enqueue, let_time_pass, work
from tests.jobloop.tickets import Desk, make_queue


async def test_enqueue_work_and_let_time_pass(desk: Desk) -> None:
    await desk.queue(3, status=None)
    queue = make_queue()
    keys = [(await desk.ticket(number)).id for number in (1, 2)]
    answers: list[Any] = [Retry("later"), None, None]

    async def sync(row: Any) -> Any:
        return answers.pop(0)

    assert await enqueue(queue, *keys, session_factory=desk.sessions) == 2
    first = await work(queue, each(sync), session_factory=desk.sessions)
    assert (first.claimed, first.retried) == (2, 1)
    assert (await work(queue, each(sync), session_factory=desk.sessions)).claimed == 0
    await let_time_pass(queue, desk.sessions)
    assert (await work(queue, each(sync), session_factory=desk.sessions)).completed == 1
    assert await desk.statuses() == {"Complete": 2, None: 1}
