"""crm-sync runs"""

import json
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
_TEXTS = ("stream", "wants", "status", "started")
#: Left out where all are zero, and from the first on where the screen is narrow.
_LEAST = ("assoc.", "issues", "changed", "new", "calls", "fetched", "seconds", "started")


def runs(
    streams: Annotated[
        list[str] | None, typer.Option("--stream", metavar="STREAM", help="Only of this stream; may be repeated.")
    ] = None,
    limit: Annotated[int, typer.Option(help="The newest so many.", min=1, max=100_000)] = 20,
    as_json: AsJson = False,
) -> None:
    """The pulls that were asked for: waiting, under way and ended, with counts, calls, duration and error."""
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
        screen, columns = console(), _columns(rows)
        screen.print(fitting_table(screen, "Runs, UTC", columns, texts=_TEXTS, least=_LEAST))
        for row in rows:
            if row.why:
                typer.echo(f"{row.id} {row.stream}: {row.why}")


def _columns(rows: "list[RunRow]") -> dict[str, list[Any]]:
    from crm_sync.cli.screen import short_time

    return {
        "run": [str(row.id) for row in rows],
        "stream": [row.stream for row in rows],
        "wants": [row.wants for row in rows],
        "status": [row.standing for row in rows],
        "started": [short_time(row.started_at) for row in rows],
        "seconds": [row.seconds for row in rows],
        **{heading: [row.report.get(name) for row in rows] for name, heading in _COUNTS.items()},
    }
