"""Real PostgreSQL for every test that asks: one server a run, one fresh database a test.

By default the server is the embedded one, shared by all xdist workers: whoever comes first starts it,
whoever leaves last removes it. `TEST_DATABASE_URL` names a server to use instead; `--postgres=container`
runs one in Docker.

    database_url       an empty database (an address with +asyncpg, as text)
    migrated_url       a database at the newest revision, copied from a template in about 10 ms
    engine             an async engine on database_url
    migrated_engine    an async engine on migrated_url
"""

import asyncio
import fcntl
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest
from sqlalchemy import URL
from sqlalchemy.ext.asyncio import AsyncEngine

from crm_sync import migrate
from crm_sync.database import create_engine, parse_database_url
from crm_sync.embedded_postgres import EmbeddedPostgres

_RUN_DIRECTORY = f"jobloop-test-{os.geteuid()}-"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--postgres",
        choices=("embedded", "container"),
        default="embedded",
        help="where the tests' PostgreSQL runs when TEST_DATABASE_URL is not set (default: embedded)",
    )


@pytest.fixture(scope="session")
def server_url(request: pytest.FixtureRequest) -> Iterator[URL]:
    """A server on which the tests may create databases."""
    if given := os.environ.get("TEST_DATABASE_URL"):
        yield parse_database_url(given)
    elif request.config.getoption("--postgres") == "container":
        yield from _container()
    else:
        yield from _embedded(request.config)


@pytest.fixture(scope="session")
def template(server_url: URL) -> str:
    """The name of a database at the newest revision, made once a server and schema."""
    return asyncio.run(_make_template(server_url))


@pytest.fixture
def database_url(server_url: URL) -> Iterator[str]:
    yield from _fresh_database(server_url, "template0")


@pytest.fixture
def migrated_url(server_url: URL, template: str) -> Iterator[str]:
    yield from _fresh_database(server_url, template)


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(database_url, pool_size=20)
    yield engine
    await engine.dispose()


@pytest.fixture
async def migrated_engine(migrated_url: str) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(migrated_url, pool_size=20)
    yield engine
    await engine.dispose()


def _embedded(config: pytest.Config) -> Iterator[URL]:
    run = getattr(config, "workerinput", {}).get("testrunuid", str(os.getpid()))[:12]
    directory = Path(tempfile.gettempdir()) / f"{_RUN_DIRECTORY}{run}"
    with (directory.parent / f"{_RUN_DIRECTORY}.lock").open("w") as one_at_a_time:
        fcntl.flock(one_at_a_time, fcntl.LOCK_EX)
        for left in directory.parent.glob(f"{_RUN_DIRECTORY}*/"):  # by a run that was killed
            if left != directory and EmbeddedPostgres(left).stop(delete=True):
                shutil.rmtree(left, ignore_errors=True)
    server = EmbeddedPostgres(directory).start()
    yield server.url("postgres")
    if server.stop(delete=True):
        shutil.rmtree(directory, ignore_errors=True)


def _container() -> Iterator[URL]:
    from docker.errors import DockerException  # type: ignore[import-untyped]
    from testcontainers.postgres import PostgresContainer

    try:
        container = PostgresContainer("postgres:18", driver="asyncpg").start()
    except (DockerException, OSError) as exc:
        pytest.exit(f"--postgres=container: Docker does not answer ({exc}). Leave the option out.", returncode=3)
    with container:
        yield parse_database_url(container.get_connection_url())


async def _make_template(server_url: URL) -> str:
    """Named for the models and revisions in it, so that a server that is kept never serves old ones."""
    root = Path(migrate.__file__).parent
    sources = sorted([*root.glob("models/*.py"), *root.glob("migrations/versions/*.py")])
    digest = sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:12]
    name = f"jobloop_template_{digest}"
    async with _administrator(server_url) as connection:
        await connection.execute("SELECT pg_advisory_lock(hashtext($1))", name)
        if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", name):
            await connection.execute(f'DROP DATABASE IF EXISTS "{name}_unfinished"')
            await connection.execute(f'CREATE DATABASE "{name}_unfinished"')
            await migrate.upgrade(server_url.set(database=f"{name}_unfinished"))
            await connection.execute(f'ALTER DATABASE "{name}_unfinished" RENAME TO "{name}"')
    return name


def _fresh_database(server_url: URL, template: str) -> Iterator[str]:
    name = f"jobloop_test_{uuid4().hex}"

    async def execute(statement: str) -> None:
        async with _administrator(server_url) as connection:
            await connection.execute(statement)

    asyncio.run(execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"'))
    yield server_url.set(database=name).render_as_string(hide_password=False)
    asyncio.run(execute(f'DROP DATABASE "{name}" WITH (FORCE)'))


@asynccontextmanager
async def _administrator(server_url: URL) -> AsyncIterator[asyncpg.Connection]:
    address = server_url.set(drivername="postgresql").render_as_string(hide_password=False)
    connection = await asyncpg.connect(address)
    try:
        yield connection
    finally:
        await connection.close()
