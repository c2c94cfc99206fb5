"""Tables of every shape: each goes through claim, settle, retry, rescue, renewal and the operator's hands."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from jobloop import Complete, Control, Fail, JobLoop, Retry, Snooze, batch, each
from jobloop.doctor import Severity, examine
from jobloop.settlement import Settlement
from jobloop.settles import Contested
from jobloop.status import Role
from jobloop.store import Store
from jobloop.testing import let_time_pass
from tests.jobloop.shapes import ROWS, SHAPES, Shape


@pytest.fixture(params=SHAPES)
def shape(request: pytest.FixtureRequest) -> Shape:
    return SHAPES[request.param]()


async def states(engine: AsyncEngine, shape: Shape) -> dict[str, int]:
    """How many of the shape's own rows are in each role."""
    queue = shape.queue
    counted: dict[str, int] = {}
    async with engine.connect() as connection:
        for role in Role:
            mine = sa.and_(queue.columns.status == queue.literal(role), *queue.filters)
            rows = await connection.scalar(sa.select(sa.func.count()).select_from(queue.table).where(mine))
            if rows:
                counted[role.value] = rows
    return counted


async def test_rows_are_claimed_in_order_and_completed(engine: AsyncEngine, shape: Shape) -> None:
    sessions = await shape.make(engine)
    keys = []

    async def work(rows: list[Any]) -> dict[Any, Any]:
        keys.extend(shape.queue.key_of(tuple(getattr(row, name) for name in key_attributes(shape))) for row in rows)
        return {key: Complete() for key in keys}

    report = await JobLoop(shape.queue, batch(work), session_factory=sessions).run_once()

    assert (report.completed, report.lost) == (ROWS, 0)
    assert keys == sorted(keys, key=str) or len(set(keys)) == ROWS
    assert await states(engine, shape) == {"complete": ROWS}


async def test_failures_are_retried_and_then_end_in_error(engine: AsyncEngine, shape: Shape) -> None:
    sessions = await shape.make(engine)

    async def fail(row: Any) -> Retry:
        return Retry("x" * 1500)

    for attempt in range(4):
        report = await JobLoop(shape.queue, each(fail), session_factory=sessions).run_once()
        assert report.claimed == ROWS
        assert await states(engine, shape) == ({"queued": ROWS} if attempt < 3 else {"error": ROWS})
        await let_time_pass(shape.queue, sessions)

    queue = shape.queue
    async with engine.connect() as connection:
        found = sa.select(queue.columns.retry_count, sa.func.length(queue.columns.error)).where(*queue.filters)
        rows = {tuple(row) for row in await connection.execute(found)}
    ((count, length),) = rows - {(0, None)}
    assert count == 4
    assert length == min(1000, getattr(queue.columns.error.type, "length", None) or 1000)
    assert len(await Control(queue, engine).requeue(*queue.filters)) == ROWS
    assert await states(engine, shape) == {"queued": ROWS}


async def test_lost_worker_is_rescued_and_changes_nothing_afterwards(engine: AsyncEngine, shape: Shape) -> None:
    sessions = await shape.make(engine)
    store = Store(shape.queue, engine)
    lost = await store.claim(100)
    assert await store.renew(lost) == set(lost)

    await let_time_pass(shape.queue, sessions)
    assert await store.rescue() == (ROWS, 0)
    ours = await store.claim(100)

    assert {claim.key for claim in ours} == {claim.key for claim in lost}
    assert await store.renew(lost) == set()
    assert (await store.settle([(claim, Settlement.completed()) for claim in lost])).lost == set(lost)
    assert await store.settle([(claim, Settlement.failed("no")) for claim in ours]) == Contested()
    assert await states(engine, shape) == {"error": ROWS}


@pytest.mark.parametrize(
    ("answer", "state"),
    [(None, "complete"), (Fail("x" * 1500), "error"), (Retry("x" * 1500), "queued"), (Snooze(timedelta(1)), "queued")],
    ids=["complete", "fail", "retry", "snooze"],
)
async def test_session_form_writes_by_the_key_that_it_is_given(
    engine: AsyncEngine, shape: Shape, answer: Any, state: str
) -> None:
    sessions = await shape.make(engine)

    async def work(key: Any, session: Any) -> Any:
        assert await session.get(shape.queue.model, key) is not None
        return answer

    report = await JobLoop(shape.queue, work, session_factory=sessions).run_once()

    assert (report.claimed, report.processed, report.lost) == (ROWS, ROWS, 0)
    assert await states(engine, shape) == {state: ROWS}


async def test_operator_sees_and_cancels(engine: AsyncEngine, shape: Shape) -> None:
    await shape.make(engine)
    control = Control(shape.queue, engine)

    assert next(row.rows for row in await control.counts()) >= ROWS
    assert await control.errors() == []
    assert len(await control.cancel(*shape.queue.filters, status=shape.queue.statuses.error)) == ROWS
    assert await states(engine, shape) == {"error": ROWS}


async def test_doctor_has_nothing_against_it(engine: AsyncEngine, shape: Shape) -> None:
    await shape.make(engine)

    findings = await examine(shape.queue, engine)

    assert {finding.code for finding in findings if finding.severity is not Severity.INFO} <= {
        "storage.fillfactor",
        "column.short",
    }


def key_attributes(shape: Shape) -> list[str]:
    mapper = shape.queue.mapper
    return [mapper.get_property_by_column(column).key for column in shape.queue.columns.key]
