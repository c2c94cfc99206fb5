"""The endpoints tell what is so, and every failure is a problem with a sentence."""

from __future__ import annotations

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from crm_sync import migrate
from crm_sync.web.app import create_app
from hubspot_emulator import EmulatorServer
from tests.application import Contacts, eventually, make_settings, running_app


async def test_health_answers_and_ready_names_revision_and_jobs(migrated_url: str, hubspot: EmulatorServer) -> None:
    async with running_app(make_settings(migrated_url, hubspot)) as app:
        health, ready = await app.http.get("/health"), await app.http.get("/ready")
    assert (health.status_code, health.json()) == (200, {"status": "ok"})
    assert (ready.status_code, ready.json()["revision"]) == (200, migrate.head())


async def test_without_a_token_the_app_runs_on_and_one_warning_says_why_nothing_is_pushed(
    migrated_url: str, contacts: Contacts, caplog: pytest.LogCaptureFixture
) -> None:
    await contacts.add(1)
    async with running_app(make_settings(migrated_url)) as app:
        assert (await app.http.get("/ready")).json()["scheduled"] == []
        queue, pulls = (await app.http.get("/api/queues")).json()["queues"]
        metrics = await app.http.get("/metrics")
    assert (queue["scheduled"], queue["next_run_at"], queue["due"]) == (False, None, 1)
    assert (pulls["queue"], pulls["scheduled"]) == ("pulls", False)
    assert metrics.status_code == 200
    warnings = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert warnings == ["HUBSPOT_API_KEY not configured - HubSpot sync scheduler DISABLED"]


async def test_ready_is_a_503_problem_when_the_schema_is_another(
    migrated_url: str, contacts: Contacts, hubspot: EmulatorServer
) -> None:
    async with running_app(make_settings(migrated_url, hubspot)) as app:
        await contacts.execute("UPDATE alembic_version SET version_num = 'older'")
        ready = await app.http.get("/ready")
    assert ready.status_code == 503
    assert ready.headers["content-type"] == "application/problem+json"
    assert "at revision older" in ready.json()["detail"]


async def test_a_database_that_goes_away_costs_ready_and_queues_but_not_health_and_metrics(
    migrated_url: str, engine: AsyncEngine, hubspot: EmulatorServer
) -> None:
    name = migrated_url.split("?")[0].rsplit("/", 1)[1]
    close_all = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
    async with (
        running_app(make_settings(migrated_url, hubspot, HUBSPOT_SYNC_SCHEDULER_ENABLED=False)) as app,
        engine.connect() as plain,
    ):
        connection = await plain.execution_options(isolation_level="AUTOCOMMIT")
        await connection.exec_driver_sql(close_all)
        await connection.exec_driver_sql(f'ALTER DATABASE "{name}" RENAME TO "{name}_away"')
        answers = {path: await app.http.get(path) for path in ("/health", "/ready", "/metrics", "/api/queues")}
        await connection.exec_driver_sql(f'ALTER DATABASE "{name}_away" RENAME TO "{name}"')
        assert (await app.http.get("/ready")).status_code == 200
    assert {path: answer.status_code for path, answer in answers.items()} == {
        "/health": 200,
        "/ready": 503,
        "/metrics": 200,
        "/api/queues": 503,
    }
    assert "crm_sync_database_up 0.0" in answers["/metrics"].text
    assert "Cannot use the database at" in answers["/api/queues"].json()["detail"]


async def test_queue_errors_are_grouped_with_examples(
    migrated_url: str, hubspot: EmulatorServer, contacts: Contacts
) -> None:
    await contacts.add(5, queued=False)
    await contacts.execute("UPDATE contacts SET email = 'nobody' WHERE email < 'person3'")
    await contacts.enqueue()
    async with running_app(make_settings(migrated_url, hubspot)) as app:
        is_settled = {"Complete", "Error"}.issuperset
        await eventually(contacts.rows, lambda rows: is_settled(row["hubspot_processing_status"] for row in rows))
        answer = (await app.http.get("/api/queues/contacts/errors")).json()
        one = (await app.http.get("/api/queues/contacts")).json()
    (group,) = answer["errors"]
    assert (group["state"], group["rows"], len(group["examples"])) == ("error", 3, 3)
    assert "e-mail" in group["error"]
    assert (one["error"], one["complete"]) == (3, 2)


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/nowhere", 404, "Not Found"),
        ("/api/queues/orders", 404, "There is no queue 'orders'; there are: contacts, pulls."),
        ("/api/queues/contacts/errors?most=0", 422, "query.most: Input should be greater than or equal to 1"),
    ],
)
async def test_wrong_requests_are_problems(
    migrated_url: str, hubspot: EmulatorServer, path: str, status: int, words: str
) -> None:
    async with running_app(make_settings(migrated_url, hubspot)) as app:
        answer = await app.http.get(path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert (problem["status"], problem["detail"], problem["type"]) == (status, words, "about:blank")
    assert problem["instance"] == path.partition("?")[0]


async def test_a_failure_nobody_thought_of_is_a_500_problem_that_gives_nothing_away(
    migrated_url: str, hubspot: EmulatorServer
) -> None:
    async with running_app(make_settings(migrated_url, hubspot)) as app:

        @app.app.get("/broken")
        async def broken() -> None:
            raise ZeroDivisionError("a secret thought")

        answer = await app.http.get("/broken")
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert "secret" not in answer.text


async def test_two_applications_in_one_process_share_nothing(
    migrated_url: str, database_url: str, hubspot: EmulatorServer, contacts: Contacts
) -> None:
    await migrate.upgrade(database_url)
    await contacts.add(2)
    async with (
        running_app(make_settings(migrated_url, hubspot)) as one,
        running_app(make_settings(database_url, hubspot)) as other,
    ):
        await contacts.all_in("Complete")
        assert one.room.runtime.engine is not other.room.runtime.engine
        assert (await other.http.get("/api/queues/contacts")).json()["complete"] == 0
        assert (await one.http.get("/api/queues/contacts")).json()["complete"] == 2
        assert 'jobloop_rows_total{outcome="completed"' not in (await other.http.get("/metrics")).text.replace(
            'jobloop_rows_total{outcome="completed",queue="contacts"} 0.0', ""
        )


def test_making_an_application_opens_nothing(tmp_path_factory: pytest.TempPathFactory) -> None:
    create_app(make_settings("postgresql://nobody@127.0.0.1:1/none"))
