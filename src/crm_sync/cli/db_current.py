"""crm-sync db current"""

import json
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from sqlalchemy import URL


def current(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Which revision the database is at, and which this release needs; exit code 1 when they differ."""
    from crm_sync import migrate
    from crm_sync.cli.opening import with_database
    from crm_sync.database import create_engine, describe

    async def ask(url: "URL") -> tuple[str, str | None]:
        engine = create_engine(url)
        try:
            return describe(url), await migrate.current(engine)
        finally:
            await engine.dispose()

    where, found = with_database(ask)
    wanted = migrate.head()
    if as_json:
        typer.echo(json.dumps({"database": where, "current": found, "head": wanted, "up_to_date": found == wanted}))
    elif found == wanted:
        typer.echo(f"{found}: the database at {where} is up to date.")
    else:
        typer.echo(f"{found or '(none)'}: the database at {where} needs {wanted}; run `crm-sync db upgrade`.")
    if found != wanted:
        raise typer.Exit(1)
