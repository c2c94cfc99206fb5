"""`batch(fn, session=True)`: many rows, their handler's writes and their settles in one transaction."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from threading import Thread
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from jobloop import Complete, CycleReport, Fail, JobLoop, Retry, batch, each
from jobloop.handler import handler_of
from jobloop.store import Store
from tests.jobloop.test_interruption import until_waiting_for_lock
from tests.jobloop.test_ownership import until_blocked
from tests.jobloop.tickets import Desk, Effect, Ticket, make_queue

SHORT = timedelta(milliseconds=300)


async def work(desk: Desk, fn: Any, *, entities: bool = False, **options: Any) -> CycleReport:
    handler = batch(fn, session=True, entities=entities)
    return await JobLoop(make_queue(), handler, session_factory=desk.sessions, **options).run_once()


async def effects(desk: Desk) -> list[int]:
    return [row.number for row in await desk.sql("SELECT number FROM effects ORDER BY number")]


async def test_writes_and_settles_of_all_rows_commit_together(desk: Desk) -> None:
    """Nothing is to be seen of either before, and both in the same transaction after."""
    await desk.queue(5)

    async def sync(rows: list[Any], session: AsyncSession) -> dict[Any, Any]:
        session.add_all(Effect(number=row.number) for row in rows)
        await session.flush()
        assert await effects(desk) == []
        return {row.id: Complete(values={"external_id": "known"}) if row.number == 5 else None for row in rows}

    report = await work(desk, sync)

    assert (report.claimed, report.completed, report.processed) == (5, 5, 5)
    assert await effects(desk) == [1, 2, 3, 4, 5]
    assert (await desk.ticket(5)).external_id == "known"
    writers = await desk.sql("SELECT xmin::text FROM effects UNION SELECT xmin::text FROM tickets")
    assert len(writers) == 1, "one transaction wrote all"


async def test_each_row_has_its_own_outcome(desk: Desk) -> None:
    await desk.queue(5)

    async def sync(rows: list[Any], session: AsyncSession) -> dict[Any, Any]:
        session.add(Effect(number=len(rows)))
        await session.flush()
        said = {1: Complete(), 2: Retry("busy"), 3: Fail("no such thing"), 4: None}
        return {row.id: said[row.number] for row in rows if row.number in said}

    report = await work(desk, sync)

    assert (report.completed, report.retried, report.failed) == (2, 2, 1)
    assert await effects(desk) == [5]
    assert (await desk.ticket(3)).crm_error == "no such thing"
    assert "no outcome for this row" in (await desk.ticket(5)).crm_error


async def test_exception_rolls_everything_back_and_is_every_rows_failure(desk: Desk) -> None:
    await desk.queue(4)
    calls = 0

    async def sync(rows: list[Any], session: AsyncSession) -> dict[Any, Any]:
        nonlocal calls
        calls += 1
        session.add(Effect(number=1))
        await session.flush()
        raise RuntimeError("the service is down")

    report = await work(desk, sync)

    assert (calls, report.retried) == (1, 4)
    assert await effects(desk) == []
    assert (await desk.ticket(1)).crm_error == "RuntimeError: the service is down"


async def test_row_that_the_database_refuses_fails_alone(desk: Desk) -> None:
    """What the handler cannot know of: the flush says no to one row of eight, and does not say to which."""
    await desk.queue(8)
    await desk.sql("ALTER TABLE effects ADD CONSTRAINT no_five CHECK (number <> 5)")
    sizes: list[int] = []

    async def sync(rows: list[Any], session: AsyncSession) -> dict[Any, Any]:
        sizes.append(len(rows))
        session.add_all(Effect(number=row.number) for row in rows)
        await session.flush()
        return {row.id: Complete() for row in rows}

    report = await work(desk, sync)

    assert (report.completed, report.retried) == (7, 1)
    assert await effects(desk) == [1, 2, 3, 4, 6, 7, 8]
    assert "no_five" in (await desk.ticket(5)).crm_error
    assert sizes == [8, 4, 4, 2, 1, 1, 2]


async def test_settle_that_the_database_refuses_is_found_too(desk: Desk) -> None:
    await desk.queue(4)
    await desk.sql("ALTER TABLE tickets ADD CONSTRAINT short CHECK (length(external_id) < 9)")

    async def sync(rows: list[Any], session: AsyncSession) -> dict[Any, Any]:
        await session.execute(sa.insert(Effect), [{"number": row.number} for row in rows])
        return {row.id: Complete({"external_id": "much too long" if row.number == 2 else "short"}) for row in rows}

    report = await work(desk, sync)

    assert (report.completed, report.retried) == (3, 1)
    assert await effects(desk) == [1, 3, 4]


async def test_lost_claim_undoes_the_writes_and_the_other_rows_run_again(desk: Desk) -> None:
    await desk.queue(3)
    calls = 0

    async def sync(rows: list[Any], session: AsyncSession) -> dict[Any, Any]:
        nonlocal calls
        calls += 1
        session.add_all(Effect(number=row.number) for row in rows)
        await session.flush()
        if calls == 1:  # as if this worker had slept past its lease on one row
            await desk.sql("UPDATE tickets SET crm_lease_expires_at = now() - interval '1 s' WHERE number = 2")
            await Store(make_queue(), desk.engine).rescue()
        return {row.id: None for row in rows}

    first = await work(desk, sync)
    assert (first.lost, first.released, first.completed) == (1, 2, 0)
    assert await effects(desk) == []
    assert await desk.statuses() == {"Queued": 3}

    again = await work(desk, sync)
    assert (again.completed, await effects(desk)) == (3, [1, 2, 3])
    assert (await desk.ticket(1)).crm_retry_count == 0, "being released is no failure"


@pytest.mark.parametrize("rows", [1, 3])
async def test_rows_that_another_worker_has_claimed_meanwhile_are_left_to_it(desk: Desk, rows: int) -> None:
    """Its token is theirs: no settle of ours takes it, neither that of one row nor that of many."""
    await desk.queue(rows)
    heir = Store(make_queue(), desk.engine)

    async def sync(rows: list[Any], session: AsyncSession) -> dict[Any, Any]:
        session.add_all(Effect(number=row.number) for row in rows)
        await session.flush()
        await desk.sql("UPDATE tickets SET crm_lease_expires_at = now() - interval '1 s'")
        await heir.rescue()
        await heir.claim(10)
        return {row.id: None for row in rows}

    report = await work(desk, sync)

    assert (report.lost, report.completed, report.released) == (rows, 0, 0)
    assert (await effects(desk), await desk.statuses()) == ([], {"Processing": rows})


async def test_row_that_a_user_requeues_meanwhile_runs_again(desk: Desk) -> None:
    await desk.queue(2)

    async def sync(rows: list[Any], session: AsyncSession) -> dict[Any, Any]:
        session.add(Effect(number=len(rows)))
        await session.flush()
        await desk.sql("UPDATE tickets SET crm_status = 'Queued', title = 'newer' WHERE number = 1")
        return {row.id: None for row in rows}

    report = await work(desk, sync)

    assert (report.completed, report.superseded) == (1, 1)
    assert await effects(desk) == [2], "what was done for the earlier request is committed"
    assert await desk.statuses() == {"Queued": 1, "Complete": 1}


async def test_session_that_was_not_used_is_settled_with_others(desk: Desk) -> None:
    await desk.queue(2)

    async def sync(rows: list[Any], session: AsyncSession) -> dict[Any, Any]:
        return {row.id: None for row in rows}

    assert (await work(desk, sync)).completed == 2


async def test_what_is_set_on_entities_is_written(desk: Desk) -> None:
    await desk.queue(3)

    async def sync(rows: list[Ticket], session: AsyncSession) -> dict[Any, Any]:
        for row in rows:
            row.title = f"seen {row.number}"
        return {row.id: None for row in rows}

    report = await work(desk, sync, entities=True)

    assert report.completed == 3
    titles = [row.title for row in await desk.sql("SELECT title FROM tickets ORDER BY number")]
    assert titles == ["seen 1", "seen 2", "seen 3"]


async def test_entity_whose_row_is_gone_fails_no_other(desk: Desk) -> None:
    """SQLAlchemy says so where it updates a row by itself; else the settle finds the claim lost."""
    await desk.queue(3)

    async def sync(rows: list[Ticket], session: AsyncSession) -> dict[Any, Any]:
        await desk.sql("DELETE FROM tickets WHERE number = 2")
        for row in rows:
            if row.number == 2:
                row.external_id = "known"
            row.title = f"seen {row.number}"
        return {row.id: None for row in rows}

    report = await work(desk, sync, entities=True)

    assert (report.completed, report.lost, report.retried) == (2, 1, 0)
    assert [row.title for row in await desk.sql("SELECT title FROM tickets ORDER BY number")] == ["seen 1", "seen 3"]


async def test_invalid_answer_is_its_own_rows_failure(desk: Desk) -> None:
    await desk.queue(3)

    async def sync(rows: list[Any], session: AsyncSession) -> dict[Any, Any]:
        await session.execute(sa.text("SELECT 1"))
        return {row.id: "ok" if row.number == 2 else None for row in rows}

    report = await work(desk, sync)

    assert (report.completed, report.failed) == (2, 1)
    assert "it must return" in (await desk.ticket(2)).crm_error


async def test_answers_by_other_keys_undo_the_writes(desk: Desk) -> None:
    await desk.queue(2)

    async def sync(rows: list[Any], session: AsyncSession) -> dict[Any, Any]:
        session.add(Effect(number=1))
        return {str(row.id): None for row in rows}

    report = await work(desk, sync)

    assert (report.failed, await effects(desk)) == (2, [])
    assert "no primary key of its rows" in (await desk.ticket(1)).crm_error


async def test_mistake_in_the_handlers_sql_is_no_rows_fault(desk: Desk) -> None:
    await desk.queue(8)
    calls = 0

    async def sync(rows: list[Any], session: AsyncSession) -> dict[Any, Any]:
        nonlocal calls
        calls += 1
        await session.execute(sa.text("SELECT no_such_column FROM tickets"))
        return {}

    report = await work(desk, sync)

    assert (calls, report.retried) == (1, 8)


async def test_deadlock_is_nobodys_fault(desk: Desk) -> None:
    """Two transactions that lock each other's rows: PostgreSQL ends one, and if that is ours, it is run again."""
    await desk.queue(2)
    calls = 0
    async with desk.engine.connect() as user:

        async def sync(rows: list[Any], session: AsyncSession) -> dict[Any, Any]:
            nonlocal calls
            calls += 1
            if calls == 1:
                await user.execute(sa.text("SET LOCAL deadlock_timeout = '1h'"))  # so that ours is the one to end
                await user.execute(sa.text("UPDATE tickets SET title = 'mine' WHERE number = 2"))
                await session.execute(sa.text("UPDATE tickets SET title = 'ours' WHERE number = 1"))
                waits = asyncio.create_task(user.execute(sa.text("UPDATE tickets SET title = 'mine' WHERE number = 1")))
                await until_blocked(desk, 1)
                try:
                    await session.execute(sa.text("UPDATE tickets SET title = 'ours' WHERE number = 2"))
                finally:
                    await session.rollback()
                    await waits
                    await user.commit()
            session.add(Effect(number=calls))
            return {row.id: None for row in rows}

        async with asyncio.timeout(30):
            report = await work(desk, sync)

    assert (calls, report.completed, report.retried) == (2, 2, 0)
    assert await effects(desk) == [2]
    assert (await desk.ticket(1)).crm_retry_count == 0


@pytest.mark.parametrize("rows", [1, 2])
async def test_lock_timeout_in_the_settle_is_tried_again(desk: Desk, rows: int) -> None:
    """One row is settled by a statement of its own, on the driver itself."""
    await desk.queue(rows)
    calls = 0

    async with desk.engine.connect() as user:

        async def sync(tickets: list[Any], session: AsyncSession) -> dict[Any, Any]:
            nonlocal calls
            calls += 1
            await session.execute(sa.text("SET LOCAL lock_timeout = '50ms'"))
            if calls == 1:
                await user.execute(sa.text("SELECT 1 FROM tickets FOR UPDATE"))
            else:
                await user.rollback()
            return {row.id: None for row in tickets}

        report = await work(desk, sync)

    assert (calls, report.completed, report.retried) == (2, rows, 0)


async def test_half_leaves_out_rows_that_were_lost_meanwhile(desk: Desk) -> None:
    await desk.queue(4)
    await desk.sql("ALTER TABLE effects ADD CONSTRAINT refused CHECK (number <> 1)")
    seen: list[list[int]] = []

    async def sync(rows: list[Any], session: AsyncSession) -> dict[Any, Any]:
        seen.append([row.number for row in rows])
        session.add_all(Effect(number=row.number) for row in rows)
        await session.flush()
        if seen[-1] == [2]:
            await desk.sql("UPDATE tickets SET crm_lease_expires_at = now() - interval '1 s' WHERE number > 2")
            await Store(make_queue(), desk.engine).rescue()
        return {row.id: None for row in rows}

    report = await work(desk, sync)

    assert seen == [[1, 2, 3, 4], [1, 2], [1], [2]]
    assert (report.completed, report.retried, report.lost) == (1, 1, 2)
    assert await desk.statuses() == {"Complete": 1, "Queued": 3}


async def test_cancellation_that_is_not_ours_fails_only_what_it_hit(desk: Desk, caplog: Any) -> None:
    await desk.queue(4)
    await desk.sql("ALTER TABLE effects ADD CONSTRAINT refused CHECK (number <> 0)")
    calls = 0

    async def sync(rows: list[Any], session: AsyncSession) -> dict[Any, Any]:
        nonlocal calls
        calls += 1
        session.add_all(Effect(number=row.number if calls > 1 else 0) for row in rows)
        await session.flush()
        if rows[0].number == 3:
            raise asyncio.CancelledError  # as from a task of somebody else's that it awaited
        return {row.id: None for row in rows}

    report = await work(desk, sync)

    assert (report.completed, report.retried, report.lost) == (2, 2, 0)
    assert await effects(desk) == [1, 2]
    assert "was lost" not in caplog.text, "what its first half settled is not settled again"


@pytest.mark.parametrize(
    ("refused", "committed", "statuses"),
    [(0, [], {"Queued": 4}), (3, [1, 2], {"Queued": 2, "Complete": 2})],
    ids=["whole", "in halves"],
)
async def test_cancelled_cycle_commits_nothing_half(
    desk: Desk, refused: int, committed: list[int], statuses: dict[str, int], caplog: Any
) -> None:
    """Halves that were committed stay so, and nothing is settled twice; the rest goes back to the queue."""
    await desk.queue(4)
    await desk.sql(f"ALTER TABLE effects ADD CONSTRAINT refused CHECK (number <> {refused})")
    reached = asyncio.Event()

    async def sync(rows: list[Any], session: AsyncSession) -> dict[Any, Any]:
        session.add_all(Effect(number=row.number) for row in rows)
        await session.flush()
        if rows[-1].number == 4:
            reached.set()
            await asyncio.Event().wait()
        return {row.id: None for row in rows}

    async with asyncio.timeout(20):
        cycle = asyncio.create_task(work(desk, sync))
        await reached.wait()
        cycle.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cycle

    assert (await effects(desk), await desk.statuses()) == (committed, statuses)
    assert "was lost" not in caplog.text
    assert (await desk.ticket(4)).crm_retry_count == 0


@pytest.mark.parametrize("form", ["session", "batch session"])
async def test_cancelled_while_its_settle_waits_in_the_server_commits_all_of_it(desk: Desk, form: str) -> None:
    await desk.queue(1)
    async with asyncio.timeout(20), desk.engine.connect() as user:

        async def one(ticket_id: Any, session: AsyncSession) -> None:
            session.add(Effect(number=1))
            await session.flush()
            await user.execute(sa.text("SELECT 1 FROM tickets FOR UPDATE"))

        async def many(rows: list[Any], session: AsyncSession) -> dict[Any, Any]:
            return {row.id: await one(row.id, session) for row in rows}

        handler = {"session": handler_of(one), "batch session": batch(many, session=True)}[form]
        cycle = asyncio.create_task(JobLoop(make_queue(), handler, session_factory=desk.sessions).run_once())
        await until_waiting_for_lock(desk)
        cycle.cancel()
        await user.rollback()
        with pytest.raises(asyncio.CancelledError):
            await cycle

    assert (await effects(desk), await desk.statuses()) == ([1], {"Complete": 1})


async def test_batch_that_lost_a_row_works_on_for_the_others(desk: Desk) -> None:
    await desk.queue(2)

    async def sync(rows: list[Any]) -> dict[Any, Any]:
        await lose(desk, 1, although_renewed=2)
        return {row.id: None for row in rows}

    loop = JobLoop(make_queue(lease=SHORT), batch(sync), session_factory=desk.sessions)
    async with asyncio.timeout(20):
        report = await loop.run_once()

    assert (report.completed, report.lost) == (1, 1)
    assert await desk.sql("SELECT number FROM tickets WHERE crm_status = 'Complete'") == [(2,)]


async def test_row_that_was_lost_while_it_waited_is_not_started(desk: Desk) -> None:
    await desk.queue(2)
    started: list[int] = []

    async def sync(row: Any) -> None:
        started.append(row.number)
        await lose(desk, 2, although_renewed=1)

    loop = JobLoop(make_queue(lease=SHORT), each(sync), session_factory=desk.sessions, concurrency=1)
    async with asyncio.timeout(20):
        report = await loop.run_once()

    assert (started, report.completed, report.lost) == ([1], 1, 1)


async def test_batch_gets_only_the_rows_that_are_still_ours_after_the_loop_stood_still(desk: Desk) -> None:
    """The next batch is taken as soon as the one before it ends, and waits for the renewal of its leases."""
    await desk.queue(4)
    batches: list[list[int]] = []

    async def sync(rows: list[Any]) -> dict[Any, Any]:
        batches.append([row.number for row in rows])
        if len(batches) == 1:
            while await desk.statuses() != {"Processing": 4}:
                await asyncio.sleep(0)
            other = Thread(target=asyncio.run, args=(take_over(desk, 3),))
            other.start()
            other.join(20)
            time.sleep(2 * SHORT.total_seconds())  # noqa: ASYNC251 - the fault: nothing else runs past a lease
        return {row.id: None for row in rows}

    loop = JobLoop(make_queue(lease=SHORT), batch(sync), session_factory=desk.sessions, batch_size=2)
    async with asyncio.timeout(20):
        report = await loop.drain()

    assert batches == [[1, 2], [4]]
    assert (report.completed, report.lost) == (3, 1)


async def take_over(desk: Desk, number: int) -> None:
    engine = create_async_engine(desk.engine.url)
    async with engine.begin() as connection:
        await connection.execute(
            sa.text(
                "UPDATE tickets SET crm_claim_token = gen_random_uuid(), "
                "crm_lease_expires_at = now() + interval '1 hour' WHERE number = :n"
            ),
            {"n": number},
        )
    await engine.dispose()


async def lose(desk: Desk, number: int, *, although_renewed: int) -> None:
    """Another worker takes this row; returns when ours must have found out, having renewed the other one since."""
    await desk.sql(f"UPDATE tickets SET crm_claim_token = gen_random_uuid() WHERE number = {number}")
    leases = set()
    while len(leases) < 4:  # the first renewal may have been under way, and the last one's answer may still be
        leases.add((await desk.ticket(although_renewed)).crm_lease_expires_at)
