"""Incremental runs: what changed, when it changed, and what HubSpot's search does not tell."""

from __future__ import annotations

import asyncio
import random

import pytest

from crm_sync.hubspot.errors import TransportError
from crm_sync.pull.wish import Wants
from hubspot_emulator.merge import gdpr_delete, merge
from tests.hubspot.live import add
from tests.pull.pulling import Pulls
from tests.pull.test_engine_faults import forget
from tests.pull.users import Users


def update(pulls: Pulls, stream: str, record_id: str, **changes: str) -> None:
    with pulls.emulator.account.lock:
        table = pulls.emulator.portal.table(stream)
        pulls.emulator.portal.update(table, table.records[int(record_id)], changes)


async def test_10001_rows_on_one_timestamp(pulls: Pulls) -> None:
    """A search ends at 10,000: what follows is asked for by its id."""
    ids = [add(pulls.emulator, "companies", name=f"Company {n}") for n in range(10_001)]
    await pulls.full("companies")
    await pulls.let_time_pass(3_600)
    with pulls.emulator.account.lock:
        pulls.emulator.clock.freeze()
        for one in ids:
            update(pulls, "companies", one, name="Changed")
        pulls.emulator.clock.thaw()
    report = (await pulls.changes("companies"))["companies"]
    assert (report.updated, report.fetched) == (10_001, 10_001)
    await pulls.assert_equal("companies")


@pytest.mark.parametrize(("lag_seconds", "seen_after_seconds"), [(100, 60), (140, 130)])
async def test_search_index_lag(either: Pulls, lag_seconds: float, seen_after_seconds: float) -> None:
    """A change within the lag is there after the next run, also when the index is behind for longer than was seen:
    the end of the window and its overlap make up for 150 seconds."""
    company = add(either.emulator, "companies", name="A")
    await either.full("companies")
    await either.let_time_pass(600)
    await either.changes("companies")  # what was new is behind it
    await either.let_time_pass(600)
    either.emulator.behaviour.search_lag_seconds = lag_seconds
    update(either, "companies", company, name="B")
    await either.let_time_pass(seen_after_seconds)  # the window has passed the change, of which the index knows nothing
    assert (await either.pull("companies")).fetched == 0
    await either.let_time_pass(60)
    assert (await either.pull("companies")).updated == 1
    await either.assert_equal("companies")


async def test_an_index_that_matches_old_values_gives_current_ones(pulls: Pulls) -> None:
    company = add(pulls.emulator, "companies", name="A")
    await pulls.full("companies")
    await pulls.let_time_pass(600)
    await pulls.changes("companies")  # what was new is behind it
    await pulls.let_time_pass(600)
    update(pulls, "companies", company, name="B")
    await pulls.let_time_pass(60)
    pulls.emulator.behaviour.search_lag_seconds = 1_000
    update(pulls, "companies", company, name="C")
    assert (await pulls.pull("companies")).updated == 1
    assert (await pulls.row("companies", company)).name == "C"
    pulls.emulator.behaviour.search_lag_seconds = 0
    await pulls.changes("companies")
    await pulls.assert_equal("companies")


async def test_a_record_that_changes_all_the_time_does_not_keep_a_run_from_ending(pulls: Pulls) -> None:
    """Whenever the run asks, every record has changed again."""
    ids = [add(pulls.emulator, "companies", name="A") for _ in range(450)]
    await pulls.full("companies")
    await pulls.let_time_pass(600)

    async def change_for_ever() -> None:
        seen = 0
        while True:
            if (calls := len(pulls.emulator.calls("objects.search"))) > seen:
                seen = calls
                for one in ids:
                    update(pulls, "companies", one, name=f"Changed {seen}")
            await asyncio.sleep(0)

    for one in ids:
        update(pulls, "companies", one, name="B")
    await pulls.let_time_pass()
    changing = asyncio.create_task(change_for_ever(), name="changes")
    try:
        async with asyncio.timeout(60):
            await pulls.pull("companies", batch_size=1)
    finally:
        changing.cancel()
    await pulls.changes("companies")
    await pulls.assert_equal("companies")


async def test_archived_and_purged_records(either: Pulls) -> None:
    ids = [add(either.emulator, "notes", hs_timestamp="1700000000000", hs_note_body=f"{n}") for n in range(4)]
    await either.full("notes")
    table = either.emulator.portal.table("notes")
    for one in ids[:3]:
        either.emulator.portal.archive(table, table.records[int(one)])
    report = (await either.changes("notes"))["notes"]
    assert report.archived == 0  # the recycle bin was looked at less than an hour ago
    await either.let_time_pass(3_600)
    report = (await either.changes("notes"))["notes"]
    assert (report.archived, report.updated) == (3, 3)
    await either.assert_equal("notes")
    gdpr_delete(either.emulator.portal, table, ids[0], None)
    await either.changes("notes", catch_up=True)
    assert await either.row("notes", ids[0]) is None
    await either.let_time_pass(91 * 86_400)
    report = await either.pull("notes")
    assert report.removed == 2
    assert [row.hubspot_id for row in await either.sql("SELECT hubspot_id FROM hubspot.notes")] == [int(ids[3])]
    await either.assert_equal("notes")
    removed = await either.sql("SELECT hubspot_id FROM hubspot.removed_records WHERE object_type = 'notes'")
    assert {row.hubspot_id for row in removed} == {int(one) for one in ids[:3]}


async def test_a_live_record_that_is_deleted_for_good_needs_a_full_pull(pulls: Pulls) -> None:
    contact = add(pulls.emulator, "contacts", email="a@example.com")
    add(pulls.emulator, "contacts", email="b@example.com")
    await pulls.full("contacts")
    gdpr_delete(pulls.emulator.portal, pulls.emulator.portal.table("contacts"), contact, None)
    await pulls.changes("contacts", catch_up=True)
    assert await pulls.row("contacts", contact) is not None
    report = await pulls.pull("contacts", Wants.FULL)
    assert report.removed == 1
    await pulls.assert_equal("contacts")


@pytest.mark.parametrize("new_record", [False, True])
async def test_merged_record_of_merged_records(either: Pulls, new_record: bool) -> None:
    """merged record: one that went into one that went into another is known by the last of them."""
    either.emulator.behaviour.merge_creates_record = new_record
    ids = [add(either.emulator, "companies", name=f"Company {n}") for n in range(4)]
    await either.full("companies")
    portal, table = either.emulator.portal, either.emulator.portal.table("companies")
    second = merge(portal, table, ids[1], ids[0])
    await either.changes("companies")
    third = merge(portal, table, ids[2], str(second.id))
    last = merge(portal, table, str(third.id), ids[3])
    await either.changes("companies")
    await either.assert_equal("companies")
    rows = await either.sql("SELECT hubspot_id, merged_into FROM hubspot.removed_records ORDER BY 1")
    assert set(map(int, ids)) - {last.id} <= {row.hubspot_id for row in rows}
    assert {row.merged_into for row in rows} == {last.id}


async def test_a_page_from_before_a_merge_does_not_bring_the_record_back(pulls: Pulls) -> None:
    kept, *_, other = (add(pulls.emulator, "companies", name=f"Company {n}") for n in range(120))
    await pulls.full("companies")
    table = pulls.emulator.portal.table("companies")
    record = table.records[int(other)]
    merge(pulls.emulator.portal, table, kept, other)
    await pulls.changes("companies")
    assert await pulls.row("companies", other) is None
    table.records[record.id] = record
    table.ids.append(record.id)
    await pulls.full("companies", batch_size=1)
    assert await pulls.row("companies", other) is None
    table.remove(record)
    await pulls.full("companies")
    await pulls.assert_equal("companies")


async def test_secondary_email_conflict_and_email_changed_at_the_source(pulls: Pulls) -> None:
    """e-mail case and whitespace: what HubSpot has is kept as it is."""
    first, second = (add(pulls.emulator, "contacts", email=f"{name}@example.com") for name in "ab")
    await pulls.full("contacts")
    merge(pulls.emulator.portal, pulls.emulator.portal.table("contacts"), first, second)
    await pulls.changes("contacts")
    row = await pulls.row("contacts", first)
    assert (row.email, row.additional_emails) == ("a@example.com", "b@example.com")
    update(pulls, "contacts", first, email="B@Example.com")
    third = add(pulls.emulator, "contacts", email="a@example.com")
    pulls.emulator.portal.table("contacts").records[int(third)].properties["email"] = " A@Example.com "
    await pulls.changes("contacts")
    assert (await pulls.row("contacts", third)).email == " A@Example.com "
    await pulls.assert_equal("contacts")


async def test_date_at_midnight_utc(pulls: Pulls) -> None:
    """Whatever the zone of the database's session."""
    await pulls.sql('ALTER DATABASE "' + str(pulls.engine.url.database) + "\" SET timezone = 'Pacific/Kiritimati'")
    await pulls.engine.dispose()
    deal = add(pulls.emulator, "deals", dealname="A", closedate="2026-03-29T00:30:00Z")
    await pulls.full("deals")
    assert (await pulls.row("deals", deal)).close_at.isoformat() == "2026-03-29T00:30:00+00:00"
    update(pulls, "deals", deal, dealname="B")
    assert (await pulls.changes("deals"))["deals"].updated == 1
    await pulls.assert_equal("deals")


async def test_archived_right_after_a_full_pull_is_archived_and_not_removed_by_the_next(pulls: Pulls) -> None:
    """The recycle bin is not due again; that something is missing is why it is read."""
    kept, gone = add(pulls.emulator, "contacts", email="a@x.com"), add(pulls.emulator, "contacts", email="b@x.com")
    await pulls.full("contacts")
    with pulls.emulator.account.lock:
        table = pulls.emulator.portal.table("contacts")
        pulls.emulator.portal.archive(table, table.records[int(gone)])
    reports = await pulls.full("contacts")
    assert (reports["contacts"].archived, reports["contacts"].removed) == (1, 0)
    assert await pulls.sql("SELECT * FROM hubspot.removed_records") == []
    await pulls.assert_equal("contacts")
    assert (await pulls.row("contacts", kept)).archived is False


@pytest.mark.parametrize("wants", [Wants.FULL, Wants.CHANGES])
async def test_a_record_that_is_restored_while_a_run_reads_is_not_lost(pulls: Pulls, wants: Wants) -> None:
    """It moves no modified date, and no pass may find it: the list before it is restored, the recycle bin after it."""
    for nth in range(1, 100):
        await forget(pulls)
        if wants is Wants.CHANGES:
            await pulls.full("companies")
            await pulls.let_time_pass(3_600)
        record_id = add(pulls.emulator, "companies", name="In and out")
        table = pulls.emulator.portal.table("companies")
        with pulls.emulator.account.lock:
            pulls.emulator.portal.archive(table, table.records[int(record_id)])
        await pulls.let_time_pass(600)
        pulls.emulator.fault("cut", nth=nth, times=0)
        try:
            await pulls.pull("companies", wants)
        except TransportError:
            pulls.emulator.clear_faults()
        else:
            break
        Users(pulls.emulator, random.Random(), set()).restore("companies")
        await pulls.pull("companies")
        await pulls.let_time_pass(3_600)
        await pulls.pull("companies")
        await pulls.assert_equal("companies")
    assert nth > 2


async def test_a_full_pull_that_ended_in_the_recycle_bin_is_taken_up_by_the_next(pulls: Pulls) -> None:
    add(pulls.emulator, "companies", name="A")
    for nth in range(1, 10):
        pulls.emulator.fault("cut", nth=nth, times=0)
        with pytest.raises(TransportError):
            await pulls.pull("companies", Wants.FULL)
        pulls.emulator.clear_faults()
        if (cursor := await pulls.cursor("companies")).passes:
            break
    assert cursor.passes == ["archived", "list", "archived since", "missing"]
    assert (await pulls.pull("companies", Wants.FULL)).resumed
    await pulls.assert_equal("companies")
