"""Any common spelling of an address leads to the same behaviour; a failure to connect is one sentence."""

import asyncio
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest
from pydantic import SecretStr
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import AsyncEngine

from crm_sync import database
from crm_sync.database import check_database, create_engine, database_errors, open_database, parse_database_url
from crm_sync.errors import DatabaseUnavailableError, DatabaseVersionError, SettingsError
from crm_sync.settings import Settings

PASSWORD = "s3cret-word"


async def show(url: str, setting: str, *, pooler: bool = False) -> str:
    engine = create_engine(url, pooler=pooler)
    try:
        async with engine.connect() as connection:
            return str(await connection.scalar(text(f"SHOW {setting}")))
    finally:
        await engine.dispose()


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+asyncpg", "postgresql+psycopg"])
async def test_every_spelling_of_the_scheme_connects(scheme: str, database_url: str) -> None:
    url = database_url.replace("postgresql+asyncpg", scheme)
    assert int(await show(url, "server_version_num")) >= 140_000


async def test_parameters_of_hosted_databases_are_understood(database_url: str) -> None:
    more = "sslmode=prefer&channel_binding=prefer&connect_timeout=5&pgbouncer=true&work_mem=7MB"
    url = f"{database_url}{'&' if '?' in database_url else '?'}{more}"
    assert await show(url, "work_mem") == "7MB"


@pytest.mark.parametrize("address", ["mysql://u@h/d", "sqlite:///x", f"postgresql://u:{PASSWORD}@host:port/d", "db"])
def test_an_address_that_is_none_is_refused_without_repeating_it(address: str) -> None:
    with pytest.raises(SettingsError, match="DATABASE_URL") as caught:
        parse_database_url(address)
    assert PASSWORD not in str(caught.value)


def test_a_parameter_that_is_no_number_is_named() -> None:
    with pytest.raises(SettingsError, match="connect_timeout=soon, which is not a number"):
        create_engine("postgresql://localhost/x?connect_timeout=soon")


@pytest.mark.parametrize("pooler", [False, True])
async def test_transactions_are_read_committed_whatever_the_default(pooler: bool, database_url: str) -> None:
    name = make_url(database_url).database
    engine = create_engine(database_url)
    async with engine.begin() as connection:
        await connection.execute(text(f'ALTER DATABASE "{name}" SET default_transaction_isolation = "repeatable read"'))
    await engine.dispose()
    assert await show(database_url, "default_transaction_isolation") == "repeatable read"
    assert await show(database_url, "transaction_isolation", pooler=pooler) == "read committed"


async def test_the_application_is_named_to_the_server(database_url: str) -> None:
    assert await show(database_url, "application_name") == "crm-sync"


async def test_behind_a_pooler_no_statement_name_is_used_twice(database_url: str) -> None:
    """A pooler hands one server connection to many clients: a name that two of them choose would clash."""
    first, second = (create_engine(database_url, pooler=True) for _ in range(2))
    try:
        names: list[str] = []
        for engine in (first, second):
            async with engine.connect() as connection:
                for number in range(5):
                    assert await connection.scalar(text("SELECT CAST(:n AS int)"), {"n": number}) == number
                driver = (await connection.get_raw_connection()).driver_connection
                assert driver is not None
                await driver.fetch("SELECT 1")  # the driver keeps none of its own
                statements = await connection.execute(text("SELECT name FROM pg_prepared_statements"))
                names += statements.scalars().all()
        assert names
        assert all(name.startswith("__crm_sync_") for name in names)
        assert len(set(names)) == len(names)
    finally:
        await first.dispose()
        await second.dispose()


async def test_a_database_that_answers_is_checked(engine: AsyncEngine) -> None:
    assert await check_database(engine) >= 140_000


async def test_a_server_that_is_too_old_is_refused(engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "OLDEST_SERVER_VERSION", 990_000)
    with pytest.raises(DatabaseVersionError, match=r"is PostgreSQL \d+; version 14 or later is needed"):
        await check_database(engine)


@pytest.fixture
def closed_port() -> int:
    """A port on which nothing listens: taken, and let go."""

    async def take() -> int:
        server = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)
        port = int(server.sockets[0].getsockname()[1])
        server.close()
        return port

    return asyncio.run(take())


async def test_an_unreachable_server_is_one_sentence(closed_port: int) -> None:
    engine = create_engine(f"postgresql://bob:{PASSWORD}@127.0.0.1:{closed_port}/crm")
    with pytest.raises(DatabaseUnavailableError, match="nothing listens there") as caught:
        await check_database(engine)
    message = str(caught.value)
    assert f"127.0.0.1:{closed_port}/crm as user bob" in message
    assert "DATABASE_URL" in message
    assert PASSWORD not in message
    assert "\n" not in message


async def test_a_missing_socket_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnavailableError, match="there is no socket"):
        await check_database(create_engine(f"postgresql://postgres@/x?host={tmp_path}"))


async def test_a_missing_database_is_one_sentence(database_url: str) -> None:
    missing = make_url(database_url).set(database=f"missing_{uuid4().hex}")
    with pytest.raises(DatabaseUnavailableError, match=f'database "{missing.database}" does not exist'):
        await check_database(create_engine(missing))


async def test_a_missing_user_is_one_sentence(database_url: str) -> None:
    with pytest.raises(DatabaseUnavailableError, match="as user nobody_of_that_name"):
        await check_database(create_engine(make_url(database_url).set(username="nobody_of_that_name")))


async def test_a_server_that_never_answers_is_given_up_on() -> None:
    server = await asyncio.get_running_loop().create_server(asyncio.Protocol, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        engine = create_engine(f"postgresql://bob@127.0.0.1:{port}/crm?connect_timeout=0.1&sslmode=disable")
        with pytest.raises(DatabaseUnavailableError, match="no answer in time"):
            await check_database(engine)


async def test_the_error_of_a_statement_is_not_taken_for_one_of_the_connection(engine: AsyncEngine) -> None:
    with pytest.raises(Exception, match="division by zero") as caught:
        async with database_errors(engine.url), engine.connect() as connection:
            await connection.execute(text("SELECT 1/0"))
    assert not isinstance(caught.value, DatabaseUnavailableError)


async def test_a_refused_privilege_of_a_statement_is_passed_on(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await connection.execute(text("CREATE TABLE closed ()"))
        await connection.execute(text("SET LOCAL ROLE pg_monitor"))
        with pytest.raises(Exception, match="permission denied for table") as caught:
            async with database_errors(engine.url):
                await connection.execute(text("SELECT * FROM closed"))
        assert not isinstance(caught.value, DatabaseUnavailableError)
        await connection.rollback()


async def test_a_lost_connection_is_one_sentence(engine: AsyncEngine, database_url: str) -> None:
    async with engine.connect() as connection:
        pid = await connection.scalar(text("SELECT pg_backend_pid()"))
        killer = await asyncpg.connect(make_url(database_url).set(drivername="postgresql").render_as_string(False))
        await killer.execute("SELECT pg_terminate_backend($1, 5000)", pid)
        await killer.close()
        with pytest.raises(DatabaseUnavailableError):
            async with database_errors(engine.url):
                await connection.scalar(text("SELECT 1"))


async def backend_pid(engine: AsyncEngine) -> int:
    async with engine.connect() as connection:
        return int(await connection.scalar(text("SELECT pg_backend_pid()")) or 0)


async def test_a_connection_that_the_server_closed_is_replaced_unnoticed(database_url: str) -> None:
    engine = create_engine(database_url)
    lost = await backend_pid(engine)
    killer = await asyncpg.connect(make_url(database_url).set(drivername="postgresql").render_as_string(False))
    await killer.execute("SELECT pg_terminate_backend($1, 5000)", lost)
    await killer.close()
    await asyncio.sleep(0)  # the driver reads what the server said

    assert await backend_pid(engine) != lost
    await engine.dispose()


@pytest.mark.parametrize("trusted_seconds", [60.0, -1.0])
async def test_a_connection_is_tried_only_when_it_lay_unused(
    trusted_seconds: float, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that vanished without a word: only a statement tells."""
    monkeypatch.setattr(database, "TRUSTED_SECONDS", trusted_seconds)
    engine = create_engine(database_url)
    first = await backend_pid(engine)

    def gone(_: object) -> None:
        raise engine.dialect.loaded_dbapi.InterfaceError("nobody answers")

    monkeypatch.setattr(engine.dialect, "do_ping", gone)
    is_trusted = trusted_seconds > 0
    assert (await backend_pid(engine) == first) is is_trusted
    await engine.dispose()


def test_with_an_address_no_server_is_started(tmp_path: Path) -> None:
    settings = Settings.model_construct(
        DATABASE_URL=SecretStr("postgres://db.example.com/crm"), DATA_DIR=tmp_path / "data"
    )
    with open_database(settings) as url:
        assert (url.drivername, url.host) == ("postgresql+asyncpg", "db.example.com")
    assert not (tmp_path / "data").exists()


def test_without_an_address_the_embedded_server_runs(tmp_path: Path) -> None:
    said: list[str] = []
    with open_database(Settings.model_construct(DATABASE_URL=None, DATA_DIR=tmp_path), announce=said.append) as url:
        assert int(asyncio.run(show(url.render_as_string(False), "server_version_num"))) >= 180_000
    with pytest.raises(DatabaseUnavailableError):
        asyncio.run(check_database(create_engine(url)))
