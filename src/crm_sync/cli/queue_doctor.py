"""crm-sync queue doctor"""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from crm_sync.cli.answer import AsJson, quantity
from crm_sync.cli.queue_choice import chosen

if TYPE_CHECKING:
    from rich.console import Console

    from crm_sync.runtime import Runtime
    from jobloop.doctor import Finding


def doctor(
    queue: Annotated[str | None, typer.Argument(help="The queue's name.  [default: every queue]")] = None,
    as_json: AsJson = False,
) -> None:
    """Is the table fit to be a queue? What is wrong, why it matters, and the SQL that mends it. Changes nothing.

    Ends with 1 if there is a problem; advice and information do not count.
    """
    from crm_sync.cli.opening import with_runtime
    from crm_sync.cli.screen import console
    from jobloop.doctor import Severity, examine

    async def ask(runtime: "Runtime") -> "dict[str, list[Finding]]":
        queues = runtime.queues.values() if queue is None else [chosen(runtime, queue)]
        return {each.name: await examine(each, runtime.engine) for each in queues}

    found = with_runtime(ask)
    if as_json:
        report = [{"queue": name, "findings": [each.as_dict() for each in all_]} for name, all_ in found.items()]
        typer.echo(json.dumps({"queues": report}, indent=2, default=str))
    else:
        for name, findings in found.items():
            _print(console(), name, findings)
    if any(finding.severity is Severity.PROBLEM for findings in found.values() for finding in findings):
        raise typer.Exit(1)


def _print(screen: "Console", name: str, findings: "list[Finding]") -> None:
    """One queue: how it fares in a line, then each finding with what mends it."""
    from collections import Counter
    from textwrap import indent

    from rich.padding import Padding
    from rich.text import Text

    styles = {"problem": "bold red", "advice": "yellow", "info": "cyan"}
    counts = Counter(finding.severity.value for finding in findings)
    nouns = {"problem": "problem", "advice": "suggestion", "info": "note"}
    summary = ", ".join(quantity(counts[kind], noun) for kind, noun in nouns.items() if counts[kind])
    screen.print(Text.assemble((name, "bold"), ": ", summary or ("healthy", "green")))
    for finding in findings:
        kind = finding.severity.value
        screen.print(Text.assemble("\n", (f"{kind:<8}", styles[kind]), (finding.title, "bold")))
        screen.print(Padding(Text(finding.why), (0, 0, 0, 8)))
        for key, value in finding.evidence.items():
            screen.print(Padding(Text(f"{key}: {value}", style="dim"), (0, 0, 0, 8)))
        if finding.sql:  # as it is, so that it can be copied
            screen.print(Text(indent(finding.sql, 8 * " "), style="green"), soft_wrap=True)
