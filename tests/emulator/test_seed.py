"""The generated portal: the same from the same integer, and full of what a synchronisation trips over."""

from __future__ import annotations

from collections import Counter

import httpx
import pytest

from hubspot_emulator import EmulatorServer


@pytest.fixture(scope="module")
def seeded() -> EmulatorServer:
    """Filled, but not served: what is in it needs no HTTP."""
    hubspot = EmulatorServer(tier="unlimited")
    hubspot.seed(7)
    return hubspot


def test_the_same_integer_gives_the_same_records(seeded: EmulatorServer) -> None:
    again, other = EmulatorServer(), EmulatorServer()
    again.seed(7)
    other.seed(8)
    assert again.records("contacts") == seeded.records("contacts")
    assert again.records("deals") == seeded.records("deals")
    assert other.records("contacts") != seeded.records("contacts")


def test_more_than_ten_thousand_contacts_share_a_modified_date(seeded: EmulatorServer) -> None:
    dates = Counter(record["lastmodifieddate"] for record in seeded.records("contacts"))
    assert dates.most_common(1)[0][1] > 10_000


def test_a_contact_has_three_hundred_companies(seeded: EmulatorServer) -> None:
    counts = Counter(
        from_id
        for origin, target, from_id, _, _ in seeded.portal.relations.store.pairs()
        if (origin, target) == ("0-1", "0-2")
    )
    assert counts.most_common(1)[0][1] == 300


def test_names_are_dirty(seeded: EmulatorServer) -> None:
    names = {record.get("firstname", "") for record in seeded.records("contacts")}
    assert any(name != name.strip() for name in names)
    assert any(not name.isascii() for name in names)
    assert any("lastname" not in record for record in seeded.records("contacts"))


def test_there_are_merged_and_archived_records(seeded: EmulatorServer) -> None:
    table = seeded.portal.table("contacts")
    assert len(table.merged) == 10
    assert all(table.resolve(old) is not None for old in table.merged)
    assert len(seeded.records("contacts", archived=True)) == 25


def test_a_deal_has_hundreds_of_activities(seeded: EmulatorServer) -> None:
    deal = int(seeded.records("deals")[0]["hs_object_id"])
    activities = Counter(
        target
        for origin, target, from_id, _, _ in seeded.portal.relations.store.pairs()
        if origin == "0-3" and from_id == deal and target not in ("0-1", "0-2")
    )
    assert sum(activities.values()) == 263
    assert set(activities) == {"0-46", "0-47", "0-48", "0-49", "0-27"}


def test_every_email_is_reserved_for_examples(seeded: EmulatorServer) -> None:
    assert all(record["email"].endswith("@example.com") for record in seeded.records("contacts"))


def test_seeding_over_http_takes_sizes_and_an_empty_portal(emulator: EmulatorServer, api: httpx.Client) -> None:
    sizes = {"seed": 1, "contacts": 20, "companies": 3, "deals": 2, "same_timestamp": 5, "merged": 1, "archived": 1}
    made = api.post("/_emulator/seed", json=sizes)
    assert (made.status_code, made.json()["contacts"], made.json()["deals"]) == (201, 18, 2)
    assert api.post("/_emulator/seed", json=sizes).status_code == 400


def test_seeded_records_are_found_at_once(emulator: EmulatorServer, api: httpx.Client) -> None:
    emulator.behaviour.search_lag_seconds = 30
    emulator.seed(1, contacts=20, deals=0, same_timestamp=0)
    assert emulator.behaviour.search_lag_seconds == 30
    assert api.post("/crm/v3/objects/contacts/search", json={}).json()["total"] == len(emulator.records("contacts"))
