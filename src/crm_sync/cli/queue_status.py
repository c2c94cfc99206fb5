"""crm-sync queue status"""

import json
from typing import TYPE_CHECKING

import typer

from crm_sync.cli.answer import AsJson

if TYPE_CHECKING:
    from crm_sync.operate import QueueStatus
    from crm_sync.runtime import Runtime


def show_status(as_json: AsJson = False) -> None:
    """How many rows wait, run, are done and failed, since when the oldest waits, and whether the queue is paused."""
    from crm_sync.cli.opening import with_runtime
    from crm_sync.cli.screen import console, duration, table
    from crm_sync.operate import queue_status

    async def ask(runtime: "Runtime") -> "list[QueueStatus]":
        return [await queue_status(runtime.engine, queue) for queue in runtime.queues.values()]

    statuses = with_runtime(ask)
    if as_json:
        typer.echo(json.dumps({"queues": [status.as_dict() for status in statuses]}, indent=2))
        return
    numbers = ("due", "waiting for retry", "processing", "of lost workers", "complete", "error")
    rows = [
        (s.queue, s.due, s.waiting, s.processing, s.expired, s.complete, s.error, duration(s.oldest_due_seconds))
        for s in statuses
    ]
    console().print(table("Queues", ("queue", *numbers, "oldest due for"), rows, numbers=numbers))
    for status in statuses:
        if status.pause is not None:
            end = f"probed at {status.pause.until:%Y-%m-%d %H:%M %Z}" if status.pause.until else "until it is resumed"
            since = f"{status.pause.paused_at:%Y-%m-%d %H:%M %Z}"
            typer.secho(
                f"{status.queue} is paused since {since} by {status.pause.paused_by}, {end}: {status.pause.reason}",
                fg=typer.colors.YELLOW,
            )
