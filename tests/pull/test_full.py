"""After a full pull, the mirror is what the portal holds: every record, property, association and history."""

from __future__ import annotations

from dataclasses import replace

import pytest

from crm_sync.errors import UnknownStreamError
from crm_sync.models.mirror import MIRRORS
from crm_sync.pull.service import PullOptions
from crm_sync.pull.streams import STANDARD, find_custom
from crm_sync.pull.wish import Wants
from hubspot_emulator import EmulatorServer
from tests.hubspot.live import add, associate
from tests.pull.pulling import Pulls

SMALL = {
    "contacts": 700,
    "same_timestamp": 300,
    "companies": 130,
    "deals": 20,
    "busy_deal_activities": 60,
    "crowded_associations": 120,
    "form_submissions": 0,
    "email_events": 0,
}


async def test_the_mirror_equals_the_seeded_portal(either: Pulls) -> None:
    counts = either.emulator.seed(1, **SMALL)
    reports = await either.full(*STANDARD, batch_size=200)
    await either.assert_equal(*STANDARD)
    for name in ("companies", "deals", "notes"):
        assert reports[name].inserted == counts[name] == reports[name].fetched
    assert reports["contacts"].archived == 25
    assert reports["contacts"].issues == 0


async def test_a_full_pull_of_what_is_here_writes_nothing(pulls: Pulls) -> None:
    pulls.emulator.seed(2, **SMALL)
    await pulls.full("contacts", "deals")
    before = await pulls.sql("SELECT hubspot_id, synced_at FROM hubspot.contacts ORDER BY 1")
    reports = await pulls.full("contacts", "deals")
    for report in reports.values():
        assert (report.inserted, report.updated, report.removed, report.associations) == (0, 0, 0, 0)
        assert report.unchanged == report.fetched
    assert await pulls.sql("SELECT hubspot_id, synced_at FROM hubspot.contacts ORDER BY 1") == before


async def test_a_long_listing_is_read_at_several_places_at_once_and_whole(pulls: Pulls) -> None:
    """There are holes in the ids, where records are archived."""
    pulls.emulator.seed(3, **{**SMALL, "contacts": 4_000, "same_timestamp": 0, "archived": 300})
    report = await pulls.pull("contacts", Wants.FULL, batch_size=100)
    await pulls.assert_equal("contacts")
    assert report.inserted == 3_990
    pages = [int(call.query.get("after", ["0"])[0]) for call in pulls.emulator.calls("objects.list", "contacts")]
    assert pages != sorted(pages)


async def test_typed_columns_hold_the_values(pulls: Pulls) -> None:
    deal = add(
        pulls.emulator,
        "deals",
        dealname="Big",
        amount="1234.50",
        dealstage="closedwon",
        pipeline="default",
        closedate="2026-03-01T09:30:00Z",
    )
    await pulls.full("deals")
    row = await pulls.row("deals", deal)
    assert (row.name, str(row.amount), row.stage) == ("Big", "1234.50", "closedwon")
    assert row.close_at.isoformat() == "2026-03-01T09:30:00+00:00"


def define_memberships(emulator: EmulatorServer) -> str:
    """A custom object; its type id."""
    with emulator.account.lock:
        return emulator.account.schemas.create(
            {
                "name": "membership",
                "labels": {"singular": "Membership", "plural": "Memberships"},
                "primaryDisplayProperty": "title",
                "requiredProperties": ["title"],
                "properties": [{"name": "title", "label": "Title", "type": "string", "fieldType": "text"}],
                "associatedObjects": ["CONTACT", "COMPANY"],
            }
        ).table.type.type_id


@pytest.mark.parametrize("named", ["memberships", "membership", "p20260301_membership", "type id"])
async def test_a_custom_object_goes_by_any_of_its_names(either: Pulls, named: str) -> None:
    type_id = define_memberships(either.emulator)
    either.options = PullOptions(custom={"memberships": type_id if named == "type id" else named})
    contacts = [add(either.emulator, "contacts", email=f"a{n}@example.com") for n in range(3)]
    for n in range(120):
        membership = add(either.emulator, type_id, title=f"Membership {n}")
        associate(either.emulator, type_id, membership, "contacts", contacts[n % 3], *(["Payer"] if n % 2 else []))
    await either.pull("memberships")
    async with either.client() as client:
        (stream,) = find_custom(either.options.custom, await client.list_schemas()).values()
    await either.assert_equal(replace(stream, targets=("contacts", "companies")))

    with either.emulator.account.lock:
        table = either.emulator.portal.table(type_id)
        either.emulator.portal.update(table, table.records[int(membership)], {"title": "Changed"})
    (report,) = (await either.changes("memberships")).values()
    assert report.updated == 1
    await either.assert_equal(replace(stream, targets=("contacts", "companies")))


async def test_a_custom_object_that_the_account_lacks_is_named(pulls: Pulls) -> None:
    pulls.options = PullOptions(custom={"divisions": "division"})
    with pytest.raises(UnknownStreamError, match="no custom object 'division'"):
        await pulls.pull("divisions")


async def test_only_the_wanted_properties_are_kept(pulls: Pulls) -> None:
    pulls.options = PullOptions(narrowed={"contacts": ("website",)})
    contact = add(pulls.emulator, "contacts", email="a@example.com", website="https://example.com", city="Rome")
    await pulls.full("contacts")
    properties = (await pulls.row("contacts", contact)).properties
    assert (properties["website"], properties["email"]) == ("https://example.com", "a@example.com")
    assert "city" not in properties


def test_every_stream_has_a_mirror() -> None:
    assert set(STANDARD) == set(MIRRORS)
