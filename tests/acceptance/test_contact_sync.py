"""What the system is for, case by case: the real application, a real PostgreSQL, the emulator over HTTP."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client.parser import text_string_to_metric_families

from hubspot_emulator import EmulatorServer
from tests.application import Contacts, eventually, make_settings, running_app


async def test_the_scheduler_starts_registers_its_job_and_logs_interval_batch_size_and_max_instances(
    migrated_url: str, hubspot: EmulatorServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    settings = make_settings(
        migrated_url,
        hubspot,
        HUBSPOT_SYNC_SCHEDULER_INTERVAL_MINUTES=5,
        HUBSPOT_SYNC_SCHEDULER_BATCH_SIZE=100,
        HUBSPOT_SYNC_SCHEDULER_MAX_INSTANCES=1,
    )
    async with running_app(settings) as app:
        job = app.room.scheduler.get_job("contacts")
        assert app.room.scheduler.running
        assert job.trigger.interval == timedelta(minutes=5)
        assert job.max_instances == 1
        assert job.coalesce
        ready = (await app.http.get("/ready")).json()
    assert ready["scheduled"] == ["contacts", "pulls"]
    assert "contacts: scheduler job registered: interval 0:05:00, batch size 100, max instances 1" in caplog.messages


async def test_three_contacts_are_queued_by_plain_sql_and_seen_as_due(
    migrated_url: str, hubspot: EmulatorServer, contacts: Contacts
) -> None:
    async with running_app(make_settings(migrated_url, hubspot, HUBSPOT_SYNC_SCHEDULER_ENABLED=False)) as app:
        await contacts.add(3)
        queue, _pulls = (await app.http.get("/api/queues")).json()["queues"]
    assert {name: queue[name] for name in ("due", "queued", "processing", "complete", "error", "scheduled")} == {
        "due": 3,
        "queued": 3,
        "processing": 0,
        "complete": 0,
        "error": 0,
        "scheduled": False,
    }
    assert {row["hubspot_sync_status"] for row in await contacts.rows()} == {"Queued"}


async def test_three_queued_contacts_become_complete_with_hubspot_ids_no_error_and_no_retry(
    migrated_url: str, hubspot: EmulatorServer, contacts: Contacts
) -> None:
    await contacts.add(3)
    before = await contacts.rows()
    async with running_app(make_settings(migrated_url, hubspot)):
        rows = await contacts.all_in("Complete")
    in_hubspot = {record["email"]: record["hs_object_id"] for record in hubspot.records("contacts")}
    for row, earlier in zip(rows, before, strict=True):
        assert row["hubspot_sync_status"] == "Complete"
        assert row["hubspot_contact_id"] == in_hubspot[row["email"]]
        assert row["hubspot_processing_error"] is None
        assert row["retry_count"] == 0
        assert row["next_retry_at"] is row["hubspot_claim_token"] is row["hubspot_lease_expires_at"] is None
        assert row["updated_at"] == earlier["updated_at"]
    assert hubspot.counts()["objects.batch_upsert contacts"] == 1


async def test_hubspot_holds_email_names_phone_and_the_three_custom_properties_with_today_s_date(
    migrated_url: str, hubspot: EmulatorServer, contacts: Contacts
) -> None:
    await contacts.add(1, queued=False)
    await contacts.execute("UPDATE contacts SET email = ' Ada.Lovelace@Example.COM', name = 'Ada King Lovelace'")
    await contacts.enqueue()
    day_before = datetime.now(UTC).date()
    async with running_app(make_settings(migrated_url, hubspot)):
        (row,) = await contacts.all_in("Complete")
    (held,) = hubspot.records("contacts")
    assert held["email"] == "ada.lovelace@example.com"
    assert held["firstname"] == "Ada King"
    assert held["lastname"] == "Lovelace"
    assert held["phone"] == row["phone_number"]
    assert held["scrapersky_domain_id"] == str(row["domain_id"])
    assert held["scrapersky_page_id"] == str(row["page_id"])
    assert held["scrapersky_sync_date"] in {str(day_before), str(datetime.now(UTC).date())}


async def test_a_bad_token_means_a_retry_in_five_minutes_and_a_good_one_then_completes_it_with_its_count_kept(
    migrated_url: str, hubspot: EmulatorServer, contacts: Contacts
) -> None:
    await contacts.add(1)
    async with running_app(make_settings(migrated_url, hubspot, HUBSPOT_API_KEY="pat-na1-this-one-was-revoked")):
        row = await eventually(contacts.only, lambda row: row["retry_count"] > 0)
    assert row["hubspot_processing_status"] == "Queued"
    assert row["hubspot_sync_status"] == "Queued"
    assert row["retry_count"] == 1
    assert timedelta(minutes=4.8) < row["next_retry_at"] - row["now"] <= timedelta(minutes=5)
    assert "401" in row["hubspot_processing_error"]
    assert "HUBSPOT_API_KEY" in row["hubspot_processing_error"]
    assert "was-revoked" not in row["hubspot_processing_error"]
    assert not hubspot.records("contacts")

    await contacts.execute("UPDATE contacts SET next_retry_at = now()")
    async with running_app(make_settings(migrated_url, hubspot)):
        (row,) = await contacts.all_in("Complete")
    assert row["hubspot_sync_status"] == "Complete"
    assert row["hubspot_contact_id"] is not None
    assert row["hubspot_processing_error"] is None
    assert row["retry_count"] == 1


async def test_twenty_five_contacts_at_batch_size_ten_go_as_ten_ten_and_five_one_batch_a_cycle(
    migrated_url: str, hubspot: EmulatorServer, contacts: Contacts
) -> None:
    await contacts.add(25)
    settings = make_settings(
        migrated_url, hubspot, HUBSPOT_SYNC_SCHEDULER_BATCH_SIZE=10, HUBSPOT_SYNC_SCHEDULER_DRAIN=False
    )
    async with running_app(settings) as app:
        await contacts.all_in("Complete")
        cycle = await eventually(lambda: _last_cycle(app.room), lambda cycle: cycle is not None and cycle.claimed == 5)
    assert cycle is not None
    assert cycle.batches == 1
    assert [call.inputs for call in hubspot.calls("objects.batch_upsert")] == [10, 10, 5]


async def test_twenty_contacts_and_two_loops_at_once_push_each_contact_once(
    migrated_url: str, hubspot: EmulatorServer, contacts: Contacts
) -> None:
    await contacts.add(20)
    hubspot.fault("slow", path="*/batch/upsert", times=0, seconds=0.2)  # so that neither is done before the other
    settings = make_settings(migrated_url, hubspot, HUBSPOT_SYNC_SCHEDULER_BATCH_SIZE=5)
    both = asyncio.Barrier(2)

    async def work() -> int:
        await both.wait()
        async with running_app(settings) as app:
            await contacts.all_in("Complete")
            await both.wait()
            cycle = await eventually(lambda: _last_cycle(app.room), lambda cycle: cycle is not None)
            return cycle.completed if cycle else 0

    one, other = await asyncio.gather(work(), work())
    pushed = [item["id"] for call in hubspot.calls("objects.batch_upsert") for item in call.body["inputs"]]
    assert sorted(pushed) == sorted(row["email"] for row in await contacts.rows())
    assert one + other == 20
    assert min(one, other) >= 5


async def test_a_cycle_s_metrics_tell_duration_time_per_contact_success_rate_and_retry_rate(
    migrated_url: str, hubspot: EmulatorServer, contacts: Contacts
) -> None:
    await contacts.add(4, queued=False)
    await contacts.execute("UPDATE contacts SET email = 'nobody' WHERE email LIKE 'person0@%'")
    await contacts.enqueue()
    async with running_app(make_settings(migrated_url, hubspot)) as app:
        await eventually(lambda: _last_cycle(app.room), lambda cycle: cycle is not None)
        queue, _pulls = (await app.http.get("/api/queues")).json()["queues"]
        families = text_string_to_metric_families((await app.http.get("/metrics")).text)
        samples = {
            (sample.name, *sorted(sample.labels.values())): sample.value
            for family in families
            for sample in family.samples
        }
    cycle = queue["last_cycle"]
    assert (cycle["claimed"], cycle["completed"], cycle["failed"], cycle["retried"]) == (4, 3, 1, 0)
    assert 0 < cycle["duration_seconds"] < 20
    assert cycle["seconds_per_row"] == pytest.approx(cycle["duration_seconds"] / 4, abs=1e-4)
    assert cycle["success_rate"] == 0.75
    assert cycle["retry_rate"] == 0
    assert samples["jobloop_rows_total", "completed", "contacts"] == 3
    assert samples["jobloop_rows_total", "contacts", "failed"] == 1
    assert samples["jobloop_success_ratio", "contacts"] == 0.75
    assert samples["jobloop_retry_ratio", "contacts"] == 0
    assert samples["jobloop_cycle_seconds_count", "contacts"] == 1
    assert samples["jobloop_queue_rows", "complete", "contacts"] == 3
    assert samples["hubspot_calls_total", "contacts.batch_upsert"] == 1


async def _last_cycle(room):  # type: ignore[no-untyped-def]
    last = room.last_cycles.of("contacts")
    return last.report if last else None
