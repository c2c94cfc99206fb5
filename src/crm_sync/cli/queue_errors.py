"""crm-sync queue errors"""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from crm_sync.cli.answer import AsJson
from crm_sync.cli.queue_choice import QueueName, chosen

if TYPE_CHECKING:
    from crm_sync.operate import ErrorGroup
    from crm_sync.runtime import Runtime


def show_errors(
    queue: QueueName = "contacts",
    most: Annotated[int, typer.Option(help="Groups to show.", min=1)] = 20,
    as_json: AsJson = False,
) -> None:
    """Failed rows, and those waiting for a retry, grouped by error, with examples."""
    from crm_sync.cli.opening import with_runtime
    from crm_sync.cli.screen import console, table
    from crm_sync.operate import queue_errors

    async def ask(runtime: "Runtime") -> "list[ErrorGroup]":
        return await queue_errors(runtime.engine, chosen(runtime, queue), most)

    groups = with_runtime(ask)
    if as_json:
        typer.echo(json.dumps({"queue": queue, "errors": [group.as_dict() for group in groups]}, indent=2))
    elif not groups:
        typer.echo(f"No errors in {queue}.")
    else:
        rows = [(group.rows, group.state, group.error, "\n".join(group.examples)) for group in groups]
        console().print(table(f"Errors in {queue}", ("rows", "state", "error", "for example"), rows, numbers=("rows",)))
