"""crm-sync queue cancel"""

from typing import TYPE_CHECKING, Annotated

import typer

from crm_sync.cli.answer import AsJson, answer, quantity
from crm_sync.cli.queue_choice import ErrorLike, OnlyId, QueueName, chosen, filters

if TYPE_CHECKING:
    from crm_sync.runtime import Runtime


def cancel(
    queue: QueueName = "contacts",
    error_like: ErrorLike = None,
    ids: OnlyId = None,
    everything: Annotated[bool, typer.Option("--all", help="Every row that is Queued.")] = False,
    as_json: AsJson = False,
) -> None:
    """Take Queued rows out of the queue: their status becomes NULL. Rows that a worker has at this moment go on."""
    from crm_sync.cli.opening import with_runtime
    from jobloop import Control

    if not (everything or ids or error_like):
        raise typer.BadParameter("say which rows: --id, --error-like, or --all.")

    async def change(runtime: "Runtime") -> int:
        named = chosen(runtime, queue)
        return len(await Control(named, runtime.engine).cancel(*filters(named, error_like, ids)))

    rows = with_runtime(change)
    answer({"queue": queue, "cancelled": rows}, f"{quantity(rows, 'row')} left the queue.", as_json=as_json)
