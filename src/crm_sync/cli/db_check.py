"""crm-sync db check"""

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from sqlalchemy import URL


def check() -> None:
    """Compare the database's tables with this release's models; exit code 1 when they differ."""
    from crm_sync import migrate
    from crm_sync.cli.opening import with_database
    from crm_sync.database import check_database, create_engine, describe

    async def compare(url: "URL") -> tuple[str, list[str]]:
        engine = create_engine(url)
        try:
            await check_database(engine)
            return describe(url), await migrate.check(engine)
        finally:
            await engine.dispose()

    where, differences = with_database(compare)
    if differences:
        typer.echo(f"The database at {where} differs from the models:\n" + "\n".join(f"  {d}" for d in differences))
        raise typer.Exit(1)
    typer.echo(f"The database at {where} and the models are the same.")
