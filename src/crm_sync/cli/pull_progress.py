"""A pull's progress on standard error, for people; nothing where no terminal is."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from crm_sync.cli.answer import quantity
from crm_sync.cli.opening import debug

if TYPE_CHECKING:
    from rich.progress import TaskID

    from crm_sync.pull.report import Observer, StreamReport
    from crm_sync.runtime import Runtime


@contextmanager
def watching(runtime: "Runtime") -> "Iterator[Observer]":
    """A line for each stream: records, pages, calls, records a second, time left; and what HubSpot still allows."""
    from rich.console import Console, RenderableType
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.text import Text

    class Watch(Progress):
        def get_renderables(self) -> "Iterator[RenderableType]":
            yield from super().get_renderables()
            yield Text(left(runtime), style="dim")

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description:<14} {task.fields[doing]:<12}"),
        BarColumn(bar_width=20),
        TextColumn("{task.fields[counts]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Watch(*columns, console=console, transient=True, disable=debug.get() or not console.is_terminal) as progress:
        tasks: dict[str, TaskID] = {}

        def show(report: "StreamReport") -> None:
            if report.stream not in tasks:
                tasks[report.stream] = progress.add_task(report.stream, total=None, doing="", counts="")
            progress.update(
                tasks[report.stream],
                completed=report.fetched,
                total=report.total,
                doing=report.doing or ("waits" if report.error else ""),
                counts=_counts(report),
            )

        yield show


def _counts(report: "StreamReport") -> str:
    fetched, total = report.fetched, report.total
    records = quantity(fetched, "record") if total is None else f"{fetched:,} of {quantity(total, 'record')}"
    rate = fetched / report.seconds if report.seconds else 0.0
    return f"{records}, {quantity(report.pages, 'page')}, {quantity(report.calls, 'call')}, {rate:,.0f}/s"


def left(runtime: "Runtime") -> str:
    """The calls that HubSpot still takes, in these ten seconds and today, as far as is known here."""
    from crm_sync.hubspot.exchange import Bucket

    limiters = [client.rate_limiter for client in runtime.clients.open]
    if not limiters:
        return ""
    daily = [limiter.daily_remaining for limiter in limiters if limiter.daily_remaining is not None]
    today = f", {min(daily):,} today" if daily else ""
    return f"calls left: {min(limiter.remaining(Bucket.BURST) for limiter in limiters)} in 10 s{today}"
