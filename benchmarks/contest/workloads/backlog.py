"""A large backlog, worked off oldest first with the index for it: rates at its head, and what a claim reads."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from contest.arena import Arena
from contest.contenders.jobloop import queue_of
from contest.contenders.raw import claim_sql
from contest.drain import Course, Drained, drain
from contest.field import BATCH, EACH, RAW, Entry
from contest.sheet import Sheet
from contest.workloads.beside import summary
from contest.workloads.options import Options
from jobloop import statements

_MOST_WANTED = 40_000
_MOST_NOT_DUE = 100_000
_BATCH = 500
_EXPLAIN = "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON)"


async def backlog(arena: Arena, options: Options) -> Sheet:
    """The same databases for all repetitions: the backlog shrinks by no more than what is measured."""
    raw, entries = RAW.given(order=True), [entry.given(order=True) for entry in options.among((EACH, BATCH))]
    course = Course(options.backlog, want=min(_MOST_WANTED, options.backlog // 20), cap_seconds=60.0)
    where = {entry.module: await arena.fresh(entry, options.backlog, once=True) for entry in (raw, *entries)}
    runs: dict[str, list[tuple[Drained, Drained | None]]] = {entry.name: [] for entry in entries}
    for _ in range(options.repetitions):
        for entry in entries:
            reference = await _again(arena, raw, replace(course, database=where[raw.module]))
            runs[entry.name].append(
                (await _again(arena, entry, replace(course, database=where[entry.module])), reference)
            )
            options.say(f"{entry.name}: {runs[entry.name][-1]}")
    rows: list[dict[str, Any]] = [{"who": name, **summary(pairs)} for name, pairs in runs.items()]
    if entries:
        rows.append({"who": "raw's claim", "buffers": await _buffers_of_raw(arena, where[raw.module])})
        rows += await _buffers(arena, entries[0], replace(course, database=where[entries[0].module]))
    await arena.drop(*where.values())
    return Sheet(
        f"{options.backlog:,} waiting rows, oldest first",
        f"Rates over the first {course.want:,}; raw has an index for the order too. Buffers are of one claim of "
        f"{_BATCH} rows, rolled back.",
        rows,
    )


async def _again(arena: Arena, entry: Entry, course: Course) -> Drained:
    assert course.database
    await arena.settle(course.database)
    return await drain(arena, entry, course)


async def _buffers(arena: Arena, entry: Entry, course: Course) -> list[dict[str, Any]]:
    """Buffers of a claim: as it is, behind rows that vacuum must leave, and with rows at the head that are not due."""
    database = course.database or ""
    not_due = min(_MOST_NOT_DUE, course.jobs // 4)
    await arena.settle(database)
    rows = [{"who": "our claim", "buffers": await _claim_buffers(arena, database)}]
    async with arena.connect(database) as holder:
        async with holder.transaction(isolation="repeatable_read"):
            await holder.fetchval("SELECT 1 FROM contacts LIMIT 1")
            held = await drain(arena, entry, course)
            rows.append(
                {
                    "who": f"our claim, after {course.want:,} jobs under one held snapshot",
                    "buffers": await _claim_buffers(arena, database),
                    "remarks": "; ".join([f"those jobs: {held.rate:,.0f}/s", *held.problems]),
                }
            )
        await holder.execute(
            "UPDATE contacts SET next_retry_at = now() + interval '1 day' WHERE id IN "
            f"(SELECT id FROM contacts WHERE status = 'Queued' ORDER BY created_at LIMIT {not_due})"
        )
    await arena.settle(database)
    buffers = await _claim_buffers(arena, database)
    rows.append({"who": f"our claim, the {not_due:,} oldest rows not yet due", "buffers": buffers})
    return rows


async def _buffers_of_raw(arena: Arena, database: str) -> int:
    await arena.settle(database)
    async with arena.connect(database) as connection:
        transaction = connection.transaction()
        await transaction.start()
        plan = await connection.fetchval(f"{_EXPLAIN} {claim_sql(ordered=True)}", _BATCH)
        await transaction.rollback()
    return _buffers_in(plan)


async def _claim_buffers(arena: Arena, database: str) -> int:
    """What the queue's own claim reads, its index writes included."""
    queue = queue_of(order=True)
    binds = {"batch_size": _BATCH, "retry_share": _BATCH // 4, "token": uuid4(), "lease_seconds": 300.0}
    engine = create_async_engine(arena.dsn(database).replace("postgresql:", "postgresql+asyncpg:"))
    async with engine.connect() as connection:
        compiled = statements.claim(queue).compile(dialect=connection.dialect)
        names, values = compiled.positiontup or [], compiled.construct_params(binds)
        raw: Any = (await connection.get_raw_connection()).driver_connection
        await connection.execute(sa.text("SELECT 1"))  # begins what is rolled back
        plan = await raw.fetchval(f"{_EXPLAIN} {compiled.string}", *(values[name] for name in names))
        await connection.rollback()
    await engine.dispose()
    return _buffers_in(plan)


def _buffers_in(plan: Any) -> int:
    """`plan` is text or what SQLAlchemy's connections make of JSON."""
    read = (json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"]
    return int(read["Shared Hit Blocks"]) + int(read["Shared Read Blocks"])
