"""A row has one worker at a time, a user's word is kept, and a worker that lost a row changes nothing."""

from __future__ import annotations

import asyncio
import random
import time
from collections import defaultdict
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from jobloop import Complete, Fail, JobLoop, Retry, each
from jobloop.lease import LeaseKeeper
from jobloop.report import CycleReport
from jobloop.settlement import COMPLETED, Settlement
from jobloop.settler import Settler
from jobloop.settles import Contested
from jobloop.store import Store
from tests.jobloop.tickets import Desk, Effect, make_queue


def loop_of(desk: Desk, handler: Any, **options: Any) -> JobLoop:
    queue = options.pop("queue", None) or make_queue()
    return JobLoop(queue, handler, session_factory=desk.sessions, **options)


@pytest.mark.parametrize("outcome", [Complete(), Fail("bad"), Retry("busy")], ids=["complete", "fail", "retry"])
async def test_requeued_while_processing_runs_again_after_the_first_attempt_ended(desk: Desk, outcome: Any) -> None:
    await desk.queue(1)
    answers = [outcome, Complete()]
    running, starts = 0, []

    async def sync(row: Any) -> Any:
        nonlocal running
        running += 1
        assert running == 1
        starts.append(row.title)
        if len(starts) == 1:
            await desk.sql("UPDATE tickets SET crm_status = 'Queued', title = 'fresh data'")
            assert (await loop_of(desk, each(sync)).run_once()).claimed == 0, "the claim is still live"
        running -= 1
        return answers[len(starts) - 1]

    first = await loop_of(desk, each(sync)).run_once()
    assert first.superseded == 1
    requeued = await desk.ticket()
    assert (requeued.crm_status, requeued.crm_next_retry_at, requeued.crm_claim_token) == ("Queued", None, None)
    second = await loop_of(desk, each(sync)).run_once()

    assert second.completed == 1
    assert starts == ["ticket 1", "fresh data"]
    assert (await desk.ticket()).crm_retry_count == 0


@pytest.mark.parametrize("word", ["NULL", "'Skipped'"])
async def test_cancelled_while_processing_stays_cancelled(desk: Desk, word: str) -> None:
    await desk.queue(1)

    async def sync(row: Any) -> Complete:
        await desk.sql(f"UPDATE tickets SET crm_status = {word}")
        return Complete(values={"external_id": "known"})

    report = await loop_of(desk, each(sync)).run_once()

    ticket = await desk.ticket()
    assert report.superseded == 1
    assert ticket.crm_status == (None if word == "NULL" else "Skipped")
    assert ticket.crm_claim_token is None
    assert ticket.external_id == "known", "what the handler learned is a fact"


async def test_settle_that_waits_for_a_users_update_keeps_the_users_word(desk: Desk) -> None:
    """The user's transaction changes the row after the settle began and before it got the lock."""
    await desk.queue(1)
    store = Store(make_queue(), desk.engine)
    (claim,) = await store.claim(1)
    async with desk.engine.connect() as user:
        await user.execute(sa.text("UPDATE tickets SET crm_status = 'Queued'"))
        settling = asyncio.create_task(store.settle([(claim, Settlement.completed())]))
        await until_blocked(desk, 1)
        await user.commit()

    assert (await settling).kept == {claim: None}, "the user's word stands"
    assert (await desk.ticket()).crm_status == "Queued"


async def test_statements_are_read_committed_where_the_server_says_otherwise(desk: Desk, caplog: Any) -> None:
    """Under REPEATABLE READ each would fail on a row that somebody changed meanwhile, and have to be run again."""
    await desk.sql(
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_isolation = ''repeatable read''', "
        "current_database()); END $$"
    )
    await desk.engine.dispose()
    await desk.queue(1)
    store = Store(make_queue(), desk.engine)
    (claim,) = await store.claim(1)
    caplog.set_level("INFO", "jobloop")
    async with desk.engine.connect() as user:
        await user.execute(sa.text("UPDATE tickets SET title = 'edited'"))
        settling = asyncio.create_task(store.settle([(claim, Settlement.completed())]))
        await until_blocked(desk, 1)
        await user.commit()

    assert await settling == Contested()
    assert "trying the statement again" not in caplog.text


async def test_zombie_settle_changes_nothing(desk: Desk) -> None:
    await desk.queue(1)
    store = Store(make_queue(), desk.engine)
    (zombie,) = await store.claim(1)
    await desk.expire_leases()
    assert await store.rescue() == (1, 0)
    (heir,) = await store.claim(1)
    before = await desk.ticket()

    settled = await store.settle([(zombie, Settlement.completed({"external_id": "from the grave"}))])
    assert settled.lost == {zombie}
    assert await store.renew([zombie]) == set()
    assert await desk.ticket() == before
    assert await store.settle([(heir, Settlement.completed())]) == Contested()


@pytest.mark.parametrize("claims_at_once", [4, 2], ids=["rows of one claim", "rows of two claims"])
async def test_settle_of_many_rows_tells_each_rows_fate(desk: Desk, claims_at_once: int) -> None:
    """Of rows that are completed together one is another worker's, one was re-queued, one is gone, one is as it was."""
    await desk.queue(4)
    store = Store(make_queue(), desk.engine)
    claims = [claim for _ in range(4 // claims_at_once) for claim in await store.claim(claims_at_once)]
    lost, requeued, gone, _ = claims
    await desk.sql("UPDATE tickets SET crm_lease_expires_at = now() - interval '1 s' WHERE id = :id", id=lost.key)
    await store.rescue()
    (heir,) = await store.claim(1)
    await desk.sql("UPDATE tickets SET crm_status = 'Queued' WHERE id = :id", id=requeued.key)
    await desk.sql("DELETE FROM tickets WHERE id = :id", id=gone.key)

    settled = await store.settle([(claim, COMPLETED) for claim in claims])

    assert settled == Contested(lost={lost, gone}, kept={requeued: None})
    assert heir.key == lost.key
    assert await desk.statuses() == {"Processing": 1, "Queued": 1, "Complete": 1}
    assert await store.settle([(heir, COMPLETED)]) == Contested()


async def test_worker_that_lost_a_row_and_claimed_it_again_tells_the_two_claims_apart(desk: Desk) -> None:
    await desk.queue(1)
    store = Store(make_queue(), desk.engine)
    (lost,) = await store.claim(1)
    await desk.expire_leases()
    await store.rescue()
    (held,) = await store.claim(1)
    report = CycleReport("tickets")
    leases = LeaseKeeper(store, on_lost=lambda claim: None)
    leases.hold([lost, held], time.monotonic())

    assert await store.renew([lost, held]) == {held}
    settler = Settler(store, leases, report, is_quiet=lambda: True)
    for claim in (lost, held):
        settler.put(claim, Settlement.completed())
    await settler.flush()
    assert (report.lost, report.completed) == (1, 1)


async def test_session_form_rolls_back_the_writes_of_a_worker_that_lost_the_row(desk: Desk) -> None:
    await desk.queue(1)

    async def sync(ticket_id: Any, session: AsyncSession) -> None:
        session.add(Effect(number=1))
        await session.flush()
        await desk.expire_leases()
        await Store(make_queue(), desk.engine).rescue()

    report = await loop_of(desk, sync).run_once()

    assert report.lost == 1
    assert await desk.sql("SELECT 1 FROM effects") == []
    assert (await desk.ticket()).crm_status == "Queued"


async def test_rescued_row_keeps_its_retries_and_counts_the_lost_worker(desk: Desk) -> None:
    await desk.queue(1)
    await desk.sql("UPDATE tickets SET crm_retry_count = 2, crm_next_retry_at = now()")
    store = Store(make_queue(), desk.engine)
    await store.claim(1)
    await desk.expire_leases()

    async def sync(row: Any) -> None: ...

    report = await loop_of(desk, each(sync)).run_once()

    assert (report.rescued, report.completed) == (1, 1)
    ticket = await desk.ticket()
    assert (ticket.crm_retry_count, ticket.crm_rescue_count) == (2, 1)


async def test_poison_row_stops_after_max_rescues(desk: Desk) -> None:
    await desk.queue(1)
    store = Store(make_queue(max_rescues=3, decision_field_name="mail_status"), desk.engine)
    for _ in range(3):
        assert len(await store.claim(1)) == 1
        await desk.expire_leases()
        await store.rescue()

    ticket = await desk.ticket()
    assert (ticket.crm_status, ticket.mail_status, ticket.crm_error) == ("Error", "Error", "worker lost 3 times")
    assert (ticket.crm_claim_token, ticket.crm_next_retry_at) == (None, None)


async def test_live_lease_is_not_rescued_and_renewal_keeps_it_alive(desk: Desk) -> None:
    await desk.queue(1)
    store = Store(make_queue(), desk.engine)
    (claim,) = await store.claim(1)
    await desk.expire_leases()

    assert await store.renew([claim]) == {claim}
    assert await store.rescue() == (0, 0)
    assert (await desk.ticket()).crm_status == "Processing"


async def test_processing_row_without_a_lease_is_left_to_the_operator(desk: Desk) -> None:
    await desk.queue(1, status="Processing")

    assert await Store(make_queue(), desk.engine).rescue() == (0, 0)
    assert (await desk.ticket()).crm_status == "Processing"


async def test_queued_row_whose_worker_died_is_claimable_when_its_lease_ends(desk: Desk) -> None:
    await desk.queue(1)
    store = Store(make_queue(), desk.engine)
    await store.claim(1)
    await desk.sql("UPDATE tickets SET crm_status = 'Queued'")
    assert await store.claim(1) == []
    await desk.expire_leases()

    assert len(await store.claim(1)) == 1


@pytest.mark.parametrize("word", ["'Queued'", "'Skipped'", "NULL"])
async def test_row_that_a_user_took_from_a_dead_worker_is_not_rescued(desk: Desk, word: str) -> None:
    await desk.queue(1)
    store = Store(make_queue(), desk.engine)
    await store.claim(1)
    await desk.sql(f"UPDATE tickets SET crm_status = {word}")
    await desk.expire_leases()
    before = await desk.ticket()

    assert await store.rescue() == (0, 0)
    assert await desk.ticket() == before, "the user's word stands, and no worker is counted as lost"


async def test_renewal_does_not_wait_for_a_row_that_its_handler_has_locked(desk: Desk) -> None:
    await desk.queue(2)
    store = Store(make_queue(), desk.engine)
    claims = await store.claim(2)
    before = await desk.ticket(2)
    async with desk.engine.connect() as handler, asyncio.timeout(10):
        await handler.execute(sa.text("UPDATE tickets SET title = 'mine' WHERE number = 1"))
        assert await store.renew(claims) == set(claims)
        await handler.rollback()

    assert (await desk.ticket(2)).crm_lease_expires_at > before.crm_lease_expires_at


async def test_renewal_says_nothing_of_a_claim_that_came_while_it_was_under_way(desk: Desk) -> None:
    """Here one whose answer was a lease under way: it was not renewed with the others, and may be over."""
    await desk.queue(2)
    store = Store(make_queue(), desk.engine)
    (early,), (late,) = await store.claim(1), await store.claim(1)
    leases = LeaseKeeper(store, on_lost=lambda claim: None)
    leases.hold([early], time.monotonic())
    async with desk.engine.connect() as locker, asyncio.timeout(20):
        await locker.execute(sa.text("LOCK TABLE tickets IN SHARE MODE"))
        renewing = asyncio.create_task(leases.renew())
        await until_blocked(desk, 1)
        leases.hold([late], time.monotonic() - make_queue().lease.total_seconds())
        await locker.rollback()
        await renewing

    assert leases.held([early, late]) == [early, late]
    assert not leases.are_sure()
    await leases.renew()
    assert leases.are_sure()


async def test_handler_of_a_lost_row_is_cancelled(desk: Desk) -> None:
    await desk.queue(1)
    lease = timedelta(milliseconds=300)
    was_cancelled = asyncio.Event()

    async def sync(row: Any) -> None:
        await desk.sql("UPDATE tickets SET crm_claim_token = gen_random_uuid()")
        try:
            await asyncio.Event().wait()
        finally:
            was_cancelled.set()

    async with asyncio.timeout(20):
        report = await loop_of(desk, each(sync), queue=make_queue(lease=lease)).run_once()

    assert was_cancelled.is_set()
    assert (report.lost, report.processed) == (1, 1)


async def test_long_handler_keeps_its_lease(desk: Desk) -> None:
    await desk.queue(1)
    lease = timedelta(milliseconds=300)
    queue = make_queue(lease=lease)
    store = Store(queue, desk.engine)
    renewals: set[Any] = set()

    async def sync(row: Any) -> None:
        while len(renewals) < 6:  # longer than the lease
            renewals.add((await desk.ticket()).crm_lease_expires_at)
            assert await store.rescue() == (0, 0)

    async with asyncio.timeout(30):
        report = await loop_of(desk, each(sync), queue=queue).run_once()

    assert report.completed == 1


async def test_random_requeues_by_users_never_overlap_and_are_never_lost(desk: Desk) -> None:
    """1,000 random re-queues of 20 rows under 4 workers."""
    rows, requeues = 20, 1000
    await desk.queue(rows)
    running: dict[int, int] = defaultdict(int)
    overlaps = 0
    last_start: dict[int, int] = {}
    last_request: dict[int, int] = dict.fromkeys(range(1, rows + 1), 0)
    clock = iter(range(10**9))
    dice = random.Random(20_260)
    stop = asyncio.Event()

    async def sync(row: Any) -> Any:
        nonlocal overlaps
        running[row.number] += 1
        overlaps += running[row.number] > 1
        last_start[row.number] = next(clock)
        for _ in range(dice.randrange(4)):
            await asyncio.sleep(0)
        running[row.number] -= 1
        return dice.choice([Complete(), Fail("no"), Complete()])

    async def user(share: int) -> None:
        for _ in range(share):
            number = dice.randint(1, rows)
            async with desk.engine.begin() as connection:
                await connection.execute(
                    sa.text("UPDATE tickets SET crm_status = 'Queued', crm_next_retry_at = NULL WHERE number = :n"),
                    {"n": number},
                )
                # Before the commit: a start that saw the request is later than this.
                last_request[number] = next(clock)

    workers = [
        asyncio.create_task(loop_of(desk, each(sync), batch_size=5, poll_seconds=0.002).run(stop)) for _ in range(4)
    ]
    async with asyncio.timeout(120):
        await asyncio.gather(*(user(requeues // 4) for _ in range(4)))
        while (await desk.statuses()).keys() - {"Complete", "Error"}:
            await asyncio.sleep(0.01)
        stop.set()
        reports = await asyncio.gather(*workers)

    assert overlaps == 0
    assert sum(report.lost for report in reports) == 0
    assert sum(report.superseded for report in reports) > 0, "some must have hit a running row"
    assert {n for n in last_request if last_start[n] < last_request[n]} == set()


async def until_blocked(desk: Desk, sessions: int) -> None:
    """Wait until `sessions` sessions of this database wait for a lock."""
    async with asyncio.timeout(10):
        while True:
            (row,) = await desk.sql(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
            if row[0] >= sessions:
                return
            await asyncio.sleep(0.005)
