"""The statements use their indexes at 300,000 rows: what they read is counted in buffers, never in time."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from jobloop import statements
from jobloop.status import Role
from tests.jobloop.tickets import Desk, make_queue

ROWS = 300_000
BATCH = 100


@pytest.fixture
async def large(desk: Desk) -> AsyncIterator[AsyncConnection]:
    """300,000 tickets: 60,000 queued, of which 30,000 are not due; 100 in process with a live lease."""
    await desk.sql(
        """
        INSERT INTO tickets
            (number, title, crm_status, crm_next_retry_at, crm_claim_token, crm_lease_expires_at, created_at)
        SELECT i, repeat('x', 200),
               (CASE WHEN i % 5 = 0 THEN 'Queued' WHEN i <= 100 THEN 'Processing' WHEN i % 5 = 1 THEN 'Error'
                     ELSE 'Complete' END)::ticket_status,
               CASE WHEN i % 10 = 0 THEN now() + interval '1 day' END,
               CASE WHEN i % 5 <> 0 AND i <= 100 THEN gen_random_uuid() END,
               CASE WHEN i % 5 <> 0 AND i <= 100 THEN now() + interval '1 hour' END,
               now() - interval '1 day' + hashint4(i) % 1000000 * interval '10 ms'
        FROM generate_series(1, CAST(:rows AS int)) i
        """,
        rows=ROWS,
    )
    await desk.sql("VACUUM ANALYZE tickets")
    async with desk.engine.connect() as connection:
        yield connection
        await connection.rollback()


async def test_claim_reads_only_the_rows_it_takes_in_the_order_of_its_index(large: AsyncConnection) -> None:
    plan = await explain(large, statements.claim(make_queue()), claim_binds())

    assert_no_scan_or_big_sort(plan)
    assert "ix_tickets_crm_due" in index_names(plan)
    assert buffers_read(plan) < 20 * BATCH, "about ten for each row taken, most of them to write its indexes"


async def test_claim_pays_nothing_for_rows_that_are_not_due(large: AsyncConnection, desk: Desk) -> None:
    with_waiting = buffers_read(await explain(large, statements.claim(make_queue()), claim_binds()))
    await large.rollback()
    await desk.sql("DELETE FROM tickets WHERE crm_next_retry_at IS NOT NULL")
    await desk.sql("VACUUM ANALYZE tickets")
    without = buffers_read(await explain(large, statements.claim(make_queue()), claim_binds()))

    assert with_waiting <= without * 1.1


async def test_settle_and_renew_find_their_rows_by_primary_key(large: AsyncConnection) -> None:
    queue = make_queue()
    rows = (
        await large.execute(sa.text("SELECT id, crm_claim_token FROM tickets WHERE crm_claim_token IS NOT NULL"))
    ).all()
    held = {"key_0": [row.id for row in rows], "token": [row.crm_claim_token for row in rows]}
    count = len(rows)
    outcome = {
        "error": ["x"] * count,
        "counted": [1] * count,
        "delay_seconds": [1.0] * count,
        "until": [None] * count,
    }

    renewed = await explain(large, statements.renew(queue), {**held, "lease_seconds": 60.0})
    completed = await explain(large, statements.settle(queue, Role.COMPLETE), held)
    await large.rollback()
    retried = await explain(large, statements.settle(queue, Role.QUEUED), {**held, **outcome})

    await large.rollback()
    together = await explain(large, statements.complete_claim(queue), {**held, "token": held["token"][0]})

    for plan in (renewed, completed, retried, together):
        assert_no_scan_or_big_sort(plan)
        assert index_names(plan) == {"tickets_pkey"}


async def test_rescue_reads_only_the_rows_in_process(large: AsyncConnection) -> None:
    plan = await explain(large, statements.rescue(make_queue()), {"batch_size": 1000, "max_rescues": 3})

    assert_no_scan_or_big_sort(plan)
    assert "ix_tickets_crm_processing" in index_names(plan)
    assert buffers_read(plan) < 200


async def test_plans_of_prepared_statements_stay_the_same_when_they_become_generic(large: AsyncConnection) -> None:
    statement = statements.claim(make_queue())
    await large.execute(sa.text("SET plan_cache_mode = force_generic_plan"))
    for _ in range(2):
        plan = await explain(large, statement, claim_binds())
        assert "ix_tickets_crm_due" in index_names(plan)
        assert "Seq Scan" not in node_types(plan)


def claim_binds() -> dict[str, Any]:
    return {"batch_size": BATCH, "retry_share": BATCH // 4, "token": uuid4(), "lease_seconds": 60.0}


async def explain(connection: AsyncConnection, statement: Any, binds: dict[str, Any]) -> dict[str, Any]:
    """The plan of `statement`, after it ran with the binds as the driver sends them."""
    raw = (await connection.get_raw_connection()).driver_connection
    compiled = statement.compile(dialect=connection.dialect)
    values = compiled.construct_params(binds)
    processors = compiled._bind_processors
    arguments = [
        processors[name](values[name]) if name in processors else values[name] for name in compiled.positiontup
    ]
    await connection.execute(sa.text("SELECT 1"))  # begins the transaction that the test rolls back
    result = await raw.fetchval(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {compiled.string}", *arguments)
    return (json.loads(result) if isinstance(result, str) else result)[0]["Plan"]


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


def node_types(plan: dict[str, Any]) -> set[str]:
    return {node["Node Type"] for node in nodes(plan)}


def index_names(plan: dict[str, Any]) -> set[str]:
    return {node["Index Name"] for node in nodes(plan) if "Index Name" in node}


def buffers_read(plan: dict[str, Any]) -> int:
    return int(plan["Shared Hit Blocks"]) + int(plan["Shared Read Blocks"])


def assert_no_scan_or_big_sort(plan: dict[str, Any]) -> None:
    for node in nodes(plan):
        assert node["Node Type"] != "Seq Scan", f"scans {node.get('Relation Name')}"
        if node["Node Type"].endswith("Sort"):
            assert node["Actual Rows"] <= 2 * BATCH, f"sorts {node['Actual Rows']} rows"
