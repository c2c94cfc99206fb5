"""crm-sync db upgrade"""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from sqlalchemy import URL


def upgrade(revision: Annotated[str, typer.Argument(help="Up to this revision.")] = "head") -> None:
    """Bring the database's schema to this release's. Safe to run again, and beside other processes."""
    from crm_sync import migrate
    from crm_sync.cli.opening import with_database
    from crm_sync.database import create_engine, describe

    async def apply(url: "URL") -> str:
        await migrate.upgrade(url, revision)
        engine = create_engine(url)
        try:
            return f"The database at {describe(url)} is at revision {await migrate.current(engine) or '(none)'}."
        finally:
            await engine.dispose()

    typer.echo(with_database(apply))
