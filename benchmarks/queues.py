"""jobloop beside the raw limit and other queues, on one PostgreSQL with full durability, verified exactly once.

    make bench ONLY=benchmarks/queues.py                                    the short workloads, some minutes
    make bench ONLY=benchmarks/queues.py ARGS=--all                         backlog and churn too
    make bench ONLY=benchmarks/queues.py ARGS="drain sleep --only each,pgqueuer --repetitions 5"
    make bench ONLY=benchmarks/queues.py ARGS="--markdown docs/performance.md"    the last figures into the document

Right before each contender's drain the raw reference runs too; `of raw` is the median of the ratios of neighbours.
The rivals come from the package index, once, into benchmarks/.rivals; without an index they are left out.
"""

from __future__ import annotations

import argparse
import asyncio
import platform
import sys
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
from contest import field, sheet
from contest.arena import SETTINGS, Arena
from contest.workloads import backlog, churn, drains, idle, latency
from contest.workloads.options import Options
from rich.console import Console

RESULTS = Path(__file__).parent / "results" / "queues.json"
WORKLOADS = {
    "drain": drains.one_process,
    "drain-2": drains.two_processes,
    "sleep": drains.sleeping,
    "session": drains.with_session,
    "pick-up": latency.pick_up,
    "idle": idle.idle,
    "backlog": backlog.backlog,
    "churn": churn.churn,
}
LONG = ("backlog", "churn")


def main() -> int:
    arguments = parse()
    if arguments.markdown:
        sheet.put_into(arguments.markdown, sheet.markdown(RESULTS, WORKLOADS))
        return 0
    named = arguments.workloads or [name for name in WORKLOADS if arguments.all or name not in LONG]
    wanted = [entry for entry in field.EVERYBODY if not arguments.only or entry.name in arguments.only]
    absent = field.prepare((field.RAW, *wanted))
    for entry in (field.RAW, *wanted):
        if why := absent.get(entry.name):
            print(
                f"{entry.name} {'stays out' if entry.requirements else 'goes without uvloop'}: {why}", file=sys.stderr
            )
    present = frozenset(entry.name for entry in wanted if entry.name not in absent or not entry.requirements)
    options = Options(
        jobs=arguments.jobs,
        repetitions=arguments.repetitions,
        backlog=arguments.backlog,
        rounds=arguments.rounds,
        idle_seconds=arguments.idle_seconds,
        present=present,
        say=lambda words: print(f"# {time.strftime('%H:%M:%S')} {words}", file=sys.stderr, flush=True),
    )
    with Arena.open() as arena:
        return asyncio.run(run(arena, named, options))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("workloads", nargs="*", choices=[[], *WORKLOADS], help="default: all but the long ones")
    parser.add_argument("--all", action="store_true", help=f"with {' and '.join(LONG)} too")
    parser.add_argument(
        "--only", type=lambda names: names.replace("-", " ").split(","), help="contenders by name: each,older-loop"
    )
    parser.add_argument("--jobs", type=int, default=40_000, help="of a drain")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--backlog", type=int, default=1_000_000, help="rows; 5000000 takes some 8 GB of disk")
    parser.add_argument("--rounds", type=int, default=20, help="of churn")
    parser.add_argument("--idle-seconds", type=float, default=20.0)
    parser.add_argument(
        "--markdown", type=Path, metavar="DOCUMENT", help="write the last figures into this; run nothing"
    )
    return parser.parse_args()


async def run(arena: Arena, workloads: list[str], options: Options) -> int:
    """Each workload's figures are shown and kept at once; returns 1 if one of ours has none."""
    setting, ours = await setting_of(arena, options), {entry.name for entry in field.OURS}
    failed = False
    for name in workloads:
        options.say(f"workload {name}")
        result = await WORKLOADS[name](arena, options)
        result.measured = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, load {psutil.getloadavg()[1]:.1f}"
        result.show(Console(width=140))
        sheet.keep(RESULTS, f"{name} {options.backlog}" if name == "backlog" else name, result, setting)
        failed |= any(row["who"] in ours and set(row) <= {"who", "remarks"} for row in result.rows)
    return int(failed)


async def setting_of(arena: Arena, options: Options) -> dict[str, Any]:
    """The machine and the versions of everything that ran."""
    versions: dict[str, str] = {}
    for entry in field.EVERYBODY:
        if entry.name in options.present:
            versions |= (await arena.about(entry))["versions"]
    memory = psutil.virtual_memory().total / 2**30
    return {
        "machine": f"{psutil.cpu_count()} CPUs ({platform.machine()}), {memory:.0f} GB, {platform.system()}",
        "PostgreSQL": await arena.server_version(),
        **SETTINGS,
        **versions,
        "jobloop": version("jobloop"),
    }


if __name__ == "__main__":
    sys.exit(main())
