"""What a worker costs that has nothing to do: transactions and processor time, its own and the server's."""

from __future__ import annotations

import asyncio
from typing import Any

import psutil

from contest.arena import Arena, Failed
from contest.field import EACH, RIVALS_OF_OURS, Entry
from contest.sheet import Sheet
from contest.workloads.options import Options

_WARM_UP_SECONDS = 3.0
_STATISTICS_SECONDS = 1.5  # a backend reports what it did after a second
_TRANSACTIONS = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = $1"
_BACKENDS = "SELECT pid FROM pg_stat_activity WHERE datname = $1 AND backend_type = 'client backend'"


async def idle(arena: Arena, options: Options) -> Sheet:
    rows = []
    for entry in options.among((EACH.given(notify=True), *RIVALS_OF_OURS)):
        try:
            row = await _watch(arena, entry, options.idle_seconds)
        except (Failed, TimeoutError, psutil.Error) as exc:
            row = {"remarks": str(exc) or type(exc).__name__}
        options.say(f"{entry.name}: {row}")
        rows.append({"who": entry.name, **row})
    return Sheet(
        "An idle worker",
        f"Over {options.idle_seconds:.0f} s, listening and polling as by default. The server's share is that of the "
        "worker's connections.",
        rows,
    )


async def _watch(arena: Arena, entry: Entry, seconds: float) -> dict[str, Any]:
    database = await arena.fresh(entry, 0)
    path, _ = arena.tally(1)
    worker = await arena.start(entry, "work", database, jobs=1, tally=path)
    try:
        await worker.ready()
        await worker.say("go")
        await asyncio.sleep(_WARM_UP_SECONDS)
        async with arena.connect() as observer:  # in another database, so not counted itself
            backends = [psutil.Process(row[0]) for row in await observer.fetch(_BACKENDS, database)]
            before = await _reading(observer, database, worker.process.pid, backends)
            await asyncio.sleep(seconds)
            after = await _reading(observer, database, worker.process.pid, backends)
        await worker.say("stop")
        await worker.end()
    finally:
        worker.kill()
        arena.forget(path)
    transactions, own, server = (late - early for late, early in zip(after, before, strict=True))
    return {
        "transactions/s": transactions / seconds,
        "worker, % of a core": 100 * own / seconds,
        "server, % of a core": 100 * server / seconds,
    }


async def _reading(
    observer: Any, database: str, pid: int, backends: list[psutil.Process]
) -> tuple[float, float, float]:
    """(transactions so far, processor seconds of the worker, and of its connections)."""
    own = _cpu_seconds(psutil.Process(pid))
    server = sum(_cpu_seconds(backend) for backend in backends if backend.is_running())
    transactions = await observer.fetchval(_TRANSACTIONS, database)
    return float(transactions), own, server


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
