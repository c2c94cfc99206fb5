"""Churn: all rows re-queued with one UPDATE and drained, again and again, autovacuum as it comes."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median
from typing import Any

from contest import contacts
from contest.arena import Arena
from contest.drain import Course, drain
from contest.field import EACH, RAW, Entry
from contest.sheet import Sheet
from contest.workloads.options import Options

_LAST = 5
#: What jobloop's doctor advises for a table that is worked this hard.
_ADVICE = """
    ALTER TABLE contacts
    SET (fillfactor = 85, autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 10000)
"""


@dataclass
class Track:
    """One table under churn, and what each round gave."""

    name: str
    entry: Entry
    advised: bool = False
    database: str = ""
    rates: list[float] = field(default_factory=list)
    megabytes: list[float] = field(default_factory=list)
    vacuums: int = 0
    problems: set[str] = field(default_factory=set)


async def churn(arena: Arena, options: Options) -> Sheet:
    """Round by round in turn, so that all meet the same weather."""
    rows = min(options.backlog, 100_000)
    tracks = [Track("raw", RAW)]
    if options.among([EACH]):
        tracks += [Track("each", EACH), Track("each, as doctor advises", EACH, advised=True)]
    for track in tracks:
        await _lay(arena, track, rows)
    for number in range(options.rounds):
        for track in tracks:
            await _round(arena, track, rows, requeue=number > 0)
            options.say(f"{track.name}, round {number + 1}: {track.rates[-1]:,.0f}/s, {track.megabytes[-1]:,.0f} MB")
    await arena.drop(*(track.database for track in tracks))
    return Sheet(
        f"{rows:,} rows re-queued and drained {options.rounds} times",
        f"Rate, and ratio to raw in the same round: medians of the last {min(_LAST, options.rounds)}. "
        "Size: table and indexes; `of raw's MB` at most, for at last it is luck: a vacuum gives back what happens to "
        "be empty at the end of a table.",
        [_row(track, tracks[0]) for track in tracks],
    )


async def _lay(arena: Arena, track: Track, rows: int) -> None:
    run = await arena.fresh(track.entry, rows, once=True)
    track.database = f"churn_{track.entry.module}_{'advised' if track.advised else 'plain'}"
    async with arena.connect() as connection:
        await connection.execute(f"DROP DATABASE IF EXISTS {track.database} WITH (FORCE)")
        await connection.execute(f"ALTER DATABASE {run} RENAME TO {track.database}")
    if track.advised:
        async with arena.connect(track.database) as connection:
            await connection.execute(_ADVICE)
            await connection.execute("VACUUM (FULL, ANALYZE) contacts")


async def _round(arena: Arena, track: Track, rows: int, *, requeue: bool) -> None:
    async with arena.connect(track.database) as connection:
        if requeue:
            await connection.execute(contacts.REQUEUE)
        drained = await drain(arena, track.entry, Course(rows, cap_seconds=120.0, database=track.database))
        table, indexes, track.vacuums = await connection.fetchrow(contacts.SIZES)
    track.rates.append(drained.rate)
    track.megabytes.append((table + indexes) / 1e6)
    track.problems.update(drained.problems)


def _row(track: Track, raw: Track) -> dict[str, Any]:
    """A rate that a failed round gave counts for nothing, and neither does one beside a failed round of raw."""
    remarks = "; ".join(sorted(track.problems))
    if track.problems:
        return {"who": track.name, "remarks": remarks}
    last = list(zip(track.rates[-_LAST:], raw.rates[-_LAST:], strict=True))
    return {
        "who": track.name,
        "jobs/s": median(rate for rate, _ in last),
        "of raw": median(rate / beside for rate, beside in last) if not raw.problems else None,
        "first round": track.rates[0],
        "MB at first": track.megabytes[0],
        "MB at most": max(track.megabytes),
        "MB at last": track.megabytes[-1],
        "of raw's MB": max(track.megabytes) / max(raw.megabytes) if not raw.problems else None,
        "autovacuums": track.vacuums,
        "remarks": remarks,
    }
