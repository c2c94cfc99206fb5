"""Associations in bulk: labels, paging, and what "none found" looks like."""

from __future__ import annotations

from typing import Any

import pytest

from crm_sync.hubspot import Association, AssociationType, Bucket, HubSpotClient, RetryRules
from crm_sync.hubspot.errors import MalformedAnswer
from hubspot_emulator import EmulatorServer
from tests.hubspot.live import add, associate
from tests.hubspot.wire import answer, wire

TOKEN = "pat-eu1-00000000-1111-2222-3333-secretsecret"
PLAIN = AssociationType("HUBSPOT_DEFINED", 4)


async def test_associations_of_many_records_come_in_one_call_with_their_labels(
    hubspot: HubSpotClient, emulator: EmulatorServer
) -> None:
    ann, bob, eve = (add(emulator, "contacts", email=f"{name}@x.com") for name in ("ann", "bob", "eve"))
    first, second = add(emulator, "deals", dealname="1"), add(emulator, "deals", dealname="2")
    associate(emulator, "contacts", ann, "deals", first, "Decision maker", "Billing")
    associate(emulator, "contacts", ann, "deals", second)
    associate(emulator, "contacts", bob, "deals", first)
    page = await hubspot.read_associations("contacts", "deals", dict.fromkeys((ann, bob, eve, "404404")))
    assert [one.to_id for one in page.found[ann]] == [first, second]
    assert {one.label for one in page.found[ann][0].types} == {None, "Decision maker", "Billing"}
    assert page.found[bob] == (Association(first, (PLAIN,)),)
    assert (page.found[eve], page.found["404404"]) == ((), ())
    assert (page.following, page.errors) == ({}, ())
    assert emulator.counts() == {"associations.batch_read contacts": 1}


async def test_association_paging_goes_on_where_it_ended(hubspot: HubSpotClient, emulator: EmulatorServer) -> None:
    big, small = add(emulator, "companies", name="Big"), add(emulator, "companies", name="Small")
    contacts = [add(emulator, "contacts", email=f"c{number}@x.com") for number in range(1_203)]
    for contact in contacts:
        associate(emulator, "companies", big, "contacts", contact)
    associate(emulator, "companies", small, "contacts", contacts[0])
    inputs: dict[str, str | None] = {big: None, small: None}
    found: dict[str, list[str]] = {big: [], small: []}
    calls = 0
    while inputs:
        page = await hubspot.read_associations("companies", "contacts", inputs)
        assert set(page.found) == set(inputs)
        for company, associations in page.found.items():
            found[company] += [one.to_id for one in associations]
        inputs = dict(page.following)
        calls += 1
    assert found == {big: contacts, small: contacts[:1]}
    assert calls == 3


async def test_a_thousand_ids_fit_into_a_call_and_no_more(hubspot: HubSpotClient, emulator: EmulatorServer) -> None:
    ids: dict[str, str | None] = {str(number): None for number in range(1, 1_001)}
    page = await hubspot.read_associations("contacts", "deals", ids)
    assert page.found == dict.fromkeys(ids, ())
    with pytest.raises(ValueError, match="at most 1000 ids, got 1001"):
        await hubspot.read_associations("contacts", "deals", {**ids, "1001": None})
    assert (await hubspot.read_associations("contacts", "deals", {})).found == {}
    assert len(emulator.calls()) == 1


async def test_ids_are_text_though_hubspot_writes_numbers(hubspot: HubSpotClient, emulator: EmulatorServer) -> None:
    emulator.behaviour.association_ids_are_numbers = True
    ann, deal = add(emulator, "contacts", email="ann@x.com"), add(emulator, "deals", dealname="1")
    associate(emulator, "contacts", ann, "deals", deal)
    page = await hubspot.read_associations("contacts", "deals", {ann: None})
    assert page.found == {ann: (Association(deal, (PLAIN,)),)}


async def test_the_types_between_two_object_types_have_labels_and_names(
    hubspot: HubSpotClient, emulator: EmulatorServer
) -> None:
    ann, deal = add(emulator, "contacts", email="ann@x.com"), add(emulator, "deals", dealname="1")
    associate(emulator, "contacts", ann, "deals", deal, "Decision maker")
    plain, own = await hubspot.association_labels("contacts", "deals")
    assert plain == PLAIN
    assert (own.category, own.label) == ("USER_DEFINED", "Decision maker")
    names = await hubspot.association_type_names("contacts", "deals")
    assert names == {"contact_to_deal": 4, "decision_maker": own.type_id}
    (record,) = (await hubspot.list_page("contacts", associations=["deals"])).records
    assert {names[target.type_name] for target in record.associations["deals"].targets} == {4, own.type_id}


async def test_batches_of_associations_leave_the_burst_alone(hubspot: HubSpotClient, emulator: EmulatorServer) -> None:
    emulator.set_tier("free")
    for _ in range(30):
        await hubspot.read_associations("contacts", "deals", {"1": None})
    limits = hubspot.rate_limiter
    assert (limits.remaining(Bucket.ASSOCIATIONS), limits.remaining(Bucket.BURST)) == (70, 100)
    assert limits.daily_remaining == 250_000 - 30
    await hubspot.association_labels("contacts", "deals")
    await hubspot.association_type_names("contacts", "deals")
    assert (limits.remaining(Bucket.ASSOCIATIONS), limits.remaining(Bucket.BURST)) == (70, 98)


@pytest.mark.parametrize("kind", ["502-after", "cut", "truncated", "429-ten-secondly", "423"])
async def test_associations_are_read_again_after_a_passing_fault(
    hubspot: HubSpotClient, emulator: EmulatorServer, kind: str
) -> None:
    emulator.fault(kind, path="*/associations/*")
    assert (await hubspot.read_associations("contacts", "deals", {"1": None})).found == {"1": ()}
    assert hubspot.counts.repeated == 1


async def read(body: dict[str, Any], *ids: str) -> Any:
    async with (
        wire(answer(207, body)) as served,
        HubSpotClient(served.url, TOKEN, retries=RetryRules(scale=0)) as client,
    ):
        return await client.read_associations("contacts", "deals", dict.fromkeys(ids))


def target(to_id: object, *labels: str | None) -> dict[str, Any]:
    types = [{"category": "USER_DEFINED", "typeId": len(label or ""), "label": label} for label in labels]
    return {"toObjectId": to_id, "associationTypes": types}


async def test_association_paging_and_labels_the_same_id_once_per_label_is_one_association() -> None:
    rows = [
        {"from": {"id": "1"}, "to": [target("8", "a"), target(9, None), target(8, "bb", "a")]},
        {"from": {"id": 1}, "to": [target("9", "a")]},
    ]
    page = await read({"results": rows}, "1")
    assert {one.to_id: [type_.label for type_ in one.types] for one in page.found["1"]} == {
        "8": ["a", "bb"],
        "9": [None, "a"],
    }


async def test_none_found_is_empty_and_every_other_error_is_reported() -> None:
    none = {
        "category": "OBJECT_NOT_FOUND",
        "subCategory": "crm.associations.NO_ASSOCIATIONS_FOUND",
        "message": "No deal",
    }
    broken = {"category": "INTERNAL_ERROR", "message": "Oh", "context": {"fromObjectId": ["3"]}}
    results = [{"from": {"id": "1"}, "to": [target("8", None)]}]
    named = await read({"results": results, "errors": [{**none, "context": {"fromObjectId": ["2"]}}, broken]}, *"1234")
    assert set(named.found) == {"1", "2"}, "nothing is known about 3 and 4"
    assert named.found["2"] == ()
    assert [(error.category, error.ids) for error in named.errors] == [("INTERNAL_ERROR", ("3",))]
    unnamed = await read({"results": results, "errors": [none, broken]}, *"1234")
    assert {record_id: len(found) for record_id, found in unnamed.found.items()} == {"1": 1, "2": 0, "4": 0}


MALFORMED: dict[str, dict[str, Any]] = {
    "no results": {},
    "no from": {"results": [{"to": []}]},
    "a from without an id": {"results": [{"from": {}, "to": []}]},
    "no to": {"results": [{"from": {"id": "1"}}]},
    "a target without an id": {"results": [{"from": {"id": "1"}, "to": [{"associationTypes": []}]}]},
    "a target without types": {"results": [{"from": {"id": "1"}, "to": [{"toObjectId": "8"}]}]},
    "a type without a number": {
        "results": [{"from": {"id": "1"}, "to": [{"toObjectId": "8", "associationTypes": [{}]}]}]
    },
    "errors of another shape": {"results": [], "errors": ["oh"]},
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED.keys())
async def test_associations_of_another_shape_are_malformed(body: dict[str, Any]) -> None:
    with pytest.raises(MalformedAnswer, match="another shape"):
        await read(body, "1")


async def test_types_of_another_shape_are_malformed() -> None:
    for body in (
        {},
        {"results": [{"name": "x"}]},
        {"results": [{"id": "y", "name": "x", "category": "z", "typeId": "w"}]},
    ):
        async with (
            wire(answer(200, body)) as served,
            HubSpotClient(served.url, TOKEN, retries=RetryRules(scale=0)) as client,
        ):
            with pytest.raises(MalformedAnswer, match="another shape"):
                await client.association_labels("contacts", "deals")
            with pytest.raises(MalformedAnswer, match="another shape"):
                await client.association_type_names("contacts", "deals")
