"""Which queue and which of its rows a command is about."""

from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement

    from crm_sync.runtime import Runtime
    from jobloop import JobQueue

QueueName = Annotated[str, typer.Argument(help="The queue's name, as `queue status` shows it.")]
ErrorLike = Annotated[
    str | None, typer.Option("--error-like", metavar="TEXT", help="Only rows whose error has TEXT in it; % is any.")
]
OnlyId = Annotated[list[UUID] | None, typer.Option("--id", metavar="UUID", help="Only this row; may be repeated.")]


def chosen(runtime: "Runtime", name: str) -> "JobQueue":
    """The queue of that name; raises typer.BadParameter."""
    queues = runtime.queues
    if name not in queues:
        raise typer.BadParameter(f"there is no queue {name!r}; there are: {', '.join(queues)}.")
    return queues[name]


def filters(queue: "JobQueue", error_like: str | None, ids: list[UUID] | None) -> "list[ColumnElement[bool]]":
    from crm_sync.operate import with_error_like

    where: list[ColumnElement[bool]] = [queue.columns.key[0].in_(ids)] if ids else []
    return [*where, with_error_like(queue, error_like)] if error_like else where
