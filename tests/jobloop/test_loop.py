"""One cycle over a real table: claim, process, settle, in all three handler forms."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from jobloop import Complete, Fail, JobLoop, Pause, Retry, RetryPolicy, Snooze, batch, bind, each, run_job_loop
from tests.jobloop.tickets import Base, Desk, Effect, Status, Ticket, make_queue


def loop_of(desk: Desk, handler: Any, **options: Any) -> JobLoop:
    queue = options.pop("queue", None) or make_queue()
    return JobLoop(queue, handler, session_factory=desk.sessions, **options)


async def test_each_form_completes_rows_and_writes_their_values(desk: Desk) -> None:
    await desk.queue(3)

    async def sync(row: Any) -> Complete:
        return Complete(values={"external_id": f"crm-{row.number}"})

    report = await loop_of(desk, each(sync)).run_once()

    assert (report.claimed, report.completed, report.processed) == (3, 3, 3)
    ticket = await desk.ticket(2)
    assert (ticket.crm_status, ticket.external_id, ticket.crm_error) == ("Complete", "crm-2", None)
    assert (ticket.crm_claim_token, ticket.crm_lease_expires_at, ticket.crm_next_retry_at) == (None, None, None)
    assert ticket.crm_retry_count == 0


async def test_batch_form_gets_all_rows_in_order_and_a_missing_answer_is_a_failure(desk: Desk) -> None:
    await desk.queue(5)
    seen: list[int] = []

    async def sync(rows: list[Any]) -> dict[Any, Any]:
        seen.extend(row.number for row in rows)
        answers: dict[Any, Any] = {row.id: Complete() for row in rows}
        del answers[rows[1].id]
        answers[rows[2].id] = Fail("no such thing")
        answers[rows[3].id] = None
        return answers

    report = await loop_of(desk, batch(sync)).run_once()

    assert seen == [1, 2, 3, 4, 5]
    assert (report.completed, report.retried, report.failed) == (3, 1, 1)
    assert "no outcome for this row" in (await desk.ticket(2)).crm_error
    assert (await desk.ticket(3)).crm_error == "no such thing"


async def test_batch_form_exception_is_every_rows_failure(desk: Desk) -> None:
    await desk.queue(4)

    async def sync(rows: list[Any]) -> dict[Any, Any]:
        raise ConnectionError("the CRM is away")

    report = await loop_of(desk, batch(sync)).run_once()

    assert report.retried == 4
    assert await desk.statuses() == {"Queued": 4}
    assert (await desk.ticket(4)).crm_error == "ConnectionError: the CRM is away"


async def test_session_form_commits_the_handlers_writes_with_the_settle(desk: Desk) -> None:
    await desk.queue(2)

    async def sync(ticket_id: Any, session: AsyncSession) -> None:
        ticket = await session.get_one(Ticket, ticket_id)
        session.add(Effect(number=ticket.number, token=ticket.crm_claim_token))
        if ticket.number == 2:
            await session.flush()
            raise ValueError("after its write")

    report = await loop_of(desk, sync).run_once()

    assert (report.completed, report.retried) == (1, 1)
    assert [row.number for row in await desk.sql("SELECT number FROM effects")] == [1]
    assert (await desk.ticket(2)).crm_error == "ValueError: after its write"


async def test_session_form_outcome_that_is_returned_commits_the_writes(desk: Desk) -> None:
    await desk.queue(1)

    async def sync(ticket_id: Any, session: AsyncSession) -> Retry:
        session.add(Effect(number=1))
        return Retry("half done", after=timedelta(hours=2))

    await loop_of(desk, sync).run_once()

    assert len(await desk.sql("SELECT 1 FROM effects")) == 1
    ticket = await desk.ticket()
    assert (ticket.crm_status, ticket.crm_retry_count, ticket.crm_error) == ("Queued", 1, "half done")
    assert_minutes_ahead(ticket.crm_next_retry_at, 120)


async def test_handler_that_sets_the_status_itself_keeps_its_word(desk: Desk) -> None:
    await desk.queue(2)

    async def older_contract(ticket_id: Any, session: AsyncSession) -> None:
        async with session.begin():
            ticket = await session.get_one(Ticket, ticket_id)
            ticket.crm_status = Status.Complete if ticket.number == 1 else Status.Error
            ticket.crm_error = None if ticket.number == 1 else "its own words"

    report = await loop_of(desk, older_contract).run_once()

    assert (report.completed, report.failed) == (1, 1)
    assert await desk.statuses() == {"Complete": 1, "Error": 1}
    second = await desk.ticket(2)
    assert (second.crm_error, second.crm_claim_token, second.crm_lease_expires_at) == ("its own words", None, None)


async def test_handler_that_sets_the_status_and_leaves_the_commit_to_us_keeps_its_word(desk: Desk) -> None:
    await desk.queue(1)

    async def sync(ticket_id: Any, session: AsyncSession) -> None:
        ticket = await session.get_one(Ticket, ticket_id)
        ticket.crm_status, ticket.crm_error = Status.Error, "its own words"

    report = await loop_of(desk, sync).run_once()

    assert (report.completed, report.failed) == (0, 1)
    ticket = await desk.ticket()
    assert (ticket.crm_status, ticket.crm_error, ticket.crm_claim_token) == ("Error", "its own words", None)


async def test_retries_wait_5_10_20_minutes_and_then_the_row_is_error(desk: Desk) -> None:
    await desk.queue(1)

    async def fail(row: Any) -> None:
        raise RuntimeError("still broken")

    loop = loop_of(desk, each(fail))
    for attempt, minutes in enumerate((5, 10, 20), start=1):
        await loop.run_once()
        ticket = await desk.ticket()
        assert (ticket.crm_status, ticket.crm_retry_count) == ("Queued", attempt)
        assert_minutes_ahead(ticket.crm_next_retry_at, minutes)
        assert (await loop.run_once()).claimed == 0, "not due yet"
        await desk.due_now()
    await loop.run_once()

    ticket = await desk.ticket()
    assert (ticket.crm_status, ticket.crm_retry_count, ticket.crm_next_retry_at) == ("Error", 4, None)
    assert ticket.crm_error == "RuntimeError: still broken"


async def test_completing_after_a_retry_clears_the_error_and_keeps_the_count(desk: Desk) -> None:
    await desk.queue(1)
    answers: list[Any] = [Retry("not yet"), Complete()]

    async def sync(row: Any) -> Any:
        return answers.pop(0)

    loop = loop_of(desk, each(sync))
    await loop.run_once()
    await desk.due_now()
    await loop.run_once()

    ticket = await desk.ticket()
    assert (ticket.crm_status, ticket.crm_error, ticket.crm_retry_count) == ("Complete", None, 1)


async def test_queued_by_hand_is_a_fresh_request_with_counters_at_zero(desk: Desk) -> None:
    await desk.queue(1)
    await desk.sql("UPDATE tickets SET crm_status = 'Error', crm_retry_count = 4, crm_rescue_count = 2")
    await desk.sql("UPDATE tickets SET crm_status = 'Queued'")

    async def fail(row: Any) -> None:
        raise RuntimeError("again")

    await loop_of(desk, each(fail)).run_once()

    ticket = await desk.ticket()
    assert (ticket.crm_status, ticket.crm_retry_count, ticket.crm_rescue_count) == ("Queued", 1, 0)


async def test_snooze_counts_no_attempt(desk: Desk) -> None:
    await desk.queue(2)
    tomorrow = datetime.now(UTC) + timedelta(days=1)

    async def later(row: Any) -> Snooze:
        return Snooze(timedelta(minutes=30)) if row.number == 1 else Snooze(tomorrow)

    report = await loop_of(desk, each(later)).run_once()

    assert report.snoozed == 2
    first, second = await desk.ticket(1), await desk.ticket(2)
    assert (first.crm_status, first.crm_retry_count, first.crm_error) == ("Queued", 0, None)
    assert_minutes_ahead(first.crm_next_retry_at, 30)
    assert second.crm_next_retry_at == tomorrow


async def test_snooze_keeps_the_error_of_an_earlier_attempt(desk: Desk) -> None:
    await desk.queue(1)
    answers = [Retry("busy"), Snooze(timedelta(minutes=1))]

    async def sync(row: Any) -> Any:
        return answers.pop(0)

    for _ in range(2):
        await loop_of(desk, each(sync)).run_once()
        await desk.due_now()

    ticket = await desk.ticket()
    assert (ticket.crm_status, ticket.crm_error, ticket.crm_retry_count) == ("Queued", "busy", 1)


async def test_policy_maps_exception_types_to_outcomes(desk: Desk) -> None:
    await desk.queue(3)
    policy = RetryPolicy(
        on_exception={LookupError: Fail, TimeoutError: lambda exc: Snooze(timedelta(hours=1)), KeyError: Retry}
    )

    async def sync(row: Any) -> None:
        raise {1: IndexError("gone"), 2: TimeoutError(), 3: KeyError("more specific")}[row.number]

    report = await loop_of(desk, each(sync), queue=make_queue(retry=policy)).run_once()

    assert (report.failed, report.snoozed, report.retried) == (1, 1, 1)


@pytest.mark.parametrize("form", ["each", "session"])
async def test_handler_that_answers_nonsense_is_error_with_a_clear_sentence(desk: Desk, form: str) -> None:
    await desk.queue(1)

    async def nonsense(row: Any, session: Any = None) -> Any:
        return "done!"

    await loop_of(desk, each(nonsense) if form == "each" else nonsense).run_once()

    ticket = await desk.ticket()
    assert ticket.crm_status == "Error"
    assert "must return None, Complete, Retry, Fail or Snooze" in ticket.crm_error


async def test_error_text_is_cut_at_1000_characters_and_storable(desk: Desk) -> None:
    await desk.queue(1)

    async def fail(row: Any) -> Fail:
        return Fail("nul \x00 and \ud800 " + "x" * 5000)

    await loop_of(desk, each(fail)).run_once()

    error = (await desk.ticket()).crm_error
    assert len(error) == 1000
    assert error.startswith("nul \ufffd and \ufffd")


async def test_one_rows_bad_values_fail_that_row_alone(desk: Desk) -> None:
    await desk.queue(9)

    async def sync(rows: list[Any]) -> dict[Any, Complete]:
        return {row.id: Complete(values={"title": "nul \x00" if row.number == 4 else "fine"}) for row in rows}

    report = await loop_of(desk, batch(sync)).run_once()

    assert (report.completed, report.failed) == (8, 1)
    assert (await desk.ticket(4)).crm_status == "Error"


async def test_claims_in_the_queues_order_and_only_what_the_filters_let_through(desk: Desk) -> None:
    await desk.queue(6)
    seen: list[int] = []

    async def sync(row: Any) -> None:
        seen.append(row.number)

    queue = make_queue(order_by=[sa.desc(Ticket.number)], filters=[Ticket.number != 5])
    await loop_of(desk, each(sync), queue=queue, batch_size=3, concurrency=1).run_once()

    assert seen == [6, 4, 3]
    assert await desk.statuses() == {"Queued": 3, "Complete": 3}


async def test_updated_at_is_the_users_and_never_touched(desk: Desk) -> None:
    await desk.queue(2)
    before = [row.updated_at for row in await desk.sql("SELECT updated_at FROM tickets ORDER BY number")]
    answers: dict[int, list[Any]] = {1: [Complete()], 2: [Retry("x"), Fail("y")]}

    async def sync(row: Any) -> Any:
        return answers[row.number].pop(0)

    loop = loop_of(desk, each(sync))
    await loop.run_once()
    await desk.due_now()
    await loop.run_once()

    assert before == [row.updated_at for row in await desk.sql("SELECT updated_at FROM tickets ORDER BY number")]


async def test_due_retries_progress_beside_a_backlog_of_fresh_rows(desk: Desk) -> None:
    await desk.queue(100)
    await desk.queue(100, first=101)
    await desk.sql("UPDATE tickets SET crm_next_retry_at = now() - interval '1 min' WHERE number > 100")
    seen: list[int] = []

    async def sync(row: Any) -> None:
        seen.append(row.number)

    report = await loop_of(desk, each(sync), batch_size=20).run_once()

    assert report.claimed == 20
    assert len([number for number in seen if number > 100]) == 5, "a quarter of the batch"


@pytest.mark.parametrize("plan", ["row by row", "all at once"])
async def test_a_batch_is_filled_with_retries_when_there_is_nothing_fresh(desk: Desk, plan: str) -> None:
    """Some come as due retries already, and must not come again. A nested loop passes by what it has just updated."""
    if plan == "all at once":
        await desk.sql(
            "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET enable_nestloop = off', current_database()); END $$"
        )
        await desk.engine.dispose()
    await desk.queue(30)
    await desk.sql("UPDATE tickets SET crm_next_retry_at = now() - interval '1 min'")

    async def sync(row: Any) -> None: ...

    assert (await loop_of(desk, each(sync), batch_size=20).run_once()).claimed == 20


async def test_drain_works_until_nothing_is_due(desk: Desk) -> None:
    await desk.queue(250)

    async def sync(row: Any) -> None: ...

    async with asyncio.timeout(30):
        report = await loop_of(desk, each(sync), batch_size=40).drain()

    assert (report.claimed, report.completed) == (250, 250)
    assert await desk.statuses() == {"Complete": 250}


async def test_run_works_until_asked_to_stop(desk: Desk) -> None:
    await desk.queue(120)
    stop, done = asyncio.Event(), asyncio.Event()
    seen = 0

    async def sync(row: Any) -> None:
        nonlocal seen
        seen += 1
        if seen == 120:
            done.set()

    loop = loop_of(desk, each(sync), batch_size=25, poll_seconds=0.05)
    running = asyncio.create_task(loop.run(stop))
    async with asyncio.timeout(20):
        await done.wait()
        stop.set()
        report = await running

    assert report.completed == 120
    assert await desk.statuses() == {"Complete": 120}


async def test_run_job_loop_has_the_older_signature(desk: Desk) -> None:
    await desk.queue(3)
    bind(Base, desk.sessions)

    async def process_single_ticket(ticket_id: Any, session: AsyncSession) -> None:
        ticket = await session.get_one(Ticket, ticket_id)
        ticket.external_id = "known"

    report = await run_job_loop(
        model=Ticket,
        status_enum=Status,
        queued_status=Status.Queued,
        processing_status=Status.Processing,
        completed_status=Status.Complete,
        failed_status=Status.Error,
        processing_function=process_single_ticket,
        batch_size=2,
        order_by_column=sa.asc(Ticket.updated_at),
        status_field_name="crm_status",
        error_field_name="crm_error",
        additional_filters=[Ticket.title.is_not(None)],
    )

    assert (report.claimed, report.completed) == (2, 2)
    assert await desk.statuses() == {"Complete": 2, "Queued": 1}


async def test_decision_column_follows_to_complete_and_error(desk: Desk) -> None:
    await desk.queue(3)
    await desk.sql("UPDATE tickets SET mail_status = 'Skipped'")

    async def sync(row: Any) -> Any:
        return {1: Complete(), 2: Fail("no"), 3: Retry("later")}[row.number]

    await loop_of(desk, each(sync), queue=make_queue(decision_field_name="mail_status")).run_once()

    assert [(await desk.ticket(n)).mail_status for n in (1, 2, 3)] == ["Complete", "Error", "Skipped"]


async def test_report_gives_duration_rates_and_errors(desk: Desk) -> None:
    await desk.queue(4)
    observed = []

    async def sync(row: Any) -> Any:
        return {1: Complete(), 2: Complete(), 3: Retry("busy"), 4: Fail("bad")}[row.number]

    report = await loop_of(desk, each(sync), observers=[observed.append]).run_once()

    assert observed == [report]
    assert report.duration_seconds > 0
    assert report.seconds_per_row == pytest.approx(report.duration_seconds / 4)
    assert (report.success_rate, report.retry_rate) == (0.5, 0.25)
    assert report.errors == {"busy": 1, "bad": 1}


def assert_minutes_ahead(moment: datetime, minutes: float) -> None:
    ahead = (moment - datetime.now(UTC)).total_seconds()
    assert minutes * 60 - 30 < ahead <= minutes * 60 + 1


@pytest.mark.parametrize("form", ["each", "batch"])
@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Complete(5), "its values must be"),  # type: ignore[arg-type]
        (Complete({1: "a", "b": 2}), "its values must be"),  # type: ignore[dict-item]
        (Retry("down", pause="an hour"), "it must be a Pause"),  # type: ignore[arg-type]
    ],
    ids=["a number", "mixed keys", "pause"],
)
async def test_malformed_outcome_is_its_own_rows_failure(desk: Desk, form: str, answer: Any, words: str) -> None:
    """And ends no worker, nor what writes the others' outcomes."""
    await desk.queue(5)

    async def one(row: Any) -> Any:
        return answer if row.number == 2 else None

    async def many(rows: list[Any]) -> dict[Any, Any]:
        return {row.id: await one(row) for row in rows}

    async with asyncio.timeout(20):
        report = await loop_of(desk, each(one) if form == "each" else batch(many), concurrency=1).run_once()

    assert (report.completed, report.failed, report.lost) == (4, 1, 0)
    assert words in (await desk.ticket(2)).crm_error


def test_pause_until_a_naive_time_is_refused() -> None:
    with pytest.raises(ValueError, match="needs an aware datetime"):
        Pause("down", until=datetime(2026, 1, 1))  # noqa: DTZ001
