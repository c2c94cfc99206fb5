"""Drains of a backlog: jobs that do nothing, in one process and in two; jobs of 10 ms; jobs with a session each."""

from __future__ import annotations

from contest.arena import Arena
from contest.drain import Course, beside_raw, drain, summary
from contest.field import BATCH, EACH, LIGHT, OLDER, RIVALS_OF_OURS, SESSION
from contest.sheet import Sheet
from contest.workloads.options import Options

_SLEEP_MS = 10.0
_AT_ONCE = 100


async def one_process(arena: Arena, options: Options) -> Sheet:
    return await _no_op(arena, options, 1, "one process")


async def two_processes(arena: Arena, options: Options) -> Sheet:
    return await _no_op(arena, options, 2, "two processes")


async def _no_op(arena: Arena, options: Options, processes: int, where: str) -> Sheet:
    entries = options.among((EACH, LIGHT, BATCH, *RIVALS_OF_OURS))
    rows = await beside_raw(arena, entries, Course(options.jobs, processes), options.repetitions, options.say)
    return Sheet(
        f"Drain of {options.jobs:,} jobs that do nothing, {where}",
        f"`of raw`: beside raw asyncpg with as many processes, run right before. Medians of {options.repetitions}.",
        [{"who": name, **row} for name, row in rows.items()],
    )


async def sleeping(arena: Arena, options: Options) -> Sheet:
    """No reference: what to compare with is what the sleep allows."""
    course = Course(options.jobs // 2, sleep_ms=_SLEEP_MS)
    rows = []
    for entry in options.among((EACH, *RIVALS_OF_OURS)):
        at_once = entry.given(
            concurrency=min(_AT_ONCE, entry.arguments["concurrency"]) if entry.most_jobs < 10_000 else _AT_ONCE
        )
        runs = [await drain(arena, at_once, course) for _ in range(options.repetitions)]
        options.say(f"{entry.name}: {runs}")
        row = summary([(run, None) for run in runs])
        if "jobs/s" in row:
            row["of ideal"] = row["jobs/s"] / (_AT_ONCE * 1000 / _SLEEP_MS)
        rows.append({"who": entry.name, **row})
    return Sheet(
        f"Jobs of 10 ms, {_AT_ONCE} at once, one process",
        f"`of ideal`: of the {_AT_ONCE * 1000 / _SLEEP_MS:,.0f} a second that the jobs allow. "
        f"Medians of {options.repetitions}.",
        rows,
    )


async def with_session(arena: Arena, options: Options) -> Sheet:
    course = Course(options.jobs // 4, cap_seconds=15.0)
    entries = options.among((OLDER, SESSION))
    rows = await beside_raw(arena, entries, course, options.repetitions, options.say)
    slow = rows.get(OLDER.name, {}).get("of raw")
    for row in rows.values():
        if slow and "of raw" in row:
            row["of older loop"] = row["of raw"] / slow
    return Sheet(
        "A session and a transaction for each job, one process",
        "The handler loads its row; ours runs 10 at once, the older loop one after the other. "
        f"Medians of {options.repetitions}.",
        [{"who": name, **row} for name, row in rows.items()],
    )
