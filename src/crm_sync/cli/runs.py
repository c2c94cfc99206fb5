"""crm-sync runs"""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from crm_sync.cli.answer import AsJson

if TYPE_CHECKING:
    from crm_sync.pull.runs.rows import RunRow
    from crm_sync.runtime import Runtime

_COUNTS = {
    "fetched": "fetched",
    "inserted": "new",
    "updated": "changed",
    "associations": "assoc.",
    "issues": "issues",
    "calls": "calls",
}
_TEXTS = ("stream", "wants", "status", "since", "started")
#: Left out where all are zero, and from the first on where the screen is narrow.
_LEAST = ("since", "assoc.", "issues", "changed", "new", "calls", "fetched", "seconds", "times", "started")


def runs(
    streams: Annotated[
        list[str] | None, typer.Option("--stream", metavar="STREAM", help="Only of this stream; may be repeated.")
    ] = None,
    limit: Annotated[int, typer.Option(help="The newest so many.", min=1, max=100_000)] = 20,
    as_json: AsJson = False,
) -> None:
    """The pulls that were asked for: waiting, under way and ended, with counts, calls, duration and error.

    Runs of a stream that failed one after another in the same words are one line: the newest of them, how many times,
    and since when. With --json each is there.
    """
    from crm_sync.cli.opening import with_runtime
    from crm_sync.cli.screen import console, fitting_table

    async def ask(runtime: "Runtime") -> "list[RunRow]":
        wanted = runtime.pull.expand(*streams) if streams else ()
        return await runtime.pulls.rows.latest(limit, wanted)

    rows = with_runtime(ask)
    if as_json:
        typer.echo(json.dumps({"runs": [row.as_dict() for row in rows]}, ensure_ascii=False, indent=2))
    elif not rows:
        typer.echo("There were no runs.")
    else:
        groups = alike(rows)
        screen, columns = console(), _columns(groups)
        screen.print(fitting_table(screen, "Runs, UTC", columns, texts=_TEXTS, least=_LEAST))
        for group in groups:
            if group[0].why:
                typer.echo(f"{group[0].id} {group[0].stream}: {group[0].why}{_times(group)}")


def alike(rows: "Sequence[RunRow]") -> "list[list[RunRow]]":
    """The runs, newest first; those of a stream that failed one after another in the same words are together."""
    groups: list[list[RunRow]] = []
    latest: dict[str, list[RunRow]] = {}
    for row in rows:
        group = latest.get(row.stream)
        if group is None or row.why is None or not row.is_over or _kind(row) != _kind(group[0]):
            groups.append(group := [])
        latest[row.stream] = group
        group.append(row)
    return groups


def _kind(row: "RunRow") -> tuple[Any, ...]:
    return row.wants, row.status, row.why


def _times(group: "Sequence[RunRow]") -> str:
    from crm_sync.cli.screen import short_time

    if len(group) == 1:
        return ""
    first, last = (short_time(row.started_at or row.created_at) for row in (group[-1], group[0]))
    return f" ({len(group)} times, {first} to {last})"


def _columns(groups: "list[list[RunRow]]") -> dict[str, list[Any]]:
    from crm_sync.cli.screen import short_time

    rows = [group[0] for group in groups]
    return {
        "run": [str(row.id) for row in rows],
        "stream": [row.stream for row in rows],
        "wants": [row.wants for row in rows],
        "status": [row.standing for row in rows],
        "times": [len(group) if len(group) > 1 else None for group in groups],
        "since": [short_time(group[-1].started_at) if len(group) > 1 else None for group in groups],
        "started": [short_time(row.started_at) for row in rows],
        "seconds": [row.seconds for row in rows],
        **{heading: [row.report.get(name) for row in rows] for name, heading in _COUNTS.items()},
    }
