"""Contacts through the application to the emulator: without limits, and within those of HubSpot's smallest account.

    make bench ONLY=benchmarks/push.py                                          all, four minutes
    make bench ONLY=benchmarks/push.py ARGS="unlimited --contacts 10000"        calls, memory, time to the first claim
    make bench ONLY=benchmarks/push.py ARGS="limited --contacts 90000"          how much of the limit is used
    make bench ONLY=benchmarks/push.py ARGS="limited-slow"                      the same, a call takes a second
    make bench ONLY=benchmarks/push.py ARGS="--markdown docs/performance.md"    the last figures into the document

The application, the emulator and PostgreSQL are processes of their own on one machine, so the seconds are this
machine's, and no statement about HubSpot's. The share of the limit that is used is one about the application.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from pushing import limited, unlimited
from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).parent / "results" / "push.json"
MEASURES: dict[str, tuple[Callable[[int], Awaitable[Any]], int]] = {
    "unlimited": (unlimited.measure, 10_000),
    "limited": (limited.measure, 90_000),
    "limited-slow": (partial(limited.measure, answer_seconds=1.0, concurrency=16), 50_000),
}
_BEGIN, _END = "<!-- push: begin -->", "<!-- push: end -->"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("measures", nargs="*", choices=[[], *MEASURES], help="default: all")
    parser.add_argument("--contacts", type=int, help="default: that of each measure")
    parser.add_argument("--markdown", type=Path, metavar="DOCUMENT", help="write the last figures into this")
    arguments = parser.parse_args()
    if arguments.markdown:
        put_into(arguments.markdown)
        return 0
    is_right = True
    for name in arguments.measures or MEASURES:
        measure, contacts = MEASURES[name]
        result = asyncio.run(measure(arguments.contacts or contacts))
        show(name, asdict(result))
        keep(name, asdict(result))
        is_right &= result.is_right
    return 0 if is_right else 1


def show(name: str, figures: dict[str, Any]) -> None:
    table = Table(title=f"Push of {figures['contacts']:,} contacts, {name}", title_justify="left", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for heading, value in figures.items():
        if heading != "contacts":
            table.add_row(heading.replace("_", " "), text(value))
    Console().print(table)


def keep(name: str, figures: dict[str, Any]) -> None:
    kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    kept = {other: kept[other] for other in MEASURES if other in kept} | {name: figures}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(kept, indent=2) + "\n")


def put_into(document: Path) -> None:
    """Replace what is between the two marks of a document."""
    kept = json.loads(RESULTS.read_text())
    parts = []
    for name in MEASURES:
        if figures := kept.get(name):
            parts += [f"### Push of {figures['contacts']:,} contacts, {name}", "| | |\n|---|---:|"]
            rows = [(heading, value) for heading, value in figures.items() if heading != "contacts"]
            parts[-1] += "".join(f"\n| {heading.replace('_', ' ')} | {text(value)} |" for heading, value in rows)
    figures_text = "\n\n".join(parts)
    old = document.read_text()
    new, found = re.subn(f"{_BEGIN}.*{_END}", lambda _: f"{_BEGIN}\n{figures_text}\n{_END}", old, flags=re.DOTALL)
    if not found:
        raise SystemExit(f"{document} has no {_BEGIN} … {_END}")
    document.write_text(new)


def text(value: Any) -> str:
    """Statuses as `Complete 10,000`, numbers with their thousands apart."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {count:,}" for name, count in value.items())
    return f"{value:,}" if isinstance(value, int | float) else str(value)


if __name__ == "__main__":
    sys.exit(main())
