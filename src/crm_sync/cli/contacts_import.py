"""crm-sync contacts import"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crm_sync.cli.answer import AsJson, quantity

if TYPE_CHECKING:
    from crm_sync.intake import ImportReport
    from crm_sync.runtime import Runtime


def contacts_import(
    file: Annotated[Path, typer.Argument(metavar="FILE.csv", help="Headers in its first line.")],
    queue: Annotated[bool, typer.Option("--queue", help="Queue the contacts for HubSpot as they appear.")] = False,
    delimiter: Annotated[str | None, typer.Option(help="Default: guessed from the header.")] = None,
    rejected: Annotated[
        Path | None, typer.Option(help="Where rejected lines go; default: FILE.rejected.csv beside it.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Import a CSV into the contacts table: all of it or nothing, and every line that cannot go in is reported."""
    from crm_sync.cli.opening import with_runtime
    from crm_sync.cli.progress import reading
    from crm_sync.intake import import_contacts

    with reading(file.name) as progress:

        async def work(runtime: "Runtime") -> "ImportReport":
            return await import_contacts(
                runtime.engine, file, queue=queue, delimiter=delimiter, rejected_path=rejected, progress=progress
            )

        report = with_runtime(work)
    if as_json:
        typer.echo(json.dumps(_as_dict(report), ensure_ascii=False, indent=2))
    else:
        _print(report)


def _as_dict(report: "ImportReport") -> dict[str, object]:
    return {
        "imported": report.imported,
        "rejected": report.rejected,
        "queued": report.queued,
        "columns": dict(report.columns),
        "ignored_columns": list(report.ignored_columns),
        "reasons": dict(report.reasons),
        "rejected_file": str(report.rejected_path) if report.rejected_path else None,
    }


def _print(report: "ImportReport") -> None:
    queued = " and queued for HubSpot" if report.queued else ""
    typer.echo(f"{quantity(report.imported, 'contact')} imported{queued}.")
    typer.echo("Columns: " + ", ".join(f"{header} → {field}" for header, field in report.columns.items()))
    if report.ignored_columns:
        typer.echo("Ignored: " + ", ".join(report.ignored_columns))
    if report.rejected:
        typer.echo(f"{quantity(report.rejected, 'line')} rejected, to {report.rejected_path} with line and reason:")
        for reason, lines in report.reasons.items():
            typer.echo(f"  {lines:,} × {reason}")
