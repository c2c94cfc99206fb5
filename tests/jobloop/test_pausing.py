"""A paused queue is claimed by nobody; a service that says stop pauses its queue and spares the other rows."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from jobloop import Complete, Control, Fail, JobLoop, JobQueue, Pause, QueueDeclarationError, Retry, batch, each
from tests.jobloop.tickets import PAUSES, Desk, Effect, make_queue

REVOKED = Retry("401: the token is revoked", pause=Pause("401: the token is revoked", after_rows=3))


def pausable(**changes: Any) -> JobQueue:
    return make_queue(pauses=PAUSES, **changes)


def loop_of(desk: Desk, handler: Any, **options: Any) -> JobLoop:
    return JobLoop(options.pop("queue", None) or pausable(), handler, session_factory=desk.sessions, **options)


async def complete(row: Any) -> None: ...


async def test_paused_queue_is_not_claimed_until_it_is_resumed(desk: Desk) -> None:
    await desk.queue(3)
    control = Control(pausable(), desk.engine)
    state = await control.pause("maintenance")
    assert (state.reason, state.paused_by, state.until) == ("maintenance", "operator", None)

    assert (await loop_of(desk, each(complete)).drain()).claimed == 0
    assert (await control.resume()) == state
    assert (await loop_of(desk, each(complete)).drain()).completed == 3
    assert await control.resume() is None


async def test_pause_stops_a_running_worker_and_lets_its_rows_end(desk: Desk) -> None:
    await desk.queue(10)
    control = Control(pausable(), desk.engine)
    stop, first, go_on = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def sync(row: Any) -> None:
        first.set()
        await go_on.wait()

    running = asyncio.create_task(loop_of(desk, each(sync), batch_size=4, poll_seconds=0.02).run(stop))
    async with asyncio.timeout(20):
        await first.wait()
        await control.pause("look at something")
        go_on.set()
        while "Processing" in await desk.statuses():
            await asyncio.sleep(0.01)
        settled = (await desk.statuses())["Complete"]
        assert settled < 10, "rows that were not yet claimed stay"
        await control.resume()
        while await desk.statuses() != {"Complete": 10}:
            await asyncio.sleep(0.01)
        stop.set()
        await running


async def test_revoked_token_pauses_after_three_rows_and_spares_the_others(desk: Desk) -> None:
    await desk.queue(50)

    async def refused(row: Any) -> Retry:
        return REVOKED

    report = await loop_of(desk, each(refused), batch_size=10, concurrency=1).drain()

    state = await Control(pausable(), desk.engine).paused()
    assert state is not None
    assert (state.paused_by, state.reason) == ("worker", "401: the token is revoked")
    assert (report.retried, report.released) == (3, 7)
    (row,) = await desk.sql("SELECT sum(crm_retry_count), count(crm_next_retry_at) FROM tickets")
    assert row[0] == 3, "the rows that met the fault follow the row contract, the others lost nothing"
    assert (await desk.ticket(1)).crm_error == "401: the token is revoked"


async def test_refusals_of_single_rows_do_not_pause(desk: Desk) -> None:
    await desk.queue(10)

    async def now_and_then(row: Any) -> Any:
        return REVOKED if row.number % 3 else Complete()

    await loop_of(desk, each(now_and_then), concurrency=1).drain()

    assert await Control(pausable(), desk.engine).paused() is None


async def test_refusals_are_counted_over_cycles_and_past_rows_that_are_wrong_themselves(desk: Desk) -> None:
    await desk.queue(6)

    async def sync(row: Any) -> Any:
        return Fail("invalid") if row.number % 2 else REVOKED

    loop = loop_of(desk, each(sync), batch_size=2, concurrency=1)
    for _ in range(2):
        await loop.run_once()
    assert await Control(pausable(), desk.engine).paused() is None
    await loop.run_once()

    assert await Control(pausable(), desk.engine).paused() is not None


async def test_known_end_is_kept_and_a_probe_that_succeeds_resumes(desk: Desk) -> None:
    await desk.queue(20)
    midnight = datetime.now(UTC) + timedelta(hours=5)
    is_open = False
    calls: list[int] = []

    async def daily_limit(rows: list[Any]) -> dict[Any, Any]:
        calls.append(len(rows))
        answer = Complete() if is_open else Retry("daily limit", pause=Pause("daily limit", until=midnight))
        return {row.id: answer for row in rows}

    loop = loop_of(desk, batch(daily_limit), batch_size=10)
    await loop.drain()
    control = Control(pausable(), desk.engine)
    state = await control.paused()
    assert state is not None
    assert state.until == midnight
    assert calls == [10]

    assert (await loop.drain()).claimed == 0, "not before its time"
    await desk.sql("UPDATE jobloop_pauses SET until = now()")
    is_open = True
    report = await loop.drain()

    assert calls[1:] == [1, 9], "one row probes, then the rest"
    assert report.completed == 10
    assert await control.paused() is None


async def test_running_worker_probes_as_soon_as_its_own_pause_ends(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """And need not look for it otherwise: a queue that others paused is looked at every half minute."""
    monkeypatch.setattr("jobloop.loop._PROBE_SECONDS", 3600.0)
    await desk.queue(3)
    answers: list[Any] = [Retry("busy", pause=Pause("busy", until=timedelta(milliseconds=50)))]

    async def sync(row: Any) -> Any:
        return answers.pop() if answers else Complete()

    stop = asyncio.Event()
    running = asyncio.create_task(loop_of(desk, each(sync), concurrency=1, poll_seconds=0.02).run(stop))
    async with asyncio.timeout(20):
        while await desk.statuses() != {"Complete": 2, "Queued": 1}:
            await asyncio.sleep(0.01)
        stop.set()
        await running

    assert await Control(pausable(), desk.engine).paused() is None


async def test_probe_that_fails_waits_longer_each_time(desk: Desk) -> None:
    await desk.queue(20)

    async def refused(rows: list[Any]) -> dict[Any, Any]:
        return {row.id: REVOKED for row in rows}

    loop = loop_of(desk, batch(refused), batch_size=5)
    control = Control(pausable(), desk.engine)
    waits = []
    for _ in range(3):
        await loop.drain()
        state = await control.paused()
        assert state is not None
        assert state.until is not None
        waits.append(round((state.until - datetime.now(UTC)).total_seconds() / 60))
        await desk.sql("UPDATE jobloop_pauses SET until = now()")

    assert waits == [1, 2, 4]
    (row,) = await desk.sql("SELECT count(*) FROM tickets WHERE crm_retry_count > 0")
    assert row[0] == 5 + 1 + 1


async def test_row_that_is_itself_wrong_shows_that_the_service_is_well(desk: Desk) -> None:
    await desk.queue(2)
    control = Control(pausable(), desk.engine)
    await control.pause("503", timedelta(0), paused_by="worker")

    async def bad_row(row: Any) -> Fail:
        return Fail("invalid")

    await loop_of(desk, each(bad_row)).drain()

    assert await control.paused() is None
    assert await desk.statuses() == {"Error": 2}


@pytest.mark.parametrize("is_lost", [False, True], ids=["committed", "rolled back"])
async def test_batch_in_a_session_pauses_with_what_it_commits(desk: Desk, is_lost: bool) -> None:
    """Answers that are undone with a lost claim are void: their rows run again, and will be answered anew."""
    await desk.queue(3)

    async def refused(rows: list[Any], session: AsyncSession) -> dict[Any, Any]:
        session.add_all(Effect(number=row.number) for row in rows)
        await session.flush()
        if is_lost:
            await desk.sql("UPDATE tickets SET crm_claim_token = gen_random_uuid() WHERE number = 3")
        return {row.id: REVOKED for row in rows}

    report = await loop_of(desk, batch(refused, session=True)).run_once()

    paused = await Control(pausable(), desk.engine).paused()
    assert (paused is None, report.retried, report.lost) == (is_lost, 0 if is_lost else 3, int(is_lost))


async def test_only_one_worker_probes(desk: Desk) -> None:
    await desk.queue(20)
    await Control(pausable(), desk.engine).pause("503", timedelta(0), paused_by="worker")
    probing, may_end = asyncio.Event(), asyncio.Event()
    claimed = 0

    async def sync(row: Any) -> None:
        nonlocal claimed
        claimed += 1
        probing.set()
        await may_end.wait()

    first = asyncio.create_task(loop_of(desk, each(sync)).run_once())
    async with asyncio.timeout(20):
        await probing.wait()
        others = await asyncio.gather(*(loop_of(desk, each(sync)).run_once() for _ in range(3)))
        may_end.set()
        await first

    assert [report.claimed for report in others] == [0, 0, 0]
    assert claimed == 1


async def test_another_worker_probes_when_the_one_that_probed_was_lost(desk: Desk) -> None:
    control = Control(pausable(), desk.engine)
    await control.pause("503", timedelta(0), paused_by="worker")
    assert await control.begin_probe() is not None
    assert await control.begin_probe() is None
    await desk.sql("UPDATE jobloop_pauses SET probing_until = now() - interval '1 s'")

    assert await control.begin_probe() is not None


async def test_operators_pause_is_not_weakened_by_a_worker(desk: Desk) -> None:
    control = Control(pausable(), desk.engine)
    await control.pause("ask Monday")
    await control.pause("503", timedelta(minutes=1), paused_by="worker")

    state = await control.paused()
    assert state is not None
    assert (state.reason, state.until) == ("ask Monday", None)
    assert await control.resume(after_probe=True) is None


async def test_queue_without_a_pauses_table_says_how_to_get_one(desk: Desk) -> None:
    with pytest.raises(QueueDeclarationError, match="pauses=pauses_table"):
        await Control(make_queue(), desk.engine).pause("x")
