"""Bad input and bad neighbours: one clear sentence, nothing lost."""

from __future__ import annotations

import logging

import pytest

from crm_sync.errors import DatabaseUnavailableError, MigrationError
from hubspot_emulator import EmulatorServer
from tests.application import Contacts, eventually, make_settings, running_app


async def test_an_unreachable_database_stops_the_start_with_a_sentence() -> None:
    settings = make_settings("postgresql://somebody:hidden-word@127.0.0.1:1/nowhere")
    with pytest.raises(DatabaseUnavailableError, match="nothing listens there") as failure:
        async with running_app(settings):
            pass
    assert "hidden-word" not in str(failure.value)


async def test_a_database_of_another_revision_stops_the_start_and_is_not_changed(
    migrated_url: str, contacts: Contacts
) -> None:
    await contacts.execute("UPDATE alembic_version SET version_num = 'older'")
    with pytest.raises(MigrationError, match="run `crm-sync db upgrade`"):
        async with running_app(make_settings(migrated_url)):
            pass


async def test_a_table_without_a_column_is_named_in_the_log_and_the_app_runs_on(
    migrated_url: str, hubspot: EmulatorServer, contacts: Contacts, caplog: pytest.LogCaptureFixture
) -> None:
    await contacts.add(1)
    await contacts.execute("ALTER TABLE contacts DROP COLUMN hubspot_claim_token")
    async with running_app(make_settings(migrated_url, hubspot)) as app:
        await eventually(lambda: _said(caplog), lambda words: "op.add_column('contacts'" in words)
        assert (await app.http.get("/health")).status_code == 200
    assert "no column 'hubspot_claim_token'" in await _said(caplog)
    assert (await contacts.only())["hubspot_processing_status"] == "Queued"


@pytest.mark.parametrize("kind", ["html", "empty", "truncated"])
async def test_an_answer_that_is_not_json_is_asked_for_again_and_the_contact_is_pushed_once(
    migrated_url: str, hubspot: EmulatorServer, contacts: Contacts, kind: str
) -> None:
    await contacts.add(1)
    hubspot.fault(kind, path="*/batch/upsert", applied=True)
    async with running_app(make_settings(migrated_url, hubspot)):
        (row,) = await contacts.all_in("Complete")
    (held,) = hubspot.records("contacts")
    assert row["hubspot_contact_id"] == held["hs_object_id"]
    assert row["retry_count"] == 0


async def test_a_token_without_the_scope_leaves_contacts_queued_and_names_the_scope(
    migrated_url: str, hubspot: EmulatorServer, contacts: Contacts
) -> None:
    await contacts.add(2)
    hubspot.fault("403", path="*/batch/upsert", times=0)
    async with running_app(make_settings(migrated_url, hubspot)):
        rows = await eventually(contacts.rows, lambda rows: all(row["retry_count"] for row in rows))
    assert {row["hubspot_processing_status"] for row in rows} == {"Queued"}
    assert all("crm.objects.contacts.write" in row["hubspot_processing_error"] for row in rows)


async def test_a_database_that_restarts_connections_under_the_scheduler_loses_no_contact(
    migrated_url: str, hubspot: EmulatorServer, contacts: Contacts, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await contacts.add(20)
    hubspot.fault("slow", path="*/batch/upsert", seconds=0.5)
    async with running_app(make_settings(migrated_url, hubspot, HUBSPOT_SYNC_SCHEDULER_BATCH_SIZE=5)):
        await eventually(contacts.rows, lambda rows: any(row["hubspot_claim_token"] for row in rows))
        await contacts.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        rows = await contacts.all_in("Complete")
    assert {row["retry_count"] for row in rows} == {0}
    assert len(hubspot.records("contacts")) == 20


async def _said(caplog: pytest.LogCaptureFixture) -> str:
    return "\n".join(caplog.messages)
