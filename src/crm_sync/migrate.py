"""Bring the schema to the revision that this release needs: from the command line, a test, or a wheel alike.

One process migrates at a time. The lock is an advisory lock of a transaction on a second connection, so
that it outlives the transactions of the revisions and works behind a transaction pooler. It is tried for,
not waited for: a session that waits holds a snapshot, for which `CREATE INDEX CONCURRENTLY` in the other
process would wait.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from asyncpg import DeadlockDetectedError, LockNotAvailableError, QueryCanceledError
from sqlalchemy import URL, Connection, event, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from crm_sync.database import create_engine, database_errors, describe
from crm_sync.errors import MigrationError
from crm_sync.models import Base, mirror

LOCK_KEY = 0x6A6F626C6F6F70  # "jobloop" in ASCII
LOCK_WAIT_SECONDS = 60.0
_LOCK_POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Limits:
    """How long a statement of a migration may wait for a lock, and run; in force in each of its transactions.

    A revision with a reason (a large table to rewrite) says `SET LOCAL statement_timeout` itself.
    Statements in an autocommit block have no limits: a `CREATE INDEX CONCURRENTLY` that is cut off leaves
    an invalid index.
    """

    lock_timeout_ms: int = 5_000
    statement_timeout_ms: int = 60_000

    def statements(self) -> tuple[str, str]:
        return (
            f"SET LOCAL lock_timeout = {self.lock_timeout_ms:d}",
            f"SET LOCAL statement_timeout = {self.statement_timeout_ms:d}",
        )


async def upgrade(url: URL | str, revision: str = "head", *, limits: Limits | None = None) -> None:
    """Apply what is missing up to `revision`, a transaction each: the revisions before a failed one stay."""
    await _run(url, limits, command.upgrade, revision)


async def downgrade(url: URL | str, revision: str, *, limits: Limits | None = None) -> None:
    """Undo back to `revision`; "base" removes every table and type of the application, with the rows."""
    await _run(url, limits, command.downgrade, revision)


async def current(engine: AsyncEngine) -> str | None:
    """The revision of the database; None when it was never migrated."""
    async with database_errors(engine.url), engine.connect() as connection:
        return await connection.run_sync(lambda sync: MigrationContext.configure(sync).get_current_revision())


def head() -> str | None:
    """The newest revision that this release brings."""
    return ScriptDirectory.from_config(_config()).get_current_head()


async def check(engine: AsyncEngine) -> list[str]:
    """What of the models is not so in the database, a line each; empty when they are the same."""

    def differences(connection: Connection) -> list[Any]:
        options = {
            "compare_type": True,
            "compare_server_default": True,
            "include_schemas": True,
            "include_name": _is_ours,
            "include_object": _is_no_custom_mirror,
        }
        return list(compare_metadata(MigrationContext.configure(connection, opts=options), Base.metadata))

    async with database_errors(engine.url), engine.connect() as connection:
        return [_line(difference) for difference in await connection.run_sync(differences)]


def _is_ours(name: str | None, kind: str, _parents: Any) -> bool:
    return kind != "schema" or name in (None, mirror.SCHEMA)


def _is_no_custom_mirror(_object: Any, _name: str | None, kind: str, is_found: bool, wanted: Any) -> bool:
    """The mirrors of custom objects are made as they are pulled; no model has them."""
    return not (kind == "table" and is_found and wanted is None and _object.schema == mirror.SCHEMA)


async def require_head(engine: AsyncEngine) -> None:
    """Raise MigrationError, which says what to do, unless the database is at this release's revision."""
    found, wanted = await current(engine), head()
    if found != wanted:
        raise MigrationError(
            f"The database at {describe(engine.url)} is at revision {found or '(none)'}; this release needs "
            f"{wanted}: run `crm-sync db upgrade`."
        )


@asynccontextmanager
async def migration_connection(url: URL | str, limits: Limits | None = None) -> AsyncIterator[AsyncConnection]:
    """A connection whose transactions all have the limits, while no other process migrates this database."""
    engine = create_engine(url, pool_size=2, max_overflow=0, application_name="crm-sync migrate")
    try:
        async with _migration_lock(engine), engine.connect() as connection:

            @event.listens_for(connection.sync_connection, "begin")
            def set_limits(started: Connection) -> None:
                for statement in (limits or Limits()).statements():
                    started.exec_driver_sql(statement)

            yield connection
    finally:
        await engine.dispose()


@asynccontextmanager
async def _migration_lock(engine: AsyncEngine) -> AsyncIterator[None]:
    deadline = time.monotonic() + LOCK_WAIT_SECONDS
    async with database_errors(engine.url), engine.connect():
        pass  # the pool keeps it: from here on, an error is not that nothing answers
    async with engine.connect() as connection:
        while not await connection.scalar(text("SELECT pg_try_advisory_xact_lock(:key)"), {"key": LOCK_KEY}):
            await connection.rollback()
            if time.monotonic() > deadline:
                raise MigrationError(
                    f"Another process has been migrating {describe(engine.url)} for {LOCK_WAIT_SECONDS:.0f} "
                    "seconds. Wait for it to end, then run this again."
                )
            await asyncio.sleep(_LOCK_POLL_SECONDS)
        # The server may end a transaction that rests, and this one shall. And until its next statement it keeps the
        # snapshot of the last one, for which CREATE INDEX CONCURRENTLY waits without an end.
        await connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
        yield


async def _run(url: URL | str, limits: Limits | None, action: Any, revision: str) -> None:
    def run(connection: Connection) -> None:
        config = _config()
        config.attributes["connection"] = connection
        action(config, revision)

    async with migration_connection(url, limits) as connection:
        try:
            await connection.run_sync(run)
        except DBAPIError as exc:
            cause = exc.orig.__cause__ if exc.orig is not None else None
            if isinstance(cause, DeadlockDetectedError | LockNotAvailableError | QueryCanceledError):
                raise MigrationError(
                    f"A migration gave up on a statement that waited or ran too long ({cause}); its revision "
                    "changed nothing. Run it again when the tables are less busy."
                ) from exc
            raise MigrationError(f"A migration failed and its revision changed nothing: {cause or exc}.") from exc
        except CommandError as exc:
            raise MigrationError(f"The schema cannot be brought to {revision}: {exc}.") from exc


def _line(difference: Any) -> str:
    """`('add_column', schema, table, Column)`, or a list of changes to one column, as words."""
    if isinstance(difference, list):
        return "; ".join(_line(part) for part in difference)
    kind, *subjects = difference
    names = [str(getattr(subject, "name", subject)) for subject in subjects if subject is not None]
    return f"{kind.replace('_', ' ')}: {' '.join(names)}"


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "crm_sync:migrations")
    return config
