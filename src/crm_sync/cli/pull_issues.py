"""crm-sync pull issues"""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from crm_sync.cli.answer import AsJson

if TYPE_CHECKING:
    from crm_sync.pull.issue_rows import IssueRow
    from crm_sync.runtime import Runtime


def pull_issues(
    stream: Annotated[str | None, typer.Argument(help="Of one stream.  [default: of all]")] = None,
    limit: Annotated[int, typer.Option(help="The newest so many.", min=1, max=100_000)] = 50,
    as_json: AsJson = False,
) -> None:
    """Values that their typed column cannot hold. The record is in the mirror, with the value in `properties`."""
    from crm_sync.cli.opening import with_runtime
    from crm_sync.cli.screen import console, table
    from crm_sync.pull.issue_rows import latest_issues

    async def ask(runtime: "Runtime") -> "tuple[int, list[IssueRow]]":
        if stream is not None:
            runtime.pull.expand(stream)
        return await latest_issues(runtime.engine, stream, limit)

    count, rows = with_runtime(ask)
    if as_json:
        typer.echo(
            json.dumps({"count": count, "issues": [row.as_dict() for row in rows]}, ensure_ascii=False, indent=2)
        )
    elif not rows:
        typer.echo("Every value fits.")
    else:
        headings = ("stream", "record", "property", "value", "reason", "noticed")
        cells = [
            (row.stream, str(row.record_id), row.property, _short(row.value), row.reason, row.noticed_at)
            for row in rows
        ]
        console().print(table(f"Values that do not fit: {count:,}", headings, cells))


def _short(value: str) -> str:
    return value if len(value) <= 80 else f"{value[:77]}…"
