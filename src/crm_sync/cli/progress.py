"""A progress bar on standard error, for people; nothing where no terminal is."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from crm_sync.cli.answer import quantity
from crm_sync.cli.opening import debug

if TYPE_CHECKING:
    from crm_sync.intake import ImportProgress


@contextmanager
def reading(name: str) -> Iterator[Callable[["ImportProgress"], None]]:
    """Show how far the file is read and how many contacts came of it."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TextColumn("{task.fields[imported]}"),
        TimeRemainingColumn(),
    )
    with Progress(
        *columns, console=console, transient=True, disable=debug.get() or not console.is_terminal
    ) as progress:
        task = progress.add_task(name, total=None, imported="")

        def show(now: "ImportProgress") -> None:
            progress.update(
                task, completed=now.bytes_read, total=now.bytes_total, imported=quantity(now.imported, "contact")
            )

        yield show
