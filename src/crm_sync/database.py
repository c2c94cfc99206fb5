"""The way to PostgreSQL: an address in any common spelling → an async engine that always behaves the same."""

import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import asyncpg
from sqlalchemy import URL, Engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, InvalidatePoolError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from crm_sync.embedded_postgres import EmbeddedPostgres
from crm_sync.errors import DatabaseUnavailableError, DatabaseVersionError, SettingsError
from crm_sync.settings import Settings
from crm_sync.statement_log import log_statements

logger = logging.getLogger(__name__)

APPLICATION_NAME = "crm-sync"
CONNECT_TIMEOUT_SECONDS = 10.0
#: A connection that lay unused for longer is tried before it is used: a firewall may have forgotten it.
TRUSTED_SECONDS = 15.0
OLDEST_SERVER_VERSION = 140_000  # as `server_version_num` counts: PostgreSQL 14

_DIALECTS = {"postgres", "postgresql"}
# Read by SQLAlchemy's dialect; a parameter not named here is libpq's, and asyncpg's DSN parser knows those.
_DIALECT_PARAMETERS = {"host", "port", "ssl"}
_TIMEOUT_PARAMETERS = {
    "connect_timeout": "timeout",
    "timeout": "timeout",
    "command_timeout": "command_timeout",
}
# What hosted PostgreSQL puts into the addresses it hands out and asyncpg would send on as a server setting.
_FOREIGN_PARAMETERS = {
    "channel_binding",
    "gssencmode",
    "pgbouncer",
    "connection_limit",
    "pool_timeout",
    "schema",
}


def parse_database_url(value: str | URL, *, setting: str = "DATABASE_URL") -> URL:
    """`postgres://…`, `postgresql://…` or `postgresql+any_driver://…` as an address for asyncpg.

    Raises SettingsError for anything else; the message does not repeat the address, which holds a password.
    """
    try:
        url = make_url(value)
        if url.port is not None and not 0 < url.port < 65_536:
            raise ValueError("no such port")
    except (ArgumentError, ValueError) as exc:
        raise SettingsError(
            f"{setting} is not an address of a database; it should read postgresql://user:password@host:5432/name."
        ) from exc
    backend = url.drivername.partition("+")[0]
    if backend not in _DIALECTS:
        raise SettingsError(f"{setting} names a {backend} database; only postgresql://… works here.")
    return url.set(drivername="postgresql+asyncpg")


@contextmanager
def open_database(settings: Settings, *, announce: Callable[[str], None] = logger.warning) -> Iterator[URL]:
    """The address of the database to use: DATABASE_URL, else the embedded server, held until the end.

    `announce` is told when the embedded server's data could not be kept in DATA_DIR. Blocks while a server
    starts.
    """
    if settings.DATABASE_URL is not None:
        yield parse_database_url(settings.DATABASE_URL.get_secret_value())
        return
    with EmbeddedPostgres(settings.DATA_DIR) as server:
        if server.notice:
            announce(server.notice)
        yield server.url()


def create_engine(
    url: str | URL,
    *,
    pool_size: int = 5,
    max_overflow: int = 5,
    pooler: bool = False,
    application_name: str = APPLICATION_NAME,
    echo: bool = False,
) -> AsyncEngine:
    """An engine that connects on first use; every transaction is READ COMMITTED, whatever the server says.

    `pooler`: a transaction pooler such as PgBouncer stands between, so no prepared statement may outlive its
    transaction: caches are off and statement names unique (an address with `?pgbouncer=true` says the same).
    The pool holds at most `pool_size + max_overflow` connections.
    """
    parsed = parse_database_url(url)
    arguments: dict[str, Any] = {
        "timeout": CONNECT_TIMEOUT_SECONDS,
        "server_settings": {"application_name": application_name},
    }
    if pooler or parsed.query.get("pgbouncer") == "true":
        arguments["statement_cache_size"] = 0
        arguments["prepared_statement_cache_size"] = 0
        arguments["prepared_statement_name_func"] = lambda: f"__crm_sync_{uuid4().hex}__"
    dialect, libpq = {}, {}
    for name, value in parsed.query.items():
        if name in _DIALECT_PARAMETERS:
            dialect[name] = value
        elif name in _TIMEOUT_PARAMETERS:
            arguments[_TIMEOUT_PARAMETERS[name]] = _seconds(name, value)
        elif name not in _FOREIGN_PARAMETERS:
            libpq[name] = value
    if libpq:
        arguments["dsn"] = f"postgresql://?{urlencode(libpq, doseq=True)}"
    engine = create_async_engine(
        parsed.set(query=dialect),
        isolation_level="READ COMMITTED",
        pool_size=pool_size,
        max_overflow=max_overflow,
        pool_use_lifo=True,  # a worker that polls uses one connection, and the others rest
        connect_args=arguments,
        echo=echo,
    )
    _look_before_use(engine.sync_engine)
    log_statements(engine.sync_engine)
    return engine


def _look_before_use(engine: Engine) -> None:
    """Put a connection that is dead in the place of a new one, when it is taken from the pool.

    asyncpg knows when the server closed a connection. Only one that vanished without a word has to be asked, and that
    takes time to happen; `pool_pre_ping` would ask before every use, and in three statements.
    """

    @event.listens_for(engine, "checkin")
    def returned(_: Any, record: ConnectionPoolEntry) -> None:
        record.info["returned_at"] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def taken(connection: Any, record: ConnectionPoolEntry, _: Any) -> None:
        if connection.driver_connection.is_closed():
            raise InvalidatePoolError
        returned_at = record.info.get("returned_at")  # none of a connection that was just made
        if returned_at is not None and time.monotonic() - returned_at > TRUSTED_SECONDS:
            try:
                engine.dialect.do_ping(connection)
            except engine.dialect.loaded_dbapi.Error as exc:
                raise InvalidatePoolError from exc


def listening_dsn(settings: Settings, url: URL) -> str | None:
    """A direct `postgresql://` address for LISTEN; None if only a transaction pooler's is known."""
    if settings.DATABASE_DIRECT_URL is not None:
        address = settings.DATABASE_DIRECT_URL.get_secret_value()
        url = parse_database_url(address, setting="DATABASE_DIRECT_URL")
    elif settings.DATABASE_POOLER or url.query.get("pgbouncer") == "true":
        return None
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


async def check_database(engine: AsyncEngine) -> int:
    """The server's `server_version_num`. Raises DatabaseUnavailableError or DatabaseVersionError."""
    async with database_errors(engine.url), engine.connect() as connection:
        version = int((await connection.execute(text("SHOW server_version_num"))).scalar_one())
    if version < OLDEST_SERVER_VERSION:
        raise DatabaseVersionError(
            f"{describe(engine.url)} is PostgreSQL {version // 10_000}; version 14 or later is needed."
        )
    return version


@asynccontextmanager
async def database_errors(url: URL) -> AsyncIterator[None]:
    """Turn a failure to connect into one clear sentence. Errors of a statement pass through unchanged."""
    try:
        yield
    except OSError as exc:
        raise DatabaseUnavailableError(_sentence(url, _reason(exc))) from exc
    except DBAPIError as exc:
        cause = exc.orig.__cause__ if exc.orig is not None else None
        refused = exc.statement is None and isinstance(cause, _REFUSALS)
        if refused or exc.connection_invalidated:
            raise DatabaseUnavailableError(_sentence(url, _reason(cause or exc))) from exc
        raise
    except _REFUSALS as exc:
        raise DatabaseUnavailableError(_sentence(url, _reason(exc))) from exc


def describe(url: URL) -> str:
    """Where it is, without the password: `host:5432/name`, or the socket's folder."""
    host = url.host or url.query.get("host") or "localhost"
    hosts = host if isinstance(host, str) else ",".join(host)
    port = "" if hosts.startswith("/") else f":{url.port or 5432}"
    return f"{hosts}{port}/{url.database or url.username or ''}"


_REFUSALS = (
    asyncpg.InvalidAuthorizationSpecificationError,  # wrong user or password
    asyncpg.InvalidCatalogNameError,  # no such database
    asyncpg.TooManyConnectionsError,
    asyncpg.CannotConnectNowError,  # starting up or shutting down
    asyncpg.ObjectNotInPrerequisiteStateError,  # a database that does not accept connections now
    asyncpg.PostgresConnectionError,
    asyncpg.InsufficientPrivilegeError,  # may not connect
    asyncpg.InternalClientError,
    asyncpg.InterfaceError,
)


def _sentence(url: URL, reason: str) -> str:
    return (
        f"Cannot use the database at {describe(url)} as user {url.username or '(none)'}: {reason}. "
        "Check DATABASE_URL and that the server runs, or leave it empty to use the embedded PostgreSQL."
    )


def _reason(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens there"
    if isinstance(error, FileNotFoundError):
        return "there is no socket"
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__


def _seconds(name: str, value: object) -> float:
    try:
        return float(str(value))
    except ValueError as exc:
        raise SettingsError(f"DATABASE_URL has {name}={value!s}, which is not a number.") from exc
