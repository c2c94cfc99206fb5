"""crm-sync queue requeue"""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from crm_sync.cli.queue_choice import ErrorLike, OnlyId, QueueName, chosen, filters

if TYPE_CHECKING:
    from crm_sync.runtime import Runtime


def requeue(
    queue: QueueName = "contacts",
    error_like: ErrorLike = None,
    ids: OnlyId = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Put rows in Error back into the queue, as fresh requests with a new budget of retries."""
    from crm_sync.cli.opening import with_runtime
    from crm_sync.operate import requeue as requeue_rows

    async def change(runtime: "Runtime") -> int:
        named = chosen(runtime, queue)
        return await requeue_rows(runtime.engine, named, filters(named, error_like, ids))

    rows = with_runtime(change)
    typer.echo(json.dumps({"queue": queue, "requeued": rows}) if as_json else f"{rows:,} rows are Queued again.")
