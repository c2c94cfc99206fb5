"""Runs beside a reference: whatever the machine does at the moment, it does to both."""

from __future__ import annotations

from statistics import median
from typing import Any

from contest.arena import Arena
from contest.drain import Course, Drained, drain
from contest.field import Entry
from contest.workloads.options import Options


async def beside(
    arena: Arena, reference: Entry, entries: list[Entry], course: Course, options: Options
) -> dict[str, dict[str, Any]]:
    """Each entry in turn, the reference right before each; returns {name: row of figures}, the reference's too."""
    runs: dict[str, list[tuple[Drained, Drained | None]]] = {reference.name: []}
    for _ in range(options.repetitions):
        for entry in entries:
            before = await drain(arena, reference, course)
            runs[reference.name].append((before, None))
            runs.setdefault(entry.name, []).append((await drain(arena, entry, course), before))
            options.say(f"{entry.name}: {runs[entry.name][-1][0]}; {reference.name} {before.rate:,.0f}")
    return {name: summary(pairs, reference.name) for name, pairs in runs.items() if pairs}


def summary(pairs: list[tuple[Drained, Drained | None]], reference: str = "raw") -> dict[str, Any]:
    """The medians over what counts; a run with a problem gives no rate."""
    valid = [(one, raw) for one, raw in pairs if not one.problems]
    row: dict[str, Any] = {}
    if valid:
        rates = [one.rate for one, _ in valid]
        row = {"jobs/s": median(rates), "lowest": min(rates), "highest": max(rates)}
        if ratios := [one.rate / raw.rate for one, raw in valid if raw and raw.rate and not raw.problems]:
            row[f"of {reference}"] = median(ratios)
        row["worker CPU, µs a job"] = median(one.worker_cpu_us for one, _ in valid)
        row["server CPU, µs a job"] = median(one.server_cpu_us for one, _ in valid)
    remarks = sorted({problem for one, _ in pairs for problem in one.problems})
    if any(one.is_capped for one, _ in valid):
        remarks.append("stopped at the time limit")
    row["remarks"] = "; ".join(remarks)
    return row
