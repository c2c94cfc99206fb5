"""The operator's hand: it does what was asked to the rows that are meant, and leaves running work alone."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.orm import Mapped, mapped_column

from jobloop import Complete, Control, Fail, JobLoop, QueueDeclarationError, Retry, each, queue_columns
from jobloop.store import Store
from tests.jobloop.shapes import fresh_base, queue_of
from tests.jobloop.tickets import Desk, Status, Ticket, make_queue


@pytest.fixture
def control(desk: Desk) -> Control:
    return Control(make_queue(), desk.engine)


async def numbers(desk: Desk, keys: list[Any]) -> list[int]:
    rows = await desk.sql("SELECT number FROM tickets WHERE id = ANY(CAST(:keys AS uuid[]))", keys=keys)
    return sorted(row.number for row in rows)


async def test_requeue_makes_fresh_requests_of_failed_rows(desk: Desk, control: Control) -> None:
    await desk.queue(4, status="Error")
    await desk.queue(2, first=5, status="Complete")
    await desk.sql("UPDATE tickets SET crm_retry_count = 4, crm_error = 'x' || number")

    keys = await control.requeue(Ticket.crm_error.in_(["x1", "x2", "x5"]))

    assert await numbers(desk, keys) == [1, 2]
    assert await desk.statuses() == {"Queued": 2, "Error": 2, "Complete": 2}
    (claim, _) = await Store(make_queue(), desk.engine).claim(10)
    assert claim.retry_count == 0


async def test_retry_now_makes_waiting_retries_due_with_their_count(desk: Desk, control: Control) -> None:
    await desk.queue(3)

    async def busy(row: Any) -> Retry:
        return Retry("busy")

    await JobLoop(make_queue(), each(busy), session_factory=desk.sessions).run_once()

    keys = await control.retry_now(Ticket.number >= 2)

    assert await numbers(desk, keys) == [2, 3]
    assert [claim.retry_count for claim in await Store(make_queue(), desk.engine).claim(10)] == [1, 1]
    assert await control.retry_now() != [], "the one that still waits"


@pytest.mark.parametrize("word", [None, Status.Skipped])
async def test_cancel_takes_queued_rows_out(desk: Desk, control: Control, word: Status | None) -> None:
    await desk.queue(3)

    keys = await control.cancel(Ticket.number < 3, status=word)

    assert await numbers(desk, keys) == [1, 2]
    assert await desk.statuses() == {word.value if word else None: 2, "Queued": 1}


class TestWhileAWorkerHoldsTheRow:
    async def test_nothing_touches_it(self, desk: Desk, control: Control) -> None:
        await desk.queue(1)
        (claim,) = await Store(make_queue(), desk.engine).claim(10)
        before = await desk.ticket()

        for act in (control.requeue, control.retry_now, control.cancel, control.adopt):
            assert await act() == []

        assert await desk.ticket() == before
        assert before.crm_claim_token == claim.token

    async def test_requeue_of_a_row_that_a_user_failed_runs_after_the_attempt_ended(
        self, desk: Desk, control: Control
    ) -> None:
        await desk.queue(1)
        store = Store(make_queue(), desk.engine)
        await store.claim(10)
        await desk.sql("UPDATE tickets SET crm_status = 'Error'")

        assert len(await control.requeue()) == 1

        assert await store.claim(10) == [], "its worker still runs"
        assert (await desk.ticket()).crm_claim_token is not None

    async def test_cancel_of_a_row_that_was_requeued_while_it_runs(self, desk: Desk, control: Control) -> None:
        await desk.queue(1)

        async def work(row: Any) -> Complete:
            await desk.sql("UPDATE tickets SET crm_status = 'Queued'")
            assert len(await control.cancel(status=Status.Skipped)) == 1
            return Complete()

        report = await JobLoop(make_queue(), each(work), session_factory=desk.sessions).drain()

        assert (report.claimed, report.superseded) == (1, 1)
        ticket = await desk.ticket()
        assert (ticket.crm_status, ticket.crm_claim_token) == ("Skipped", None)


class TestAdopt:
    async def leave(self, desk: Desk) -> None:
        """Three rows of an older system, 1, 2 and 3 hours old, and one that a worker holds."""
        await desk.queue(3, status="Processing")
        await desk.sql("UPDATE tickets SET updated_at = now() - number * interval '1 h', crm_retry_count = 2")
        await desk.queue(1, first=4)
        await Store(make_queue(), desk.engine).claim(1)
        await desk.sql("UPDATE tickets SET updated_at = now() - interval '9 h' WHERE number = 4")

    async def test_takes_rows_that_are_old_enough(self, desk: Desk, control: Control) -> None:
        await self.leave(desk)

        keys = await control.adopt(older_than=timedelta(minutes=90))

        assert await numbers(desk, keys) == [2, 3]
        assert await desk.statuses() == {"Queued": 2, "Processing": 2}
        assert {claim.retry_count for claim in await Store(make_queue(), desk.engine).claim(10)} == {0}

    async def test_age_by_another_column_and_a_filter_beside_it(self, desk: Desk, control: Control) -> None:
        await self.leave(desk)

        keys = await control.adopt(Ticket.number != 3, older_than=timedelta(hours=20), age_field_name="created_at")

        assert await numbers(desk, keys) == [1, 2]

    async def test_without_a_column_that_tells_the_age_it_is_refused(self, engine: AsyncEngine) -> None:
        class Job(fresh_base(), queue_columns("")):  # type: ignore[misc]
            __tablename__ = "jobs"
            id: Mapped[int] = mapped_column(primary_key=True)
            status: Mapped[str | None]

        control = Control(queue_of(Job), engine)

        with pytest.raises(QueueDeclarationError, match=r"Job has no column 'updated_at' to tell the age .*age_field"):
            await control.adopt(older_than=timedelta(hours=1))
        with pytest.raises(QueueDeclarationError, match=r"'status' is .*, the age of a row needs a timestamp"):
            await control.adopt(older_than=timedelta(hours=1), age_field_name="status")


async def test_operators_at_random_break_no_promise(desk: Desk) -> None:
    """Four workers, four hasty operators: no row runs twice at once, and nothing is left behind."""
    seed = random.randrange(2**32)
    print("seed", seed)
    draw = random.Random(seed)
    await desk.queue(40)
    running: dict[int, int] = defaultdict(int)
    overlaps = []
    queue = make_queue()

    async def work(row: Any) -> Any:
        running[row.number] += 1
        if running[row.number] > 1:
            overlaps.append(row.number)
        await asyncio.sleep(draw.uniform(0, 0.01))
        running[row.number] -= 1
        return draw.choice([Complete(), Fail("no"), Retry("busy"), None])

    async def operate() -> None:
        control = Control(queue, desk.engine)
        while not stop.is_set():
            some = Ticket.number % draw.randint(1, 5) == 0
            acts: list[Any] = [
                lambda: control.requeue(some),  # noqa: B023 - awaited in this turn
                lambda: control.retry_now(some),  # noqa: B023
                lambda: control.cancel(some, status=Status.Error),  # noqa: B023
                lambda: control.adopt(some),  # noqa: B023
                lambda: desk.sql(f"UPDATE tickets SET crm_status = 'Queued' WHERE number = {draw.randint(1, 40)}"),
            ]
            await draw.choice(acts)()
            await asyncio.sleep(draw.uniform(0, 0.005))

    stop = asyncio.Event()
    loops = [JobLoop(queue, each(work), session_factory=desk.sessions, batch_size=7, poll_seconds=0.01) for _ in "1234"]
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        runs = [group.create_task(loop.run(stop)) for loop in loops]
        for _ in range(4):
            group.create_task(operate())
        await asyncio.sleep(2)
        stop.set()
    reports = [run.result() for run in runs]

    assert sum(report.claimed for report in reports) > 40
    assert (overlaps, sum(report.lost for report in reports)) == ([], 0)
    (row,) = await desk.sql(
        "SELECT count(crm_claim_token), count(*) FILTER (WHERE crm_status = 'Processing') FROM tickets"
    )
    assert tuple(row) == (0, 0)
