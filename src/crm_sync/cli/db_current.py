"""crm-sync db current"""

import json
from typing import TYPE_CHECKING

import typer

from crm_sync.cli.answer import AsJson

if TYPE_CHECKING:
    from sqlalchemy import URL


def current(as_json: AsJson = False) -> None:
    """Which revision the database is at, and which this release needs; exit code 1 when they differ.

    Of the embedded PostgreSQL also the address for an SQL client.
    """
    from crm_sync import migrate
    from crm_sync.cli.opening import read_settings, with_database
    from crm_sync.database import create_engine, describe

    settings = read_settings()
    is_embedded = settings.DATABASE_URL is None

    async def ask(url: "URL") -> tuple[str, str | None, str | None]:
        engine = create_engine(url)
        try:
            return describe(url), await migrate.current(engine), _client_url(url) if is_embedded else None
        finally:
            await engine.dispose()

    where, found, address = with_database(ask, settings)
    wanted = migrate.head()
    if as_json:
        facts = {"database": where, "current": found, "head": wanted, "up_to_date": found == wanted}
        typer.echo(json.dumps({**facts, "url": address}))
    elif found == wanted:
        typer.echo(f"{found}: the database at {where} is up to date.")
    else:
        typer.echo(f"{found or '(none)'}: the database at {where} needs {wanted}; run `crm-sync db upgrade`.")
    if address and not as_json:
        typer.echo(f'For an SQL client, while `crm-sync serve` or `worker` runs: psql "{address}"')
    if found != wanted:
        raise typer.Exit(1)


def _client_url(url: "URL") -> str:
    """As libpq takes it."""
    return url.set(drivername="postgresql").render_as_string(hide_password=True)
