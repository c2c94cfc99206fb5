"""How Alembic reaches the database. Three callers come through here:

- `crm_sync.migrate`, which hands over an open connection and holds the migration lock itself;
- the `alembic` command, which connects to `-x url=…`, else to DATABASE_URL, else to the embedded server;
- `alembic … --sql`, which connects to nothing and writes the SQL.
"""

import asyncio
import logging.config

from alembic import context
from sqlalchemy import URL, Connection

from crm_sync.database import open_database, parse_database_url
from crm_sync.migrate import Limits, migration_connection
from crm_sync.models import Base
from crm_sync.settings import load_settings


def migrate(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        # A revision that needs an autocommit block (CREATE INDEX CONCURRENTLY) ends the transaction anyway.
        transaction_per_migration=True,
        compare_type=True,
        compare_server_default=True,
    )
    with context.begin_transaction():
        context.run_migrations()


async def connect_and_migrate(url: URL) -> None:
    async with migration_connection(url) as connection:
        await connection.run_sync(migrate)


def write_sql() -> None:
    context.configure(
        dialect_name="postgresql",
        target_metadata=Base.metadata,
        literal_binds=True,
        transaction_per_migration=True,
    )
    for statement in Limits().statements():
        context.execute(statement.replace("SET LOCAL", "SET"))
    with context.begin_transaction():
        context.run_migrations()


config = context.config
if config.config_file_name is not None:
    logging.config.fileConfig(config.config_file_name, disable_existing_loggers=False)

if context.is_offline_mode():
    write_sql()
elif "connection" in config.attributes:
    migrate(config.attributes["connection"])
elif "url" in (given := context.get_x_argument(as_dictionary=True)):
    asyncio.run(connect_and_migrate(parse_database_url(str(given["url"]))))
else:
    with open_database(load_settings()) as url:
        asyncio.run(connect_and_migrate(url))
