"""crm-sync pull cursors"""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from crm_sync.cli.pull_options import AsJson

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
    from crm_sync.cli.screen import console, table
    from crm_sync.pull.cursor_rows import CursorRows

    async def ask(runtime: "Runtime") -> "list[CursorRow]":
        return await CursorRows(runtime.engine).read(parts=parts)

    rows = with_runtime(ask)
    if as_json:
        typer.echo(json.dumps({"cursors": [row.as_dict() for row in rows]}, indent=2))
    elif not rows:
        typer.echo("Nothing was pulled yet.")
    else:
        headings = ("stream", "synced to", "full", "archived", "associations", "still to do", "held until")
        cells = [
            (
                *(row.stream, row.synced_to, row.full_at, row.archived_at, row.associations_at),
                ", ".join(row.passes) or None,
                row.held_until,
            )
            for row in rows
        ]
        console().print(table("Cursors", headings, cells))
