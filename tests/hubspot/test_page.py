"""Lists, history and in-line associations: what a whole read of an object type is made of."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from crm_sync.hubspot import LIST_URL_CHARACTERS, SEARCH_BODY_CHARACTERS, HubSpotClient, InlineAssociation, RetryRules
from crm_sync.hubspot.errors import MalformedAnswer, Rejected, ValidationFailed
from crm_sync.hubspot.objects import Record
from hubspot_emulator import EmulatorServer
from tests.hubspot.live import add, associate, define
from tests.hubspot.wire import answer, wire

TOKEN = "pat-eu1-00000000-1111-2222-3333-secretsecret"


async def test_a_list_pages_through_all_records_in_the_order_of_their_ids(
    hubspot: HubSpotClient, emulator: EmulatorServer
) -> None:
    made = [add(emulator, "contacts", email=f"c{number}@x.com") for number in range(5)]
    found, after = [], None
    for _ in range(3):
        page = await hubspot.list_page("contacts", properties=["email", "firstname"], limit=2, after=after)
        found += page.records
        after = page.after
    assert [record.id for record in found] == made
    assert after is None
    assert found[0].properties["email"] == "c0@x.com"
    assert found[0].properties["firstname"] is None
    assert (found[0].archived, found[0].archived_at, found[0].history, found[0].associations) == (False, None, {}, {})


async def test_archived_records_come_on_request_and_say_since_when(
    hubspot: HubSpotClient, emulator: EmulatorServer
) -> None:
    gone = add(emulator, "deals", dealname="gone")
    add(emulator, "deals", dealname="here")
    emulator.clock.freeze(datetime(2026, 3, 1, 12, tzinfo=UTC))
    with emulator.account.lock:
        table = emulator.portal.table("deals")
        emulator.portal.archive(table, table.records[int(gone)])
    (record,) = (await hubspot.list_page("deals", archived=True)).records
    assert (record.id, record.archived, record.archived_at) == (gone, True, datetime(2026, 3, 1, 12, tzinfo=UTC))
    assert gone not in {one.id for one in (await hubspot.list_page("deals")).records}


async def test_history_comes_newest_first_from_a_list_and_from_a_batch(
    hubspot: HubSpotClient, emulator: EmulatorServer
) -> None:
    began_at = datetime(2026, 3, 1, tzinfo=UTC)
    emulator.clock.freeze(began_at)
    deal = add(emulator, "deals", dealname="x", pipeline="default", dealstage="appointmentscheduled")
    for stage in ("qualifiedtobuy", "closedwon"):
        emulator.clock.advance(3600)
        await hubspot.update("deals", deal, {"dealstage": stage})
    (listed,) = (await hubspot.list_page("deals", history=["dealstage", "closed_lost_reason"], limit=50)).records
    (read,) = (await hubspot.batch_read("deals", [deal], history=["dealstage"])).results
    for record in (listed, read):
        versions = record.history["dealstage"]
        assert [version.value for version in versions] == ["closedwon", "qualifiedtobuy", "appointmentscheduled"]
        assert [version.at for version in versions] == [began_at + timedelta(hours=hours) for hours in (2, 1, 0)]
        assert (versions[0].source_type, versions[0].source_id) == ("INTEGRATION", "0")
        assert set(record.history) == {"dealstage"}


async def test_with_history_pages_and_batches_are_of_fifty(hubspot: HubSpotClient, emulator: EmulatorServer) -> None:
    with pytest.raises(ValidationFailed):
        await hubspot.list_page("deals", history=["dealstage"], limit=51)
    with pytest.raises(ValueError, match="at most 50 inputs"):
        await hubspot.batch_read("deals", [str(number) for number in range(51)], history=["dealstage"])
    assert len(emulator.calls()) == 1


async def test_associations_come_in_line_by_object_type(hubspot: HubSpotClient, emulator: EmulatorServer) -> None:
    ann, deal = add(emulator, "contacts", email="ann@x.com"), add(emulator, "deals", dealname="x")
    associate(emulator, "contacts", ann, "deals", deal, "Decision maker")
    (record,) = (await hubspot.list_page("contacts", associations=["deals", "companies"])).records
    assert set(record.associations) == {"deals"}
    deals = record.associations["deals"]
    assert deals.targets == (InlineAssociation(deal, "contact_to_deal"), InlineAssociation(deal, "decision_maker"))
    assert not deals.cut


async def test_association_paging_in_line_ends_after_a_hundred_and_says_so(
    hubspot: HubSpotClient, emulator: EmulatorServer
) -> None:
    company = add(emulator, "companies", name="Big")
    for number in range(120):
        note = add(emulator, "notes", hs_timestamp="2026-03-01T00:00:00Z", hs_note_body=str(number))
        associate(emulator, "companies", company, "notes", note)
    (record,) = (await hubspot.list_page("companies", associations=["notes"])).records
    assert (len(record.associations["notes"].targets), record.associations["notes"].cut) == (100, True)


async def test_custom_objects_are_named_in_full_in_line(hubspot: HubSpotClient, emulator: EmulatorServer) -> None:
    with emulator.account.lock:
        properties = [{"name": "title", "label": "Title", "type": "string", "fieldType": "text"}]
        labels = {"singular": "Membership", "plural": "Memberships"}
        schema = emulator.account.schemas.create({"name": "membership", "labels": labels, "properties": properties})
        name = str(schema.table.type.fully_qualified_name)
    ann, membership = add(emulator, "contacts", email="ann@x.com"), add(emulator, name, title="gold")
    associate(emulator, "contacts", ann, name, membership)
    (record,) = (await hubspot.list_page("contacts", associations=[name])).records
    assert [target.id for target in record.associations[name].targets] == [membership]
    (listed,) = (await hubspot.list_page(name, properties=["title"])).records
    assert listed.properties["title"] == "gold"


@pytest.mark.parametrize(("letters", "fits"), [(12, True), (60, False)])
async def test_a_hundred_records_of_three_hundred_properties_are_read_either_way(
    hubspot: HubSpotClient, emulator: EmulatorServer, letters: int, fits: bool
) -> None:
    """In one call where the address allows, otherwise the ids first and the properties by batch."""
    names = [f"p{number:03d}".ljust(letters, "x") for number in range(300)]
    define(emulator, "contacts", *names)
    values = {name: f"value of {name}" for name in names}
    made = [add(emulator, "contacts", email=f"c{number}@x.com", **values) for number in range(100)]
    length = hubspot.list_url_length("contacts", properties=names)
    assert (length <= LIST_URL_CHARACTERS) == fits
    if fits:
        records = (await hubspot.list_page("contacts", properties=names)).records
    else:
        with pytest.raises(Rejected) as caught:
            await hubspot.list_page("contacts", properties=names)
        assert caught.value.status == 414
        ids = [record.id for record in (await hubspot.list_page("contacts")).records]
        records = (await hubspot.batch_read("contacts", ids, properties=names)).results
    assert sorted(record.id for record in records) == sorted(made)
    assert all({name: record.properties[name] for name in names} == values for record in records)


async def test_the_longest_address_that_is_told_to_fit_does(hubspot: HubSpotClient) -> None:
    room = LIST_URL_CHARACTERS - hubspot.list_url_length("contacts", properties=["x"], archived=True, limit=10)
    page = await hubspot.list_page("contacts", properties=["x" * (room + 1)], archived=True, limit=10)
    assert page.records == ()


async def test_a_search_body_fits_to_the_character(hubspot: HubSpotClient) -> None:
    filters = [{"propertyName": "lastname", "operator": "EQ", "value": "Ł€é"}]
    taken = hubspot.search_body_length("contacts", filters, properties=[""], sort="-email", after="2")
    longest = "x" * (SEARCH_BODY_CHARACTERS - taken)
    assert (await hubspot.search("contacts", filters, properties=[longest], sort="-email", after="2")).records == ()
    with pytest.raises(ValidationFailed, match="3000 characters"):
        await hubspot.search("contacts", filters, properties=[f"{longest}x"], sort="-email", after="2")


async def test_hubspots_time_is_that_of_its_latest_good_answer_and_runs_on(
    hubspot: HubSpotClient, emulator: EmulatorServer
) -> None:
    began_at = datetime(2020, 2, 29, 23, 59, 59, 900_000, tzinfo=UTC)
    emulator.clock.freeze(began_at)
    assert hubspot.hubspot_time is None
    await hubspot.list_page("contacts")
    first = hubspot.hubspot_time
    assert first is not None
    assert timedelta(0) < began_at - first < timedelta(seconds=1), "whole seconds, rounded down"
    await asyncio.sleep(0.01)
    assert timedelta(seconds=0.01) <= hubspot.hubspot_time - first < timedelta(seconds=5)
    emulator.clock.advance(3600)
    await hubspot.list_page("contacts")
    moved = hubspot.hubspot_time - first
    assert abs(moved - timedelta(hours=1)) < timedelta(seconds=1)


@pytest.mark.parametrize(
    "spoiled",
    [
        answer(502, b"<html>", "Date: Sun, 01 Mar 2026 00:00:00 GMT"),
        answer(200, b"<html>", "Date: Sun, 01 Mar 2026 00:00:00 GMT"),
        answer(404, {}, "Date: Sun, 01 Mar 2026 00:00:00 GMT"),
        answer(200, {"results": []}, "Date: soon"),
        answer(200, {"results": []}),
    ],
)
async def test_the_clock_of_a_proxy_and_no_clock_at_all_are_not_hubspots_time(spoiled: bytes) -> None:
    async with wire(spoiled) as served, HubSpotClient(served.url, TOKEN, retries=RetryRules(max_attempts=1)) as client:
        await asyncio.gather(client.list_page("contacts"), return_exceptions=True)
        assert client.hubspot_time is None


MALFORMED: dict[str, dict[str, Any]] = {
    "no results": {},
    "results of another shape": {"results": 7},
    "no id": {"results": [{"properties": {}}]},
    "an id that is none": {"results": [{"id": {}, "properties": {}}]},
    "an empty id": {"results": [{"id": "", "properties": {}}]},
    "a time that is none": {"results": [{"id": "1", "createdAt": "yesterday"}]},
    "properties as a list": {"results": [{"id": "1", "properties": [["a", "b"]]}]},
    "history without a time": {"results": [{"id": "1", "propertiesWithHistory": {"a": [{"value": "b"}]}}]},
    "history as a list": {"results": [{"id": "1", "propertiesWithHistory": [1]}]},
    "associations without results": {"results": [{"id": "1", "associations": {"deals": {}}}]},
    "an association without an id": {"results": [{"id": "1", "associations": {"deals": {"results": [{"type": "x"}]}}}]},
    "paging of another shape": {"results": [], "paging": {"next": "2"}},
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED.keys())
async def test_a_page_of_another_shape_is_malformed(body: dict[str, Any]) -> None:
    async with (
        wire(answer(200, body)) as served,
        HubSpotClient(served.url, TOKEN, retries=RetryRules(scale=0)) as client,
    ):
        with pytest.raises(MalformedAnswer, match="another shape"):
            await client.list_page("contacts")


def test_what_a_record_lacks_is_nothing() -> None:
    empty = Record.of({"id": 7, "propertiesWithHistory": None, "associations": {}, "properties": None})
    assert empty == Record("7", {})
    with_history = Record.of(
        {"id": "7", "propertiesWithHistory": {"a": [{"value": None, "timestamp": "2026-03-01T00:00:00Z"}]}}
    )
    (version,) = with_history.history["a"]
    assert (version.value, version.at, version.source_type) == (None, datetime(2026, 3, 1, tzinfo=UTC), None)
    naive = Record.of({"id": "7", "createdAt": "2026-03-01T00:00:00"})
    assert naive.created_at == datetime(2026, 3, 1, tzinfo=UTC)
