"""crm-sync queue pause"""

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from crm_sync.cli.answer import AsJson
from crm_sync.cli.duration import duration
from crm_sync.cli.queue_choice import QueueName, chosen

if TYPE_CHECKING:
    from crm_sync.runtime import Runtime
    from jobloop.pause import PauseState


def pause(
    queue: QueueName = "contacts",
    reason: Annotated[str, typer.Option(help="Shown to whoever asks why nothing moves.")] = "paused by hand",
    lasting: Annotated[
        timedelta | None,
        typer.Option(
            "--for",
            parser=duration,
            metavar="DURATION",
            help="After that, workers try one row and go on if it works: 30m, 2h.  [default: until `queue resume`]",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Let no worker, in any process, take rows of a queue. What already runs is finished."""
    from crm_sync.cli.opening import with_runtime
    from jobloop import Control

    async def change(runtime: "Runtime") -> "PauseState":
        return await Control(chosen(runtime, queue), runtime.engine).pause(reason, lasting)

    state = with_runtime(change)
    if as_json:
        until = state.until.isoformat() if state.until else None
        typer.echo(json.dumps({"queue": queue, "paused": True, "reason": state.reason, "until": until}))
    else:
        until = f"until {state.until:%Y-%m-%d %H:%M:%S %Z}" if state.until else f"until `crm-sync queue resume {queue}`"
        typer.echo(f"{queue} is paused {until}: {state.reason}")
