"""Associations: both directions, labels, primary companies, paging, and what they do not touch."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from hubspot_emulator import EmulatorServer

V4 = "/crm/v4/associations"
UNLABELLED = {"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 279}


def make(api: httpx.Client, type_: str, **properties: str) -> str:
    answer = api.post(f"/crm/v3/objects/{type_}", json={"properties": properties})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def link(api: httpx.Client, origin: str, id_: str, target: str, other: str) -> None:
    answer = api.put(f"/crm/v4/objects/{origin}/{id_}/associations/default/{target}/{other}")
    assert answer.status_code == 200, answer.text


def types_of(api: httpx.Client, origin: str, id_: str, target: str) -> dict[str, set[int]]:
    rows = api.get(f"/crm/v4/objects/{origin}/{id_}/associations/{target}").json()["results"]
    return {row["toObjectId"]: {type_["typeId"] for type_ in row["associationTypes"]} for row in rows}


@pytest.fixture
def contact(api: httpx.Client) -> str:
    return make(api, "contacts", email="a@example.com")


@pytest.fixture
def company(api: httpx.Client) -> str:
    return make(api, "companies", name="Example")


@pytest.mark.parametrize(("numbers", "kind"), [(False, str), (True, int)])
def test_ids_of_associations_are_text_or_numbers_by_switch(
    emulator: EmulatorServer, api: httpx.Client, contact: str, company: str, numbers: bool, kind: type
) -> None:
    assert not emulator.behaviour.association_ids_are_numbers
    emulator.behaviour.association_ids_are_numbers = numbers
    one, many = f"objects/contacts/{contact}/associations", "contacts/companies/batch"
    pair = {"from": {"id": contact}, "to": {"id": company}, "types": [UNLABELLED]}
    for v4, dated in (("/crm/v4", False), ("/crm", True)):
        path = one.replace("objects/", "objects/2026-03/") if dated else one
        root = "/crm/associations/2026-03" if dated else V4
        answers = [
            api.put(f"{v4}/{path}/companies/{company}", json=[UNLABELLED]).json(),
            api.get(f"{v4}/{path}/companies").json()["results"][0],
            api.post(f"{root}/{many}/create", json={"inputs": [pair]}).json()["results"][0],
            api.post(f"{root}/{many}/read", json={"inputs": [{"id": contact}]}).json()["results"][0]["to"][0],
        ]
        wanted = str if dated else kind
        assert [answer["toObjectId"] for answer in answers] == [wanted(company)] * 4
        assert [answers[0]["fromObjectId"], answers[2]["fromObjectId"]] == [wanted(contact)] * 2


@pytest.mark.parametrize("root", ["/crm/v4/objects", "/crm/objects/2026-03"])
def test_both_path_shapes_associate(api: httpx.Client, contact: str, company: str, root: str) -> None:
    api.put(f"{root}/contacts/{contact}/associations/default/companies/{company}")
    assert 279 in types_of(api, "contacts", contact, "companies")[company]
    assert 280 in types_of(api, "companies", company, "contacts")[contact]
    assert api.delete(f"{root}/contacts/{contact}/associations/companies/{company}").status_code == 204
    assert types_of(api, "companies", company, "contacts") == {}


def test_an_association_moves_no_modified_date(
    emulator: EmulatorServer, api: httpx.Client, contact: str, company: str
) -> None:
    before = api.get(f"/crm/v3/objects/contacts/{contact}").json()
    emulator.clock.advance(60)
    link(api, "contacts", contact, "companies", company)
    assert api.get(f"/crm/v3/objects/contacts/{contact}").json() == before


def test_the_first_company_is_the_primary_one(
    emulator: EmulatorServer, api: httpx.Client, contact: str, company: str
) -> None:
    second = make(api, "companies", name="Second")
    link(api, "contacts", contact, "companies", company)
    link(api, "companies", second, "contacts", contact)
    assert types_of(api, "contacts", contact, "companies") == {company: {279, 1}, second: {279}}
    api.put(
        f"/crm/v4/objects/contacts/{contact}/associations/companies/{second}",
        json=[{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 1}],
    )
    assert types_of(api, "contacts", contact, "companies") == {company: {279}, second: {279, 1}}
    emulator.behaviour.first_company_is_primary = False
    other = make(api, "contacts", email="b@example.com")
    link(api, "contacts", other, "companies", company)
    assert types_of(api, "contacts", other, "companies") == {company: {279}}


def test_in_line_the_same_id_comes_once_per_type(api: httpx.Client, contact: str, company: str) -> None:
    link(api, "contacts", contact, "companies", company)
    body = api.get(f"/crm/v3/objects/contacts/{contact}?associations=companies,deals").json()
    rows = body["associations"]["companies"]["results"]
    assert rows == [
        {"id": company, "type": "contact_to_company_unlabeled"},
        {"id": company, "type": "contact_to_company"},
    ]
    assert "deals" not in body["associations"]


def test_lists_show_associations_in_line(api: httpx.Client, contact: str, company: str) -> None:
    link(api, "contacts", contact, "companies", company)
    page = api.get("/crm/v3/objects/contacts?associations=companies").json()
    assert page["results"][0]["associations"]["companies"]["results"][0]["id"] == company


def test_in_line_associations_are_cut_with_a_link(emulator: EmulatorServer, api: httpx.Client) -> None:
    emulator.seed(1, contacts=10, companies=300, deals=0, same_timestamp=0, merged=0, archived=0)
    last = emulator.records("contacts")[-1]["hs_object_id"]
    inline = api.get(f"/crm/v3/objects/contacts/{last}?associations=companies").json()["associations"]["companies"]
    assert len(inline["results"]) == 100
    assert inline["paging"]["next"]["after"]
    seen: list[str] = []
    after = "0"
    for _ in range(10):
        page = api.get(f"/crm/v4/objects/contacts/{last}/associations/companies?limit=90&after={after}").json()
        seen += [row["toObjectId"] for row in page["results"]]
        if "paging" not in page:
            break
        after = page["paging"]["next"]["after"]
    assert len(seen) == len(set(seen)) == 300


def test_a_batch_read_pages_each_record(emulator: EmulatorServer, api: httpx.Client, company: str) -> None:
    emulator.reset()
    emulator.seed(1, contacts=2, companies=600, deals=0, crowded_associations=600, same_timestamp=0, merged=0)
    last = emulator.records("contacts")[-1]["hs_object_id"]
    first = api.post(f"{V4}/contacts/companies/batch/read", json={"inputs": [{"id": last}]}).json()["results"][0]
    after = first["paging"]["next"]["after"]
    body = {"inputs": [{"id": last, "after": after}]}
    second = api.post(f"{V4}/contacts/companies/batch/read", json=body).json()["results"][0]
    assert (len(first["to"]), len(second["to"])) == (500, 100)
    assert "paging" not in second


def test_none_found_is_an_error_in_a_207(api: httpx.Client, contact: str) -> None:
    answer = api.post(f"{V4}/contacts/companies/batch/read", json={"inputs": [{"id": contact}, {"id": "404404"}]})
    body = answer.json()
    assert (answer.status_code, body["results"], body["numErrors"]) == (207, [], 2)
    assert body["errors"][0]["category"] == "OBJECT_NOT_FOUND"
    assert body["errors"][0]["subCategory"] == "crm.associations.NO_ASSOCIATIONS_FOUND"
    assert body["errors"][0]["context"]["fromObjectId"] == [contact]


@pytest.mark.parametrize(("verb", "limit"), [("read", 1_000), ("create", 2_000)])
def test_batch_limits(api: httpx.Client, contact: str, company: str, verb: str, limit: int) -> None:
    one: dict[str, Any] = {"from": {"id": contact}, "to": {"id": company}, "types": [UNLABELLED]}
    if verb == "read":
        one = {"id": contact}
    path = f"{V4}/contacts/companies/batch/{verb}"
    assert api.post(path, json={"inputs": [one] * limit}).status_code in (200, 201, 207)
    assert api.post(path, json={"inputs": [one] * (limit + 1)}).status_code == 400


def test_an_unknown_record_fails_its_own_input_only(api: httpx.Client, contact: str, company: str) -> None:
    inputs = [{"from": {"id": contact}, "to": {"id": other}, "types": [UNLABELLED]} for other in (company, "404404")]
    answer = api.post(f"{V4}/contacts/companies/batch/create", json={"inputs": inputs})
    assert (answer.status_code, len(answer.json()["results"]), answer.json()["numErrors"]) == (207, 1, 1)


def test_an_unknown_type_fails_the_batch(api: httpx.Client, contact: str, company: str) -> None:
    types = [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 4}]
    inputs = [{"from": {"id": contact}, "to": {"id": company}, "types": types}]
    assert api.post(f"{V4}/contacts/companies/batch/create", json={"inputs": inputs}).status_code == 400
    assert types_of(api, "contacts", contact, "companies") == {}


def test_default_associations_in_a_batch(api: httpx.Client, contact: str, company: str) -> None:
    inputs = [{"from": {"id": contact}, "to": {"id": company}}]
    answer = api.post(f"{V4}/contacts/companies/batch/associate/default", json={"inputs": inputs})
    assert answer.status_code == 200
    specs = {row["associationSpec"]["associationTypeId"] for row in answer.json()["results"]}
    assert specs == {279, 280}


def test_a_label_is_made_used_renamed_and_removed(api: httpx.Client, contact: str, company: str) -> None:
    labels = f"{V4}/contacts/companies/labels"
    made = api.post(labels, json={"label": "Advisor", "name": "advisor", "inverseLabel": "Advised by"})
    assert made.status_code == 200
    there, back = (row["typeId"] for row in made.json()["results"])
    spec = [{"associationCategory": "USER_DEFINED", "associationTypeId": there}]
    put = api.put(f"/crm/v4/objects/contacts/{contact}/associations/companies/{company}", json=spec)
    assert (put.status_code, put.json()["labels"]) == (201, ["Advisor"])
    assert {279, there} <= types_of(api, "contacts", contact, "companies")[company]
    assert back in types_of(api, "companies", company, "contacts")[contact]
    body = {"associationTypeId": there, "label": "Counsel", "inverseLabel": "Counselled by"}
    assert api.put(labels, json=body).status_code == 204
    assert "Counsel" in {row["label"] for row in api.get(labels).json()["results"]}
    assert api.delete(f"{labels}/{there}").status_code == 204
    assert there not in types_of(api, "contacts", contact, "companies")[company]
    assert api.delete(f"{labels}/279").status_code == 404


def test_one_label_is_taken_away_alone(api: httpx.Client, contact: str, company: str) -> None:
    link(api, "contacts", contact, "companies", company)
    types = [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 1}]
    inputs = [{"from": {"id": contact}, "to": {"id": company}, "types": types}]
    assert api.post(f"{V4}/contacts/companies/batch/labels/archive", json={"inputs": inputs}).status_code == 204
    assert types_of(api, "contacts", contact, "companies") == {company: {279}}


def test_archived_records_are_not_associated(api: httpx.Client, contact: str, company: str) -> None:
    link(api, "contacts", contact, "companies", company)
    api.delete(f"/crm/v3/objects/companies/{company}")
    assert types_of(api, "contacts", contact, "companies") == {}


def test_a_merge_moves_associations(api: httpx.Client, contact: str, company: str) -> None:
    link(api, "contacts", contact, "companies", company)
    winner = make(api, "contacts", email="w@example.com")
    body = {"primaryObjectId": winner, "objectIdToMerge": contact}
    api.post("/crm/v3/objects/contacts/merge", json=body)
    assert set(types_of(api, "companies", company, "contacts")) == {winner}
    assert company in types_of(api, "contacts", winner, "companies")


def test_records_of_one_type_associate_with_each_other(api: httpx.Client, contact: str) -> None:
    other = make(api, "contacts", email="b@example.com")
    link(api, "contacts", contact, "contacts", other)
    assert types_of(api, "contacts", contact, "contacts") == {other: {449}}
    assert types_of(api, "contacts", other, "contacts") == {contact: {449}}


def test_v3_batches_use_names(api: httpx.Client, contact: str, company: str) -> None:
    v3 = "/crm/v3/associations/contacts/companies"
    one = {"from": {"id": contact}, "to": {"id": company}, "type": "contact_to_company"}
    created = api.post(f"{v3}/batch/create", json={"inputs": [one]})
    assert (created.status_code, created.json()["results"][0]["type"]) == (201, "contact_to_company")
    read = api.post(f"{v3}/batch/read", json={"inputs": [{"id": contact}]}).json()["results"][0]
    assert {row["type"] for row in read["to"]} == {"contact_to_company", "contact_to_company_unlabeled"}
    assert {row["id"] for row in read["to"]} == {company}
    assert api.post(f"{v3}/batch/create", json={"inputs": [{**one, "type": "nope"}]}).status_code == 400
    assert api.post(f"{v3}/batch/archive", json={"inputs": [one]}).status_code == 204
    assert types_of(api, "contacts", contact, "companies") == {}
    assert {row["name"] for row in api.get(f"{v3}/types").json()["results"]} >= {"contact_to_company"}


def test_activities_associate_with_deals(api: httpx.Client) -> None:
    deal = make(api, "deals", dealname="x")
    for type_, type_id in (("notes", 214), ("calls", 206), ("emails", 210), ("meetings", 212), ("tasks", 216)):
        activity = make(api, type_, hs_timestamp="2026-03-01T00:00:00Z")
        link(api, type_, activity, "deals", deal)
        assert types_of(api, type_, activity, "deals") == {deal: {type_id}}
        assert set(types_of(api, "deals", deal, type_)) == {activity}


def test_a_merge_leaves_one_primary_company(api: httpx.Client, contact: str, company: str) -> None:
    winner, own = make(api, "contacts", email="w@example.com"), make(api, "companies", name="Own")
    link(api, "contacts", contact, "companies", company)
    link(api, "contacts", winner, "companies", own)
    api.post("/crm/v3/objects/contacts/merge", json={"primaryObjectId": winner, "objectIdToMerge": contact})
    assert types_of(api, "contacts", winner, "companies") == {company: {279}, own: {279, 1}}


def test_a_merged_id_associates_in_single_calls_and_not_in_batches(
    api: httpx.Client, contact: str, company: str
) -> None:
    gone = make(api, "contacts", email="b@example.com")
    api.post("/crm/v3/objects/contacts/merge", json={"primaryObjectId": contact, "objectIdToMerge": gone})
    pair = {"from": {"id": gone}, "to": {"id": company}}
    typed = {**pair, "types": [UNLABELLED], "type": "contact_to_company"}
    for path, status, one in (
        (f"{V4}/contacts/companies/batch/create", 207, typed),
        (f"{V4}/contacts/companies/batch/associate/default", 200, pair),
        ("/crm/v3/associations/contacts/companies/batch/create", 207, typed),
    ):
        answer = api.post(path, json={"inputs": [one]})
        assert (answer.status_code, answer.json()["errors"][0]["context"]["ids"]) == (status, [gone]), path
    to_gone = [{"to": {"id": gone}, "types": [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 280}]}]
    body = {"properties": {"name": "x"}, "associations": to_gone}
    assert api.post("/crm/v3/objects/companies/batch/create", json={"inputs": [body]}).status_code == 404
    assert types_of(api, "contacts", contact, "companies") == {}
    link(api, "contacts", gone, "companies", company)
    other = api.post("/crm/v3/objects/companies", json=body).json()["id"]
    assert set(types_of(api, "contacts", contact, "companies")) == {company, other}
