"""What every pull command does: the streams are pulled, watched, and told of at the end."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from crm_sync.pull.wish import Wish
    from crm_sync.pull_now import Pulled
    from crm_sync.runtime import Runtime


def run(names: Sequence[str], wish: "Wish", *, as_json: bool) -> None:
    """Pull the streams that the names stand for; ends the command with its exit code."""
    from crm_sync.cli.opening import read_settings, say, with_runtime
    from crm_sync.cli.pull_outcome import exit_code, print_outcome
    from crm_sync.cli.pull_progress import watching
    from crm_sync.clients import require_any_token
    from crm_sync.pull.report import StreamReport
    from crm_sync.pull.streams import COMMANDS
    from crm_sync.pull.wish import Wants
    from crm_sync.pull_now import Pulled, PullNow, State

    settings = read_settings(log_level="ERROR")  # what HubSpot refused is in the sentence at the end
    require_any_token(settings)

    async def pull(runtime: "Runtime") -> "list[Pulled]":
        _stop_when_told()
        if wish.wants is Wants.ASSOCIATIONS:
            streams = runtime.pull.expand_records(*names)
        else:
            streams = runtime.pull.expand(*names, commands=COMMANDS)
        runtime.pull.expand_records(*(wish.targets or ()))
        with watching(runtime) as observe:
            now = PullNow(runtime, observe, say)
            absent = await now.absent(streams) if "all" in names else {}
            pulled = await now.pull({stream: wish for stream in streams if stream not in absent})
        return pulled + [Pulled(name, State.SKIPPED, StreamReport(name), why) for name, why in absent.items()]

    pulled = with_runtime(pull, settings, shares_limits=not wish.dry_run)
    print_outcome(pulled, as_json=as_json)
    if code := exit_code(pulled):
        raise typer.Exit(code)


def _stop_when_told() -> None:
    """SIGTERM ends a pull as Ctrl-C does."""
    import asyncio
    import contextlib
    import signal

    task = asyncio.current_task()
    if task is not None:
        with contextlib.suppress(NotImplementedError):  # Windows has no such handlers
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
