"""The process around a contender: its roles, and the words on stdin and stdout. Standard library only.

    install   create its schema in the empty database
    fill      enqueue jobs 0 … --jobs - 1
    work      run one worker between "go" and "stop"; each job is marked in --tally
    enqueue   commit jobs one by one at random moments; says when each was committed and, with --watch, seen finished
    about     say the versions of what matters and the SQL that counts its jobs

Every role ends by printing one line of JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import logging
import os
import platform
import random
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from contest.tally import Tally

#: Jobs come 0 to 40 ms apart, so that an idle worker is really idle when one comes.
_LONGEST_GAP_SECONDS = 0.04
_SEEN_WITHIN_SECONDS = 5.0


class Contender:
    """What a contender provides. `options` are the arguments of the command line."""

    packages: tuple[str, ...] = ()
    #: One row: jobs that are not finished, jobs that are.
    counts_sql = ""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.dsn: str = options.dsn

    async def install(self) -> None:
        raise NotImplementedError

    async def fill(self, jobs: int) -> None:
        raise NotImplementedError

    async def open(self) -> None:
        """Connect for `enqueue` and `unfinished`."""

    async def enqueue(self, job: int) -> None:
        raise NotImplementedError

    async def unfinished(self) -> int:
        raise NotImplementedError

    async def work(
        self, mark: Callable[[int], None], job: Callable[[int], Awaitable[None]], stop: asyncio.Event
    ) -> None:
        """Run one worker until `stop`. Each job either awaits `job(number)` or, where that is all, calls `mark`."""
        raise NotImplementedError


def play(contender: type[Contender]) -> None:
    options = _arguments()
    logging.basicConfig(level=logging.ERROR)
    if options.role == "about":
        print(json.dumps({"counts_sql": contender.counts_sql, "versions": _versions(contender)}), flush=True)
        return
    with contextlib.suppress(ImportError):
        import uvloop

        uvloop.install()
    print(json.dumps(asyncio.run(_role(contender(options))) or {}), flush=True)
    sys.stderr.flush()
    os._exit(0)  # some libraries leave threads behind that would keep the process


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("role", choices=("install", "fill", "work", "enqueue", "about"))
    parser.add_argument("--dsn")
    parser.add_argument("--tally", type=Path)
    parser.add_argument("--jobs", type=int, default=0)
    parser.add_argument("--batch", type=int, default=500)
    parser.add_argument("--concurrency", type=int, default=10)
    parser.add_argument("--sleep-ms", type=float, default=0.0)
    parser.add_argument("--form", default="each")
    parser.add_argument("--order", action="store_true", help="oldest first, with the index for it")
    parser.add_argument("--notify", action="store_true", help="wake by NOTIFY, with the trigger for it")
    parser.add_argument("--tasks", action="store_true", help="raw: a task for each job, as a worker with handlers has")
    parser.add_argument("--watch", action="store_true")
    return parser.parse_args()


def _versions(contender: type[Contender]) -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in (*contender.packages, "uvloop"):
        with contextlib.suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


async def _role(contender: Contender) -> dict[str, Any] | None:
    match contender.options.role:
        case "install":
            await contender.install()
        case "fill":
            await contender.fill(contender.options.jobs)
        case "work":
            return await _work(contender)
        case "enqueue":
            return await _enqueue(contender)
    return None


async def _work(contender: Contender) -> dict[str, Any]:
    options = contender.options
    mark, seconds = Tally(options.tally, options.jobs).mark, options.sleep_ms / 1000

    async def no_op(job: int) -> None:
        mark(job)

    async def sleep(job: int) -> None:
        mark(job)
        await asyncio.sleep(seconds)

    stop = asyncio.Event()
    gc.freeze()  # what was imported stays: the collector need not look at it again and again
    await _told("go")
    _on_line(stop.set)
    started_cpu = time.process_time()
    await contender.work(mark, sleep if seconds else no_op, stop)
    return {"cpu_seconds": time.process_time() - started_cpu}


async def _enqueue(contender: Contender) -> dict[str, Any]:
    committed, seen = [], []
    await contender.open()
    await _told("go")
    for job in range(contender.options.jobs):
        await asyncio.sleep(random.uniform(0, _LONGEST_GAP_SECONDS))
        await contender.enqueue(job)
        committed.append(time.monotonic_ns())
        if contender.options.watch:
            give_up_at = time.monotonic() + _SEEN_WITHIN_SECONDS
            while await contender.unfinished() and time.monotonic() < give_up_at:  # noqa: ASYNC110
                await asyncio.sleep(0.0005)
            seen.append(time.monotonic_ns())
    return {"committed_ns": committed, "seen_ns": seen}


async def _told(word: str) -> None:
    print("ready", flush=True)
    line = await asyncio.to_thread(sys.stdin.readline)
    if line.strip() != word:
        raise SystemExit(f"expected {word!r}, was told {line!r}")


def _on_line(heard: Callable[[], None]) -> None:
    """Call `heard` in the event loop when the referee says anything more, or is gone."""
    loop = asyncio.get_running_loop()

    def listen() -> None:
        sys.stdin.readline()
        loop.call_soon_threadsafe(heard)

    threading.Thread(target=listen, daemon=True).start()
