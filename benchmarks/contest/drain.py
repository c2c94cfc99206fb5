"""One drain: worker processes on a backlog, timed from outside and verified exactly once."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import psutil

from contest.arena import Arena, Failed, Player
from contest.field import Entry
from contest.tally import Tally, ran_twice

_BACKENDS = """
    SELECT pid FROM pg_stat_activity
    WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()
"""
_LOOK_SECONDS = 0.004
_LAST_SETTLE_SECONDS = 20.0
_START_SECONDS = 20.0


@dataclass
class Drained:
    """`rate` is in jobs per second, from the first handler's start until the database shows the last one finished."""

    rate: float = 0.0
    worker_cpu_us: float = 0.0
    server_cpu_us: float = 0.0
    is_capped: bool = False
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Course:
    """What is drained: `want` jobs of `jobs`, by `processes` workers, in no more than `cap_seconds`."""

    jobs: int
    processes: int = 1
    sleep_ms: float = 0.0
    want: int | None = None
    cap_seconds: float = 8.0
    database: str | None = None


async def drain(arena: Arena, entry: Entry, course: Course) -> Drained:
    jobs = min(course.jobs, entry.most_jobs)
    drained = Drained()
    try:
        database = course.database or await arena.fresh(entry, jobs)
        await _drain(arena, entry, database, jobs, course, drained)
    except (Failed, TimeoutError) as exc:
        drained.problems.append(str(exc) or type(exc).__name__)
    return drained


async def _drain(arena: Arena, entry: Entry, database: str, jobs: int, course: Course, drained: Drained) -> None:
    goal = course.want or jobs
    paths, tallies = zip(*(arena.tally(jobs) for _ in range(course.processes)), strict=True)
    players: list[Player] = []
    said: list[dict[str, Any]] = []
    async with arena.connect(database) as connection:
        before = await arena.counts(entry, connection)
        try:
            for path in paths:
                sleep_ms = course.sleep_ms or None
                players.append(await arena.start(entry, "work", database, jobs=jobs, tally=path, sleep_ms=sleep_ms))
            for player in players:
                await player.ready()
            for player in players:
                await player.say("go")
            drained.is_capped = not await _until_ran(tallies, goal, players, course.cap_seconds)
            if not drained.is_capped and not course.want:
                await _until_finished(arena, entry, connection, before)
            ended_ns, ran = time.monotonic_ns(), sum(tally.ran for tally in tallies)
            server_seconds = await _backends_seconds(connection)
            for player in players:
                await player.say("stop")
            said = [await player.end() for player in players]
        finally:
            for player in players:
                player.kill()
        drained.problems += _problems(tallies, before, await arena.counts(entry, connection), course, drained.is_capped)
    started_ns = min((tally.first_start_ns for tally in tallies if tally.first_start_ns), default=ended_ns)
    if ran and ended_ns > started_ns:
        drained.rate = ran / (ended_ns - started_ns) * 1e9
        drained.server_cpu_us = server_seconds / ran * 1e6
        drained.worker_cpu_us = sum(each["cpu_seconds"] for each in said) / sum(tally.ran for tally in tallies) * 1e6
    arena.forget(*paths)


async def _backends_seconds(connection: Any) -> float:
    """Processor time of the workers' connections, which were all opened for this run."""
    seconds = 0.0
    for (pid,) in await connection.fetch(_BACKENDS):
        with suppress(psutil.Error):
            times = psutil.Process(pid).cpu_times()
            seconds += times.user + times.system
    return seconds


async def _until_ran(tallies: tuple[Tally, ...], goal: int, players: list[Player], cap_seconds: float) -> bool:
    """Wait until `goal` jobs started; False if the time ran out."""
    limit = time.monotonic() + _START_SECONDS
    has_begun = False
    while sum(tally.ran for tally in tallies) < goal:
        if not has_begun and any(tally.ran for tally in tallies):
            has_begun, limit = True, time.monotonic() + cap_seconds
        if any(player.has_died() for player in players):
            raise Failed("a worker died")
        if time.monotonic() > limit:
            return False
        await asyncio.sleep(_LOOK_SECONDS)
    return True


async def _until_finished(arena: Arena, entry: Entry, connection: Any, before: tuple[int, int]) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(_LAST_SETTLE_SECONDS):
            while (await arena.counts(entry, connection))[0]:  # noqa: ASYNC110 - another process moves it
                await asyncio.sleep(_LOOK_SECONDS)


def _problems(
    tallies: tuple[Tally, ...], before: tuple[int, int], after: tuple[int, int], course: Course, is_capped: bool
) -> list[str]:
    """What is wrong with the claim that every job ran exactly once and the tables know it."""
    ran, twice, problems = sum(tally.ran for tally in tallies), ran_twice(list(tallies)), []
    if twice:
        problems.append(f"{twice} jobs ran more than once")
    if not ran:
        problems.append("no job ran")
    if not is_capped and not course.want and after[0]:
        problems.append(f"{after[0]} of {before[0]} not finished")
    if after[1] - before[1] != ran:
        problems.append(f"{ran} ran but {after[1] - before[1]} are finished")
    if before[0] - after[0] != ran:
        problems.append(f"{ran} ran but {before[0] - after[0]} fewer wait")
    return problems
