"""crm-sync queue adopt"""

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from crm_sync.cli.answer import AsJson, answer, quantity
from crm_sync.cli.duration import duration
from crm_sync.cli.queue_choice import OnlyId, QueueName, chosen, filters

if TYPE_CHECKING:
    from crm_sync.runtime import Runtime


def adopt(
    older_than: Annotated[
        timedelta,
        typer.Option(parser=duration, metavar="DURATION", help="Only rows last changed so long ago: 30m, 2h, 1d."),
    ],
    queue: QueueName = "contacts",
    by: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="The timestamp that tells a row's age.  [default: updated_at]")
    ] = None,
    ids: OnlyId = None,
    as_json: AsJson = False,
) -> None:
    """Take over rows that an older system left in Processing. Be sure that no worker of it still runs."""
    from crm_sync.cli.opening import with_runtime
    from jobloop import Control, QueueDeclarationError

    async def change(runtime: "Runtime") -> int:
        named = chosen(runtime, queue)
        try:
            keys = await Control(named, runtime.engine).adopt(
                *filters(named, None, ids), older_than=older_than, age_field_name=by
            )
        except QueueDeclarationError as exc:
            raise typer.BadParameter(f"{exc}.".replace("age_field_name", "--by")) from exc
        return len(keys)

    rows = with_runtime(change)
    answer({"queue": queue, "adopted": rows}, f"{quantity(rows, 'row')} Queued again.", as_json=as_json)
