"""crm-sync queue resume"""

import json
from typing import TYPE_CHECKING

import typer

from crm_sync.cli.answer import AsJson
from crm_sync.cli.queue_choice import QueueName, chosen

if TYPE_CHECKING:
    from crm_sync.runtime import Runtime
    from jobloop.pause import PauseState


def resume(
    queue: QueueName = "contacts",
    as_json: AsJson = False,
) -> None:
    """Let workers take rows of a paused queue again, whoever paused it."""
    from crm_sync.cli.opening import with_runtime
    from jobloop import Control

    async def change(runtime: "Runtime") -> "PauseState | None":
        return await Control(chosen(runtime, queue), runtime.engine).resume()

    lifted = with_runtime(change)
    if as_json:
        typer.echo(json.dumps({"queue": queue, "was_paused": lifted is not None}))
    elif lifted is None:
        typer.echo(f"{queue} was not paused.")
    else:
        typer.echo(f"{queue} runs again; it was paused since {lifted.paused_at:%Y-%m-%d %H:%M:%S %Z}: {lifted.reason}")
