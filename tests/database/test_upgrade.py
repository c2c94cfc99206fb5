"""A release runs on the schema of the next one: workers of both may be up while a new release goes out."""

from __future__ import annotations

from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker

from crm_sync import migrate
from crm_sync.database import create_engine, parse_database_url
from crm_sync.models import Contact
from crm_sync.runtime import Runtime
from jobloop import Complete, JobLoop, JobQueue, Statuses, batch
from tests.application import make_settings


def queue_of_the_first_release() -> JobQueue:
    """As it was declared before queues could pause."""
    return JobQueue(
        Contact,
        Statuses(queued="Queued", processing="Processing", complete="Complete", error="Error"),
        status_field_name="hubspot_processing_status",
        error_field_name="hubspot_processing_error",
        decision_field_name="hubspot_sync_status",
        order_by=[Contact.updated_at.asc()],
        name="contacts",
    )


async def push(rows: list[Any]) -> dict[Any, Complete]:
    return {row.id: Complete({"hubspot_contact_id": "951"}) for row in rows}


async def queue_contacts(engine: AsyncEngine, count: int) -> None:
    async with engine.begin() as connection:
        await connection.execute(
            text(
                "INSERT INTO contacts (email, hubspot_sync_status, hubspot_processing_status)"
                " SELECT format('p%s@example.com', n), 'Queued', 'Queued' FROM generate_series(1, :count) AS n"
            ),
            {"count": count},
        )


async def test_the_first_release_works_on_the_new_schema(migrated_url: str, migrated_engine: AsyncEngine) -> None:
    await queue_contacts(migrated_engine, 30)
    sessions = async_sessionmaker(migrated_engine, expire_on_commit=False)
    report = await JobLoop(queue_of_the_first_release(), batch(push), session_factory=sessions).drain()
    assert report.completed == 30


async def test_rows_queued_and_claimed_before_the_upgrade_are_done_after_it(database_url: str) -> None:
    """The first release claims, the schema changes under it, it settles; the new release does the rest."""
    engine = create_engine(database_url)
    await migrate.upgrade(database_url, "0001")
    await queue_contacts(engine, 30)
    sessions = async_sessionmaker(engine, expire_on_commit=False)

    async def upgrade_meanwhile(rows: list[Any]) -> dict[Any, Complete]:
        await migrate.upgrade(database_url)
        return await push(rows)

    first = JobLoop(queue_of_the_first_release(), batch(upgrade_meanwhile), session_factory=sessions, batch_size=10)
    assert (await first.run_once()).completed == 10
    runtime = Runtime(make_settings(database_url), parse_database_url(database_url))
    new = JobLoop(runtime.contact_queue(), batch(push), session_factory=runtime.sessions)
    assert (await new.drain()).completed == 20
    await runtime.aclose()
    await engine.dispose()


async def test_a_pull_that_was_cut_off_before_the_upgrade_looks_into_the_recycle_bin(database_url: str) -> None:
    """It would take for gone for good what was only archived."""
    await migrate.upgrade(database_url, "0004")
    engine = create_engine(database_url)
    plans = {"a": "list,missing", "b": "missing", "c": "list,archived,missing", "d": "", "e": "associations,missing"}
    async with engine.begin() as connection:
        for stream, passes in plans.items():
            await connection.execute(
                text("INSERT INTO sync_cursors (stream, passes) VALUES (:stream, string_to_array(:passes, ','))"),
                {"stream": stream, "passes": passes},
            )
    await engine.dispose()

    async def passes() -> dict[str, list[str]]:
        engine = create_engine(database_url)
        async with engine.connect() as connection:
            found = (await connection.execute(text("SELECT stream, passes FROM sync_cursors"))).all()
        await engine.dispose()
        return {row.stream: row.passes for row in found}

    await migrate.upgrade(database_url)
    assert await passes() == {
        "a": ["list", "archived since", "missing"],
        "b": ["archived since", "missing"],
        "c": ["list", "archived", "missing"],
        "d": [],
        "e": ["associations", "archived since", "missing"],
    }
    await migrate.downgrade(database_url, "0004")
    assert await passes() == {stream: [one for one in plan.split(",") if one] for stream, plan in plans.items()}
