"""An application that stops lets the running cycle end, or gives its rows back; it leaves nothing half done."""

from __future__ import annotations

import asyncio

from hubspot_emulator import EmulatorServer
from tests.application import Contacts, eventually, make_settings, running_app


async def test_a_stop_waits_for_the_running_cycle_and_its_rows_are_complete(
    migrated_url: str, hubspot: EmulatorServer, contacts: Contacts
) -> None:
    await contacts.add(5)
    hubspot.fault("slow", path="*/batch/upsert", seconds=1)
    async with running_app(make_settings(migrated_url, hubspot)):
        await eventually(contacts.rows, lambda rows: rows[0]["hubspot_processing_status"] == "Processing")
    rows = await contacts.rows()
    assert {row["hubspot_processing_status"] for row in rows} == {"Complete"}
    assert len(hubspot.calls("objects.batch_upsert")) == 1


async def test_a_cycle_that_outlasts_the_grace_gives_its_rows_back_uncounted(
    migrated_url: str, hubspot: EmulatorServer, contacts: Contacts
) -> None:
    await contacts.add(5)
    hubspot.fault("slow", path="*/batch/upsert", seconds=30)
    async with running_app(make_settings(migrated_url, hubspot)) as app:
        await eventually(contacts.rows, lambda rows: rows[0]["hubspot_processing_status"] == "Processing")
        await asyncio.gather(*(job.stop(grace_seconds=0.1) for job in app.room.jobs))
        rows = await contacts.rows()
    assert {row["hubspot_processing_status"] for row in rows} == {"Queued"}
    assert {row["retry_count"] for row in rows} == {0}
    assert {row["hubspot_claim_token"] for row in rows} == {None}
