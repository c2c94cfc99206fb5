"""The migrated schema is the models' schema; migrating is safe beside other work and other migrations."""

import asyncio
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from crm_sync import migrate
from crm_sync.database import create_engine
from crm_sync.errors import DatabaseUnavailableError, MigrationError
from crm_sync.migrate import LOCK_KEY, Limits
from crm_sync.models import Base

ROOT = Path(__file__).parents[2]

CATALOG = {
    "columns": """
        SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
               pg_get_expr(d.adbin, d.adrelid)
        FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
        WHERE c.relkind IN ('r', 'v') AND c.relnamespace::regnamespace::text IN ('public', 'hubspot')
        AND c.relname <> 'alembic_version' ORDER BY c.relnamespace, 1, a.attnum""",
    "indexes": """
        SELECT indexdef FROM pg_indexes
        WHERE schemaname IN ('public', 'hubspot') AND tablename <> 'alembic_version' ORDER BY 1""",
    "constraints": """
        SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
        WHERE connamespace::regnamespace::text IN ('public', 'hubspot')
        AND conrelid::regclass::text <> 'alembic_version'
        ORDER BY 1, 2""",
    "storage": """
        SELECT relname, relkind, reloptions FROM pg_class
        WHERE relnamespace::regnamespace::text IN ('public', 'hubspot') AND relname NOT LIKE 'alembic_version%'
        ORDER BY relnamespace, 1""",
    "enums": """
        SELECT t.typname, array_agg(e.enumlabel ORDER BY e.enumsortorder) FROM pg_type t
        JOIN pg_enum e ON e.enumtypid = t.oid GROUP BY 1 ORDER BY 1""",
    "functions": """
        SELECT proname, pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'public'::regnamespace ORDER BY 1""",
    "views": """
        SELECT relname, pg_get_viewdef(oid) FROM pg_class
        WHERE relkind = 'v' AND relnamespace::regnamespace::text IN ('public', 'hubspot') ORDER BY 1""",
    "triggers": """
        SELECT tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1""",
}


async def catalog(engine: AsyncEngine) -> dict[str, Sequence[Any]]:
    async with engine.connect() as connection:
        return {name: [tuple(row) for row in await connection.execute(text(sql))] for name, sql in CATALOG.items()}


async def test_the_models_and_the_migrated_schema_are_equal(engine: AsyncEngine, migrated_engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    models, migrated = await catalog(engine), await catalog(migrated_engine)
    assert migrated["columns"]
    assert models == migrated


async def test_check_finds_no_difference_and_names_one_when_there_is(migrated_engine: AsyncEngine) -> None:
    assert await migrate.check(migrated_engine) == []
    async with migrated_engine.begin() as connection:
        await connection.execute(text("ALTER TABLE contacts DROP COLUMN phone_number"))
        await connection.execute(text("ALTER TABLE contacts ALTER email SET NOT NULL"))
    differences = await migrate.check(migrated_engine)
    assert len(differences) == 2
    assert any("add column" in line and "phone_number" in line for line in differences)
    assert any("modify nullable" in line and "email" in line for line in differences)


async def test_down_to_nothing_and_up_again(migrated_url: str, migrated_engine: AsyncEngine) -> None:
    before = await catalog(migrated_engine)
    await migrate.downgrade(migrated_url, "base")
    assert not any((await catalog(migrated_engine)).values())
    assert await migrate.current(migrated_engine) is None
    await migrate.upgrade(migrated_url)
    assert await catalog(migrated_engine) == before
    assert await migrate.current(migrated_engine) == migrate.head()


async def test_a_database_at_another_revision_says_what_to_run(
    engine: AsyncEngine, migrated_engine: AsyncEngine
) -> None:
    await migrate.require_head(migrated_engine)
    with pytest.raises(MigrationError, match="run `crm-sync db upgrade`"):
        await migrate.require_head(engine)


async def test_upgrades_at_once_are_one_upgrade(database_url: str, engine: AsyncEngine) -> None:
    await asyncio.gather(*(migrate.upgrade(database_url) for _ in range(4)))
    assert await migrate.current(engine) == migrate.head()
    assert await migrate.check(engine) == []


async def test_upgrades_by_processes_at_once_are_one_upgrade(database_url: str, engine: AsyncEngine) -> None:
    command = [sys.executable, "-m", "alembic", "-x", f"url={database_url}", "upgrade", "head"]
    runs = [
        await asyncio.create_subprocess_exec(*command, cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    for run in runs:
        _out, err = await run.communicate()
        assert run.returncode == 0, err.decode()
    assert await migrate.current(engine) == migrate.head()


async def test_an_upgrade_waits_for_the_one_before_it(
    database_url: str, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = asyncio.Event()

    async def ask_again(_seconds: float) -> None:
        asked.set()
        await real_sleep(0.01)

    real_sleep = asyncio.sleep
    monkeypatch.setattr("crm_sync.migrate.asyncio.sleep", ask_again)
    async with engine.connect() as other:
        await other.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK_KEY})
        waiting = asyncio.create_task(migrate.upgrade(database_url))
        await asked.wait()
        assert not waiting.done()
        await other.rollback()
    await waiting
    assert await migrate.current(engine) == migrate.head()


async def test_an_upgrade_that_waits_for_ever_gives_up(
    database_url: str, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrate, "LOCK_WAIT_SECONDS", 0.0)
    async with engine.connect() as other:
        await other.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK_KEY})
        with pytest.raises(MigrationError, match="Another process has been migrating"):
            await migrate.upgrade(database_url)
    assert await migrate.current(engine) is None


async def test_a_revision_may_make_an_index_beside_the_work(migrated_url: str) -> None:
    """CREATE INDEX CONCURRENTLY waits for every snapshot that is older: the migration's own lock must keep none."""
    async with migrate.migration_connection(migrated_url) as connection, asyncio.timeout(30):
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.execute(text("CREATE INDEX CONCURRENTLY another ON contacts (updated_at)"))


async def test_a_migration_does_not_wait_long_for_a_busy_table(migrated_url: str, migrated_engine: AsyncEngine) -> None:
    async with migrated_engine.connect() as reader:
        await reader.execute(text("SELECT count(*) FROM sync_issues"))  # holds ACCESS SHARE until its transaction ends
        with pytest.raises(MigrationError, match="lock timeout"):
            await migrate.downgrade(migrated_url, "base", limits=Limits(lock_timeout_ms=50))
    assert await migrate.current(migrated_engine) == "0004", "the first to need the table changed nothing"
    await migrate.upgrade(migrated_url)
    assert await migrate.check(migrated_engine) == []


async def test_a_migration_s_statement_does_not_run_for_long(database_url: str) -> None:
    async with migrate.migration_connection(database_url, Limits(statement_timeout_ms=50)) as connection:
        with pytest.raises(Exception, match="statement timeout"):
            await connection.execute(text("SELECT pg_sleep(30)"))
        await connection.rollback()
        assert await connection.scalar(text("SHOW lock_timeout")) == "5s"


async def test_the_limits_end_with_the_transaction(database_url: str) -> None:
    """Behind a transaction pooler the next client gets the same server connection."""
    async with migrate.migration_connection(database_url) as connection:
        assert await connection.scalar(text("SHOW statement_timeout")) == "1min"
        await connection.rollback()
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        assert await connection.scalar(text("SHOW statement_timeout")) == "0"


async def test_an_unknown_revision_is_one_sentence(database_url: str) -> None:
    with pytest.raises(MigrationError, match="cannot be brought to nowhere: Can't locate revision"):
        await migrate.upgrade(database_url, "nowhere")


async def test_a_failing_revision_changes_nothing(database_url: str, engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await connection.execute(text("CREATE TABLE contacts (mine int)"))
    before = await catalog(engine)
    with pytest.raises(MigrationError, match='relation "contacts" already exists'):
        await migrate.upgrade(database_url)
    assert await catalog(engine) == before
    assert await migrate.current(engine) is None


async def test_an_unreachable_database_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnavailableError, match="there is no socket"):
        await migrate.upgrade(f"postgresql://postgres@/x?host={tmp_path}")


async def test_the_written_sql_makes_the_same_schema(database_url: str, migrated_engine: AsyncEngine) -> None:
    run = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "alembic", "upgrade", "head", "--sql", cwd=ROOT, stdout=-1, stderr=-1
    )
    sql, err = await run.communicate()
    assert run.returncode == 0, err.decode()
    engine = create_engine(database_url)
    async with engine.connect() as connection:
        raw = await connection.get_raw_connection()
        assert raw.driver_connection is not None
        await raw.driver_connection.execute(sql.decode())
        await connection.invalidate()  # the script's SET lasts as long as the session
    assert await catalog(engine) == await catalog(migrated_engine)
    await engine.dispose()
