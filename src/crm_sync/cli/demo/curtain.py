"""What the demo prints: alive on a terminal, plain lines elsewhere."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Group
from rich.padding import Padding
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from crm_sync.cli.answer import quantity
from crm_sync.cli.demo.bill import Bill
from crm_sync.cli.screen import console
from crm_sync.intake import ImportReport
from crm_sync.operate import QueueStatus
from hubspot_emulator import DEFAULT_TOKEN

_LINE_EVERY_SECONDS = 2.0


class Curtain:
    """The printed side of the demo, from the first line to the last."""

    def __init__(self) -> None:
        self._screen = console()

    def opens(self) -> None:
        self._screen.print(
            Text("\nYour table is the queue.", style="bold"),
            Text("A few thousand dirty contacts go from a PostgreSQL table to HubSpot.\n", style="dim"),
            sep="\n",
        )

    def step(self, what: str, words: str) -> None:
        self._screen.print(Text.assemble(("✓ ", "green"), (f"{what:<12}", "bold"), words))

    def imported(self, csv: Path, report: ImportReport) -> None:
        rejected = f", {quantity(report.rejected, 'line')} rejected" if report.rejected else ""
        self.step("Contacts", f"crm-sync contacts import {csv}: {quantity(report.imported, 'row')}{rejected}")

    def sql(self, statement: str) -> None:
        self._screen.print()
        self._screen.print("Any SQL client enqueues. This is all it takes:")
        if self._screen.is_terminal:
            code = Syntax(statement, "sql", background_color="default")
            self._screen.print(Padding(Panel.fit(code, border_style="cyan"), (0, 2)))
        else:
            self._screen.print(Padding(Text(statement), (0, 4)))
        self._screen.print()

    @contextmanager
    def progress(self, total: int) -> Iterator[Callable[[QueueStatus], None]]:
        """Gives a function that shows how far the queue has come."""
        if not self._screen.is_terminal:
            yield self._lines(total)
            return
        bar = Progress(
            SpinnerColumn(),
            TextColumn("pushing"),
            BarColumn(None),
            MofNCompleteColumn(),
            TextColumn("{task.fields[words]}"),
            TimeElapsedColumn(),
            console=self._screen,
        )
        with bar:
            task = bar.add_task("pushing", total=total, words="")

            def show(status: QueueStatus) -> None:
                words = f"[red]{status.error:,} failed[/]" + (f" · {status.waiting:,} to retry" * bool(status.waiting))
                bar.update(task, completed=status.complete + status.error, words=words)

            yield show

    def closes(self, bill: Bill, data_dir: str, *, is_usable: bool) -> None:
        self._screen.print()
        self._screen.print(_numbers(bill))
        if bill.failures:
            self._screen.print(_failures(bill))
        self._screen.print(_next(data_dir if is_usable else f"DATABASE_URL= {data_dir}"))

    def _lines(self, total: int) -> Callable[[QueueStatus], None]:
        said_at = [0.0]

        def show(status: QueueStatus) -> None:
            done = status.complete + status.error
            if done == total or time.monotonic() - said_at[0] >= _LINE_EVERY_SECONDS:
                said_at[0] = time.monotonic()
                retries = f", {status.waiting:,} to retry" if status.waiting else ""
                self._screen.print(f"  {done:,} of {total:,} done, {status.error:,} failed{retries}", highlight=False)

        return show


def _numbers(bill: Bill) -> Table:
    table = Table(title="What happened", title_justify="left", title_style="bold", show_header=False)
    table.add_column()
    table.add_column(justify="right", style="bold")
    table.add_column(style="dim")
    table.add_row("completed", f"{bill.completed:,}", f"{bill.in_hubspot:,} in HubSpot: duplicates became one")
    table.add_row("failed", f"{bill.failed:,}", "at once, as no repeat would help")
    table.add_row("retried", f"{bill.retried:,}", "completed 1 s later, for 5 min in real life")
    table.add_row("seconds", f"{bill.seconds:.1f}", "from the UPDATE to the last row")
    table.add_row("contacts per second", f"{bill.per_second:,.0f}", "the wait for the retry included")
    table.add_row("HubSpot calls", f"{bill.calls:,}", "bad answers and repeats included")
    table.add_row("calls per 100", f"{bill.calls_per_100:.2f}", "contacts")
    return table


def _failures(bill: Bill) -> Table:
    table = Table(title="Why some failed", title_justify="left", title_style="bold", header_style="dim")
    table.add_column("contacts", justify="right")
    table.add_column("error", overflow="fold", ratio=2)
    table.add_column("for example", overflow="fold", ratio=1)
    for failure in bill.failures:
        table.add_row(f"{failure.rows:,}", Text(failure.error), Text("\n".join(failure.examples)))
    return table


def _next(data_dir: str) -> Group:
    crm_sync = f"{data_dir} .venv/bin/crm-sync"
    lines = (
        "\nWhat to try next",
        "  Look at what the demo left:",
        f"    {crm_sync} queue status",
        f"    {crm_sync} queue errors",
        "  Pull what an emulated account knows into it, and look at that:",
        "    .venv/bin/crm-sync emulator --seed 7    # until Ctrl-C, in another terminal",
        f"    HUBSPOT_API_BASE_URL=http://127.0.0.1:8025 HUBSPOT_API_KEY={DEFAULT_TOKEN} {crm_sync} pull deals",
        f"    {crm_sync} runs",
        "  Work with your own account:",
        "    cp .env.example .env    # and set HUBSPOT_API_KEY in it",
        "    .venv/bin/crm-sync push setup",
        "    .venv/bin/crm-sync contacts import YOURS.csv --queue",
        "    .venv/bin/crm-sync pull all",
        "    make run",
        "",
    )
    styles = {0: "bold", 2: "dim", 4: "cyan"}
    return Group(*(Text(line, style=styles[len(line) - len(line.lstrip(" "))]) for line in lines))
