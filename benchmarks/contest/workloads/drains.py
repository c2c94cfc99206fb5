"""Drains of a backlog: jobs that do nothing, in one process and in two; jobs of 10 ms; jobs with a session each."""

from __future__ import annotations

from typing import Any

from contest.arena import Arena
from contest.drain import Course, drain
from contest.field import (
    BATCH,
    BATCH_ENTITIES,
    BATCH_SESSION,
    EACH,
    EACH_SESSION,
    ENTITIES,
    LIGHT,
    OLDER,
    PGQUEUER,
    RAW,
    RAW_TASKS,
    RIVALS_OF_OURS,
    SESSION,
    Entry,
)
from contest.sheet import Sheet
from contest.workloads.beside import beside, summary
from contest.workloads.options import Options

_SLEEP_MS = 10.0
_AT_ONCE = 100


async def one_process(arena: Arena, options: Options) -> Sheet:
    return await _no_op(arena, options, 1, "one process")


async def two_processes(arena: Arena, options: Options) -> Sheet:
    return await _no_op(arena, options, 2, "two processes")


async def sleeping(arena: Arena, options: Options) -> Sheet:
    """No reference: what to compare with is what the sleep allows."""
    course, ideal = Course(options.jobs // 2, sleep_ms=_SLEEP_MS), _AT_ONCE * 1000 / _SLEEP_MS
    rows = []
    for entry in options.among((EACH, *RIVALS_OF_OURS)):
        runs = [await drain(arena, entry.given(concurrency=_AT_ONCE), course) for _ in range(options.repetitions)]
        options.say(f"{entry.name}: {runs}")
        row = summary([(run, None) for run in runs])
        rows.append({"who": entry.name, **row, "of ideal": row["jobs/s"] / ideal if "jobs/s" in row else None})
    return Sheet(
        f"Jobs of {_SLEEP_MS:.0f} ms, {_AT_ONCE} at once, one process",
        f"`of ideal`: of the {ideal:,.0f} a second that the jobs allow. Medians of {options.repetitions}.",
        rows,
    )


async def with_session(arena: Arena, options: Options) -> Sheet:
    """The older loop is the reference here, right before ours: both wait for the server far more than raw does."""
    course = Course(options.jobs // 4, cap_seconds=15.0)
    rows = await beside(arena, OLDER, options.among([SESSION, EACH_SESSION, BATCH_SESSION]), course, options)
    return Sheet(
        "Handlers with a session, one process",
        "Each handler writes a line for its row in the session, which commits with the settle. `session`: the row is "
        "loaded there, 10 transactions at once; `each in a session`: it comes with the call; `batch in a session`: "
        "500 rows in one transaction, 2 at once; the older loop loads its rows, one after the other. "
        f"Medians of {options.repetitions}.",
        [{"who": name, **row} for name, row in rows.items()],
    )


async def _no_op(arena: Arena, options: Options, processes: int, where: str) -> Sheet:
    entries = options.among((RAW_TASKS, EACH, LIGHT, ENTITIES, BATCH, BATCH_ENTITIES, *RIVALS_OF_OURS))
    rows = await beside(arena, RAW, entries, Course(options.jobs, processes), options)
    return Sheet(
        f"Drain of {options.jobs:,} jobs that do nothing, {where}",
        f"`of raw`: beside raw asyncpg with as many processes, run right before. Medians of {options.repetitions}.",
        _compared(rows, PGQUEUER),
    )


def _compared(rows: dict[str, dict[str, Any]], other: Entry) -> list[dict[str, Any]]:
    """The rows with a ratio to another contender, by way of the ratios to raw: the machine's moods cancel out."""
    theirs = rows.get(other.name, {}).get("of raw")
    compared = []
    for name, row in rows.items():
        ratio = {f"of {other.name}": row["of raw"] / theirs} if theirs and "of raw" in row else {}
        compared.append({"who": name, **row, **ratio})
    return compared
