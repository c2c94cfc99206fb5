"""One run a stream: who holds it, what happens when it is lost, and how far the cursor may move."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from crm_sync.errors import StreamBusyError
from crm_sync.hubspot.errors import DailyLimit
from crm_sync.pull.cursor import Cursors, StreamLostError
from crm_sync.pull.wish import Wants
from tests.hubspot.live import add, define
from tests.pull.lossy import Gate, gated_client
from tests.pull.pulling import Pulls


async def test_a_stream_is_pulled_by_one_run_at_a_time(pulls: Pulls) -> None:
    add(pulls.emulator, "contacts", email="a@example.com")
    async with Cursors(pulls.engine).held("contacts"):
        with pytest.raises(StreamBusyError) as caught:
            await pulls.pull("contacts")
        assert caught.value.until is not None
        await pulls.pull("companies")
        await pulls.pull("contacts", dry_run=True)  # it writes nothing, so it may look
    await pulls.pull("contacts")
    await pulls.assert_equal("contacts")


async def test_a_run_that_was_frozen_past_its_hold_writes_nothing(pulls: Pulls) -> None:
    """The older page comes last: the row is the newer one's, and so is the cursor."""
    contact = add(pulls.emulator, "contacts", email="a@example.com", firstname="Old")
    gate = Gate()
    async with gated_client(pulls, gate) as frozen:
        late = asyncio.create_task(pulls.pull("contacts", Wants.FULL))
        await gate.reached.wait()
        pulls.hubspot = None
        await pulls.release()
        table = pulls.emulator.portal.table("contacts")
        pulls.emulator.portal.update(table, table.records[int(contact)], {"firstname": "New"})
        await pulls.pull("contacts", Wants.FULL)
        before = await pulls.dump()
        gate.opened.set()
        with pytest.raises(StreamLostError):
            await late
        assert frozen is not pulls.hubspot
    assert await pulls.dump() == before
    assert (await pulls.row("contacts", contact)).first_name == "New"
    await pulls.assert_equal("contacts")


async def test_an_older_page_does_not_overwrite_a_newer_row(pulls: Pulls) -> None:
    """Even of one run: two ways to one record may overtake each other."""
    contact = add(pulls.emulator, "contacts", email="a@example.com", firstname="New")
    await pulls.full("contacts")
    row = await pulls.row("contacts", contact)
    await pulls.sql("UPDATE hubspot.contacts SET read_at = read_at + interval '1 hour'")
    table = pulls.emulator.portal.table("contacts")
    table.records[int(contact)].properties["firstname"] = "Old"  # of the same modified date: the reading decides
    report = await pulls.pull("contacts", Wants.FULL)
    assert (report.updated, report.unchanged) == (0, 1)
    await pulls.sql("UPDATE hubspot.contacts SET read_at = :at", at=row.read_at)
    table.records[int(contact)].updated_ms -= 1
    assert (await pulls.pull("contacts", Wants.FULL)).updated == 0
    assert (await pulls.row("contacts", contact)).first_name == "New"
    table.records[int(contact)].updated_ms += 2
    assert (await pulls.pull("contacts", Wants.FULL)).updated == 1
    assert (await pulls.row("contacts", contact)).first_name == "Old"


async def test_since_does_not_move_the_cursor_past_what_the_index_was_behind_with(pulls: Pulls) -> None:
    await pulls.full("contacts")
    await pulls.let_time_pass(600)
    synced_to = (await pulls.cursor("contacts")).synced_to
    await pulls.pull("contacts", since=synced_to)
    assert (await pulls.cursor("contacts")).synced_to == synced_to
    await pulls.pull("contacts", since=synced_to + timedelta(minutes=5))
    assert (await pulls.cursor("contacts")).synced_to == synced_to
    await pulls.pull("contacts", since=synced_to - timedelta(minutes=2))
    assert (await pulls.cursor("contacts")).synced_to > synced_to


async def test_since_before_the_first_pull_ends_does_not_stand_for_it(pulls: Pulls) -> None:
    for n in range(250):
        add(pulls.emulator, "contacts", email=f"a{n}@example.com")
    pulls.emulator.fault("429-daily", path="*/contacts*", nth=4, times=0)
    with pytest.raises(DailyLimit):
        await pulls.pull("contacts", batch_size=1)
    pulls.emulator.clear_faults()
    assert (await pulls.cursor("contacts")).synced_to is None
    await pulls.let_time_pass(3_600)
    await pulls.pull("contacts", since=datetime.now(UTC) + timedelta(minutes=55))
    assert (await pulls.cursor("contacts")).synced_to is None
    await pulls.pull("contacts")
    await pulls.assert_equal("contacts")


async def test_a_property_that_is_new_is_read_from_the_records_changed_since_it_was(pulls: Pulls) -> None:
    """Definitions are looked up once a day; what was written to a new property meanwhile came without it."""
    contact = add(pulls.emulator, "contacts", email="a@example.com")
    await pulls.full("contacts")
    define(pulls.emulator, "contacts", "favourite")
    table = pulls.emulator.portal.table("contacts")
    pulls.emulator.portal.update(table, table.records[int(contact)], {"favourite": "blue"})
    await pulls.let_time_pass(600)
    await pulls.changes("contacts")
    assert "favourite" not in (await pulls.row("contacts", contact)).properties
    await pulls.let_time_pass(86_400)
    await pulls.sql("UPDATE hubspot.properties SET synced_at = synced_at - interval '25 hours'")
    await pulls.pull("contacts")
    await pulls.assert_equal("contacts")
