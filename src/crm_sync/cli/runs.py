"""crm-sync runs"""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from crm_sync.cli.pull_options import AsJson

if TYPE_CHECKING:
    from crm_sync.pull.run_rows import RunRow
    from crm_sync.runtime import Runtime

_COUNTS = ("inserted", "updated", "archived", "removed", "associations", "issues", "calls")


def runs(
    streams: Annotated[
        list[str] | None, typer.Option("--stream", metavar="STREAM", help="Only of this stream; may be repeated.")
    ] = None,
    limit: Annotated[int, typer.Option(help="The newest so many.", min=1, max=100_000)] = 20,
    as_json: AsJson = False,
) -> None:
    """The pulls that were asked for: waiting, under way and ended, with counts, calls, duration and error."""
    from crm_sync.cli.opening import with_runtime
    from crm_sync.cli.screen import console, table

    async def ask(runtime: "Runtime") -> "list[RunRow]":
        wanted = runtime.pull.expand(*streams) if streams else ()
        return await runtime.pulls.rows.latest(limit, wanted)

    rows = with_runtime(ask)
    if as_json:
        typer.echo(json.dumps({"runs": [row.as_dict() for row in rows]}, ensure_ascii=False, indent=2))
    elif not rows:
        typer.echo("There were no runs.")
    else:
        shown = ["assoc." if name == "associations" else name for name in _COUNTS]
        headings = ("run", "stream", "wants", "status", "started", "seconds", "fetched", *shown)
        numbers = ("run", "seconds", "fetched", *shown)
        console().print(table("Runs", headings, [_cells(row) for row in rows], numbers=numbers))
        for row in rows:
            if row.why:
                typer.echo(f"{row.id} {row.stream}: {row.why}")


def _cells(row: "RunRow") -> list[Any]:
    counts = [row.report.get(name) for name in ("fetched", *_COUNTS)]
    started = f"{row.started_at:%m-%d %H:%M:%S}" if row.started_at else None
    return [str(row.id), row.stream, row.wants, row.standing, started, row.seconds, *counts]
