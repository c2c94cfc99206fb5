"""crm-sync queue retry"""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from crm_sync.cli.queue_choice import ErrorLike, OnlyId, QueueName, chosen, filters

if TYPE_CHECKING:
    from crm_sync.runtime import Runtime


def retry(
    queue: QueueName = "contacts",
    error_like: ErrorLike = None,
    ids: OnlyId = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Make retries that wait for their time due now. Their attempts so far still count."""
    from crm_sync.cli.opening import with_runtime
    from crm_sync.operate import retry_now

    async def change(runtime: "Runtime") -> int:
        named = chosen(runtime, queue)
        return await retry_now(runtime.engine, named, filters(named, error_like, ids))

    rows = with_runtime(change)
    typer.echo(json.dumps({"queue": queue, "retried": rows}) if as_json else f"{rows:,} waiting rows are due now.")
