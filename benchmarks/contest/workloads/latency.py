"""Pick-up: from the commit of an enqueue to the start of its handler, on a worker that has nothing else to do."""

from __future__ import annotations

import asyncio
import time
from statistics import median
from typing import Any

from contest.arena import Arena, Failed
from contest.field import EACH, RAW, RIVALS_OF_OURS, Entry
from contest.sheet import Sheet
from contest.workloads.options import Options

_JOBS, _WATCHED = 200, 60
_WARM_UP_SECONDS = 2.0
_LONGEST_SECONDS = 60.0
_LAST_SETTLE_SECONDS = 1.0


async def pick_up(arena: Arena, options: Options) -> Sheet:
    rows = []
    for entry in [*options.among((EACH.given(notify=True), *RIVALS_OF_OURS)), RAW]:
        runs, remarks = [], set()
        for _ in range(options.repetitions):
            try:
                starts, _ = await _run(arena, entry, _JOBS, watch=False)
                _, settles = await _run(arena, entry, _WATCHED, watch=True)
                runs.append(_percentiles(starts) | {"seen finished, p50 ms": median(settles)})
                options.say(f"{entry.name}: {runs[-1]}")
            except (Failed, TimeoutError) as exc:
                remarks.add(str(exc) or type(exc).__name__)
        figures: dict[str, Any] = {name: median(run[name] for run in runs) for name in (runs[0] if runs else ())}
        if entry is RAW:
            remarks.add("polls every 5 ms")
        rows.append({"who": entry.name, **figures, "remarks": "; ".join(sorted(remarks))})
    return Sheet(
        "Pick-up of a single job by an idle worker, ms",
        f"From the return of the enqueuing commit to the handler's start, {_JOBS} jobs, 0 to 40 ms apart; by NOTIFY "
        "but for raw. `seen finished`: from the handler's start until another connection sees the job finished, in "
        f"runs of its own. Medians of {options.repetitions}.",
        rows,
    )


async def _run(arena: Arena, entry: Entry, jobs: int, *, watch: bool) -> tuple[list[float], list[float]]:
    """Milliseconds (from commit to start, from start to seen finished) of each job. Raises `Failed`."""
    database = await arena.fresh(entry, 0)
    path, tally = arena.tally(jobs)
    worker = await arena.start(entry, "work", database, jobs=jobs, tally=path)
    user = await arena.start(entry, "enqueue", database, jobs=jobs, watch=watch)
    try:
        await worker.ready()
        await user.ready()
        await worker.say("go")
        await asyncio.sleep(_WARM_UP_SECONDS)
        await user.say("go")
        said = await user.end(_LONGEST_SECONDS)
        limit = time.monotonic() + _LAST_SETTLE_SECONDS
        while tally.ran < jobs and time.monotonic() < limit:  # noqa: ASYNC110 - another process moves it
            await asyncio.sleep(0.01)
        await asyncio.sleep(_LAST_SETTLE_SECONDS)
        await worker.say("stop")
        await worker.end()
    finally:
        worker.kill()
        user.kill()
    async with arena.connect(database) as connection:
        counts = await arena.counts(entry, connection)
    if counts != (0, jobs) or bytes(tally.runs) != b"\1" * jobs:
        raise Failed(f"{tally.ran} of {jobs} ran, {counts[1]} finished")
    starts = list(tally.starts)
    arena.forget(path)
    return (
        [(start - committed) / 1e6 for start, committed in zip(starts, said["committed_ns"], strict=True)],
        [(seen - start) / 1e6 for seen, start in zip(said["seen_ns"], starts, strict=False)],
    )


def _percentiles(values: list[float]) -> dict[str, float]:
    ordered = sorted(values)
    return {f"p{percent}": ordered[min(len(ordered) - 1, len(ordered) * percent // 100)] for percent in (50, 95, 99)}
