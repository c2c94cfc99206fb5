"""crm-sync pull cursors"""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from crm_sync.cli.answer import AsJson

if TYPE_CHECKING:
    from crm_sync.pull.cursor_rows import CursorRow
    from crm_sync.runtime import Runtime


def pull_cursors(
    parts: Annotated[
        bool, typer.Option("--parts", help="Also those of single forms and types of e-mail events.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """How far each stream is: up to when every change is here, when it was last read whole, what is half done."""
    from crm_sync.cli.opening import with_runtime
    from crm_sync.cli.screen import console, fitting_table, short_time
    from crm_sync.pull.cursor_rows import CursorRows

    async def ask(runtime: "Runtime") -> "list[CursorRow]":
        return await CursorRows(runtime.engine).read(parts=parts)

    rows = with_runtime(ask)
    if as_json:
        typer.echo(json.dumps({"cursors": [row.as_dict() for row in rows]}, indent=2))
    elif not rows:
        typer.echo("Nothing was pulled yet.")
    else:
        columns: dict[str, list[Any]] = {
            "stream": [row.stream for row in rows],
            "synced to": [short_time(row.synced_to) for row in rows],
            "full": [short_time(row.full_at) for row in rows],
            "archived": [short_time(row.archived_at) for row in rows],
            "assoc.": [short_time(row.associations_at) for row in rows],
            "still to do": [", ".join(row.passes) or None for row in rows],
            "held": [f"to {row.held_until:%H:%M:%S}" if row.held_until else None for row in rows],
        }
        least = ("archived", "assoc.", "held", "still to do")
        screen = console()
        screen.print(fitting_table(screen, "Cursors, UTC", columns, texts=list(columns), least=least))
