"""Which queue and which of its rows a command is about."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement
    from sqlalchemy.ext.asyncio import AsyncEngine

    from crm_sync.runtime import Runtime
    from jobloop import JobQueue

QueueName = Annotated[str, typer.Argument(help="The queue's name, as `queue status` shows it.")]
ErrorLike = Annotated[
    str | None, typer.Option("--error-like", metavar="TEXT", help="Only rows whose error has TEXT in it; % is any.")
]
OnlyId = Annotated[list[str] | None, typer.Option("--id", metavar="ID", help="Only this row; may be repeated.")]


def chosen(runtime: "Runtime", name: str) -> "JobQueue":
    """The queue of that name; raises typer.BadParameter."""
    queues = runtime.queues
    if name not in queues:
        raise typer.BadParameter(f"there is no queue {name!r}; there are: {', '.join(queues)}.")
    return queues[name]


def filters(queue: "JobQueue", error_like: str | None, ids: list[str] | None) -> "list[ColumnElement[bool]]":
    """Raises typer.BadParameter for an id that is none of this queue's."""
    from crm_sync.operate import with_error_like

    key = queue.columns.key[0]
    kind = key.type.python_type
    try:
        wanted = [kind(each) for each in ids or ()]
    except ValueError:
        words = "a UUID" if kind is UUID else "a whole number"
        raise typer.BadParameter(f"an id of {queue.name} is {words}; one of {', '.join(ids or ())} is not.") from None
    where: list[ColumnElement[bool]] = [key.in_(wanted)] if wanted else []
    return [*where, with_error_like(queue, error_like)] if error_like else where


def changed(
    name: str,
    error_like: str | None,
    ids: list[str] | None,
    change: "Callable[[AsyncEngine, JobQueue, list[ColumnElement[bool]]], Awaitable[int]]",
) -> int:
    """How many of the chosen rows `change` changed. Raises typer.BadParameter."""
    from crm_sync.cli.opening import with_runtime

    async def work(runtime: "Runtime") -> int:
        queue = chosen(runtime, name)
        return await change(runtime.engine, queue, filters(queue, error_like, ids))

    return with_runtime(work)
