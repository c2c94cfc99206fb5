"""One suite through both official clients, against the emulator, or against a real portal.

With `HUBSPOT_TEST_TOKEN` set the same tests run on that token's portal instead: everything they make carries a name
of its own, and is archived at the end. Use a developer test account. With `CI` set it is ignored.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from uuid import uuid4

import pytest

from hubspot_emulator import EmulatorServer
from tests.emulator.official_clients import CLIENTS, ClientError, Json, OfficialClient, SdkClient

_REAL_TOKEN = None if os.environ.get("CI") else os.environ.get("HUBSPOT_TEST_TOKEN")
_REAL_URL = "https://api.hubapi.com"
_CONTACT_TO_COMPANY = {"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 279}


class Namespace:
    """Records and properties of one test, named so that they cannot be anyone else's, and removed after it."""

    def __init__(self, client: OfficialClient) -> None:
        self.client = client
        self.word = f"jl{uuid4().hex[:12]}"
        self._undo: list[Callable[[], object]] = []

    def email(self, name: str) -> str:
        return f"{name}.{self.word}@example.com"

    def contact(self, name: str, **properties: str) -> Json:
        values = {"email": self.email(name), "firstname": name.capitalize(), "lastname": self.word, **properties}
        return self.record("contacts", values)

    def record(self, type_: str, properties: dict[str, str], associations: list[Json] | None = None) -> Json:
        record = self.client.create(type_, properties, associations or [])
        self.remove_after(lambda: self.client.archive(type_, record["id"]))
        return record

    def made(self, type_: str, answer: Json | None) -> list[Json]:
        assert answer is not None
        for result in answer["results"]:
            self.remove_after(lambda id_=result["id"]: self.client.archive(type_, id_))
        return answer["results"]

    def remove_after(self, undo: Callable[[], object]) -> None:
        self._undo.append(undo)

    def clean(self) -> None:
        for undo in reversed(self._undo):
            with suppress(ClientError):
                undo()


@pytest.fixture(params=list(CLIENTS))
def client(request: pytest.FixtureRequest) -> OfficialClient:
    make = CLIENTS[request.param]
    if _REAL_TOKEN:
        return make(_REAL_URL, _REAL_TOKEN)
    emulator: EmulatorServer = request.getfixturevalue("emulator")
    return make(emulator.url, emulator.token)


@pytest.fixture
def space(client: OfficialClient) -> Iterator[Namespace]:
    namespace = Namespace(client)
    yield namespace
    namespace.clean()


def eventually(look: Callable[[], bool], seconds: float = 60) -> None:
    """Real search lags behind; the emulator's first look must be right."""
    end = time.monotonic() + (seconds if _REAL_TOKEN else 0)
    while not look():
        assert time.monotonic() < end, "not seen in time"
        time.sleep(2)


def search_request(name: str, value: str, **more: object) -> Json:
    filters = [{"propertyName": name, "operator": "EQ", "value": value}]
    return {
        "filterGroups": [{"filters": filters}],
        "sorts": [{"propertyName": "hs_object_id", "direction": "ASCENDING"}],
        "properties": ["email", "firstname"],
        "limit": 10,
        "after": "0",
        **more,
    }


def test_a_contact_is_created_and_read_back(client: OfficialClient, space: Namespace) -> None:
    made = space.contact("ada", phone="+1 555 0100")
    read = client.get("contacts", made["id"], properties=["email", "phone"])
    assert read["properties"]["email"] == space.email("ada")
    assert read["properties"]["phone"] == "+1 555 0100"
    assert read["properties"]["hs_object_id"] == read["id"] == made["id"]
    assert {"createdate", "lastmodifieddate"} <= set(read["properties"])


def test_a_contact_is_read_by_its_email(client: OfficialClient, space: Namespace) -> None:
    made = space.contact("bea")
    read = client.get("contacts", space.email("bea"), id_property="email", properties=["email"])
    assert read["id"] == made["id"]


def test_an_update_changes_what_it_names(client: OfficialClient, space: Namespace) -> None:
    made = space.contact("cyd")
    client.update("contacts", made["id"], {"firstname": "Changed"})
    read = client.get("contacts", made["id"], properties=["email", "firstname", "lastname"])
    assert (read["properties"]["firstname"], read["properties"]["lastname"]) == ("Changed", space.word)


def test_an_archived_contact_is_found_among_the_archived_only(client: OfficialClient, space: Namespace) -> None:
    made = space.contact("dan")
    client.archive("contacts", made["id"])
    with pytest.raises(ClientError) as missing:
        client.get("contacts", made["id"])
    assert missing.value.status == 404
    assert client.get("contacts", made["id"], archived=True, properties=["email"])["archived"] is True


def test_emails_come_back_in_lower_case(client: OfficialClient, space: Namespace) -> None:
    made = space.contact("eve", email=space.email("EVE").upper())
    assert client.get("contacts", made["id"], properties=["email"])["properties"]["email"] == space.email("eve")


def test_a_second_contact_with_an_email_is_a_conflict(client: OfficialClient, space: Namespace) -> None:
    made = space.contact("fay")
    with pytest.raises(ClientError) as conflict:
        client.create("contacts", {"email": space.email("fay").upper()})
    assert conflict.value.status == 409
    assert conflict.value.body["category"] == "CONFLICT"
    assert made["id"] in conflict.value.body["message"]


@pytest.mark.parametrize(
    ("properties", "code"),
    [
        ({"no_such_property": "x"}, "PROPERTY_DOESNT_EXIST"),
        ({"email": "not-an-email"}, "INVALID_EMAIL"),
        ({"hs_object_id": "1"}, "READ_ONLY_VALUE"),
        ({"lifecyclestage": "No Such Stage"}, "INVALID_OPTION"),
    ],
)
def test_a_refused_value_says_which_and_why(client: OfficialClient, properties: dict[str, str], code: str) -> None:
    with pytest.raises(ClientError) as refused:
        client.create("contacts", properties)
    assert refused.value.status == 400
    assert refused.value.body["category"] == "VALIDATION_ERROR"
    assert refused.value.body["errors"][0]["code"] == code
    assert refused.value.body["errors"][0]["context"]["propertyName"] == list(properties)


def test_pages_follow_each_other(client: OfficialClient, space: Namespace) -> None:
    made = {space.contact(f"page{number}")["id"] for number in range(3)}
    first = client.page("contacts", limit=2, properties=["email", "firstname", "lastname"])
    assert len(first["results"]) == 2
    seen = {record["id"] for record in first["results"]}
    after = first["paging"]["next"]["after"]
    if not _REAL_TOKEN:
        rest = client.page("contacts", limit=2, after=after, properties=["email"])
        assert seen | {record["id"] for record in rest["results"]} == made


def test_history_lists_the_newest_version_first(client: OfficialClient, space: Namespace) -> None:
    made = space.contact("gus")
    client.update("contacts", made["id"], {"firstname": "Second"})
    read = client.get("contacts", made["id"], properties=["email"], properties_with_history=["firstname"])
    values = [version["value"] for version in read["propertiesWithHistory"]["firstname"]]
    assert values == ["Second", "Gus"]


def test_search_finds_by_email(client: OfficialClient, space: Namespace) -> None:
    made = space.contact("hal")

    def found() -> bool:
        answer = client.search("contacts", search_request("email", space.email("hal")))
        return [record["id"] for record in answer["results"]] == [made["id"]] and answer["total"] == 1

    eventually(found)


def test_search_pages_with_after(client: OfficialClient, space: Namespace) -> None:
    made = [space.contact(f"ivy{number}")["id"] for number in range(3)]

    def found() -> bool:
        first = client.search("contacts", search_request("lastname", space.word, limit=2))
        if first["total"] != 3:
            return False
        after = first["paging"]["next"]["after"]
        second = client.search("contacts", search_request("lastname", space.word, limit=2, after=after))
        return [record["id"] for record in first["results"] + second["results"]] == made

    eventually(found)


def test_batch_create_read_update_archive(client: OfficialClient, space: Namespace) -> None:
    inputs = [
        {"properties": {"email": space.email(f"kim{number}"), "firstname": "Kim"}, "associations": []}
        for number in range(5)
    ]
    ids = [record["id"] for record in space.made("contacts", client.batch("contacts", "create", {"inputs": inputs}))]
    update = {"inputs": [{"id": id_, "properties": {"firstname": "Lea"}} for id_ in ids]}
    updated = client.batch("contacts", "update", update)
    assert updated is not None
    assert {record["properties"]["firstname"] for record in updated["results"]} == {"Lea"}
    read = client.batch(
        "contacts",
        "read",
        {"inputs": [{"id": id_} for id_ in ids], "properties": ["firstname"], "propertiesWithHistory": []},
    )
    assert read is not None
    assert {record["id"] for record in read["results"]} == set(ids)
    client.batch("contacts", "archive", {"inputs": [{"id": id_} for id_ in ids]})
    for id_ in ids:
        with pytest.raises(ClientError):
            client.get("contacts", id_)


def test_an_upsert_says_what_is_new(client: OfficialClient, space: Namespace) -> None:
    known = space.contact("lou")
    inputs = [
        {"id": space.email(name), "idProperty": "email", "properties": {"firstname": "Upserted"}}
        for name in ("lou", "moe")
    ]
    results = space.made("contacts", client.batch("contacts", "upsert", {"inputs": inputs}))
    new = {record["properties"]["email"]: record["new"] for record in results}
    assert new == {space.email("lou"): False, space.email("moe"): True}
    assert known["id"] in {record["id"] for record in results}


def test_one_invalid_input_fails_a_batch_without_trace_ids(client: OfficialClient, space: Namespace) -> None:
    inputs = [
        {"id": space.email("ned"), "idProperty": "email", "properties": {"firstname": "Ned"}},
        {"id": "not-an-email", "idProperty": "email", "properties": {"firstname": "Bad"}},
    ]
    with pytest.raises(ClientError) as refused:
        client.batch("contacts", "upsert", {"inputs": inputs})
    assert refused.value.status == 400
    with pytest.raises(ClientError):
        client.get("contacts", space.email("ned"), id_property="email")


def test_duplicate_ids_fail_a_batch(client: OfficialClient, space: Namespace) -> None:
    one = {"id": space.email("oda"), "idProperty": "email", "properties": {"firstname": "Oda"}}
    with pytest.raises(ClientError) as refused:
        client.batch("contacts", "upsert", {"inputs": [one, {**one, "id": one["id"].upper()}]})
    assert refused.value.status == 400


def test_more_than_a_hundred_inputs_fail_a_batch(client: OfficialClient, space: Namespace) -> None:
    inputs = [{"id": str(number)} for number in range(101)]
    body = {"inputs": inputs, "properties": ["email"], "propertiesWithHistory": []}
    with pytest.raises(ClientError) as refused:
        client.batch("contacts", "read", body)
    assert refused.value.status == 400


def test_a_merged_id_leads_to_the_record_it_became(client: OfficialClient, space: Namespace) -> None:
    winner, other = space.contact("pat"), space.contact("quy")
    merged = client.merge_contacts(winner["id"], other["id"])
    space.remove_after(lambda: client.archive("contacts", merged["id"]))
    assert client.get("contacts", other["id"], properties=["email"])["id"] == merged["id"]
    by_email = client.get("contacts", space.email("quy"), id_property="email", properties=["email"])
    assert by_email["id"] == merged["id"]


def test_a_contact_deleted_for_good_is_not_in_the_archive(client: OfficialClient, space: Namespace) -> None:
    made = space.contact("roy")
    client.delete_contact_for_good(made["id"])
    with pytest.raises(ClientError) as missing:
        client.get("contacts", made["id"])
    assert missing.value.status == 404


def test_associations_are_seen_from_both_sides(client: OfficialClient, space: Namespace) -> None:
    contact = space.contact("sue")
    company = space.record("companies", {"name": space.word, "domain": f"{space.word}.example.com"})
    client.associate("contacts", contact["id"], "companies", company["id"])
    there = client.associated("contacts", contact["id"], "companies")["results"]
    back = client.associated("companies", company["id"], "contacts")["results"]
    assert [row["toObjectId"] for row in there] == [company["id"]]
    assert 279 in {type_["typeId"] for type_ in there[0]["associationTypes"]}
    assert [row["toObjectId"] for row in back] == [contact["id"]]
    client.separate("contacts", contact["id"], "companies", company["id"])
    assert client.associated("companies", company["id"], "contacts")["results"] == []


def test_an_association_is_named_by_its_types(client: OfficialClient, space: Namespace) -> None:
    contact = space.contact("xia")
    company = space.record("companies", {"name": space.word, "domain": f"{space.word}.example.com"})
    primary = [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 1}]
    answer = client.associate_as("contacts", contact["id"], "companies", company["id"], primary)
    assert (answer["fromObjectId"], answer["toObjectId"]) == (contact["id"], company["id"])
    rows = client.associated("contacts", contact["id"], "companies")["results"]
    assert {type_["typeId"] for type_ in rows[0]["associationTypes"]} == {1, 279}


def test_associations_come_in_line_with_a_record(client: OfficialClient, space: Namespace) -> None:
    company = space.record("companies", {"name": space.word, "domain": f"{space.word}.example.com"})
    contact = space.record(
        "contacts",
        {"email": space.email("tim"), "firstname": "Tim", "lastname": space.word},
        [{"to": {"id": company["id"]}, "types": [_CONTACT_TO_COMPANY]}],
    )
    read = client.get("contacts", contact["id"], associations=["companies"], properties=["email"])
    rows = read["associations"]["companies"]["results"]
    assert {row["id"] for row in rows} == {company["id"]}
    assert all(row["type"].startswith("contact_to_company") for row in rows)


def test_association_batches_write_and_read(client: OfficialClient, space: Namespace) -> None:
    contacts = [space.contact(f"una{number}")["id"] for number in range(2)]
    deal = space.record("deals", {"dealname": space.word, "pipeline": "default", "dealstage": "qualifiedtobuy"})["id"]
    types = [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 4}]
    pairs = [{"from": {"id": id_}, "to": {"id": deal}, "types": types} for id_ in contacts]
    created = client.batch_associations("contacts", "deals", "create", {"inputs": pairs})
    assert created is not None
    assert {row["fromObjectId"] for row in created["results"]} == set(contacts)
    read = client.batch_associations("contacts", "deals", "read", {"inputs": [{"id": id_} for id_ in contacts]})
    assert read is not None
    assert {row["from"]["id"]: [to["toObjectId"] for to in row["to"]] for row in read["results"]} == {
        id_: [deal] for id_ in contacts
    }
    gone = [{"from": {"id": id_}, "to": [{"id": deal}]} for id_ in contacts]
    client.batch_associations("contacts", "deals", "archive", {"inputs": gone})
    assert client.associated("deals", deal, "contacts")["results"] == []


def test_labels_name_the_types_of_a_pair(client: OfficialClient) -> None:
    types = {row["typeId"]: row for row in client.labels("contacts", "companies")}
    assert {1, 279} <= set(types)
    assert types[1]["label"] == "Primary"


def test_a_label_is_made_and_removed(client: OfficialClient, space: Namespace) -> None:
    made = client.create_label("contacts", "companies", f"{space.word}_adviser", f"Adviser {space.word}")
    type_id = int(made[0]["typeId"])
    try:
        assert (made[0]["category"], made[0]["label"]) == ("USER_DEFINED", f"Adviser {space.word}")
        assert type_id in {row["typeId"] for row in client.labels("contacts", "companies")}
    finally:
        client.delete_label("contacts", "companies", type_id)
    assert type_id not in {row["typeId"] for row in client.labels("contacts", "companies")}


def test_a_property_is_defined_used_and_archived(client: OfficialClient, space: Namespace) -> None:
    name = f"{space.word}_level"
    body = {
        "name": name,
        "label": f"Level {space.word}",
        "type": "enumeration",
        "fieldType": "select",
        "groupName": "contactinformation",
        "options": [{"label": "High", "value": "high", "displayOrder": 0, "hidden": False}],
    }
    defined = client.define_property("contacts", body)
    space.remove_after(lambda: client.archive_property("contacts", name))
    assert defined["name"] == name
    with pytest.raises(ClientError) as taken:
        client.define_property("contacts", body)
    assert taken.value.status == 409
    assert name in {one["name"] for one in client.properties("contacts")}
    made = space.contact("vic", **{name: "high"})
    assert client.get("contacts", made["id"], properties=[name])["properties"][name] == "high"


def test_the_standard_properties_are_there(client: OfficialClient) -> None:
    email = client.property("contacts", "email")
    assert (email["type"], email["hubspotDefined"]) == ("string", True)
    assert "contactinformation" in {group["name"] for group in client.groups("contacts")}


def test_an_upsert_by_a_unique_property(client: OfficialClient, space: Namespace) -> None:
    name = f"{space.word}_key"
    body = {
        "name": name,
        "label": f"Key {space.word}",
        "type": "string",
        "fieldType": "text",
        "groupName": "contactinformation",
        "hasUniqueValue": True,
    }
    client.define_property("contacts", body)
    space.remove_after(lambda: client.archive_property("contacts", name))
    one = {"id": f"{space.word}-1", "idProperty": name, "properties": {"firstname": "Wes"}}
    first = space.made("contacts", client.batch("contacts", "upsert", {"inputs": [one]}))
    second = space.made("contacts", client.batch("contacts", "upsert", {"inputs": [one]}))
    assert (first[0]["new"], second[0]["new"]) == (True, False)
    assert first[0]["id"] == second[0]["id"]


def test_a_custom_object_has_a_schema_and_records(client: OfficialClient, space: Namespace) -> None:
    if _REAL_TOKEN:
        pytest.skip("custom objects need an enterprise account")
    schema = client.create_schema(
        {
            "name": space.word,
            "labels": {"singular": "Membership", "plural": "Memberships"},
            "properties": [{"name": "level", "label": "Level", "type": "string", "fieldType": "text"}],
            "requiredProperties": ["level"],
            "searchableProperties": ["level"],
            "secondaryDisplayProperties": [],
            "primaryDisplayProperty": "level",
            "associatedObjects": ["CONTACT"],
        }
    )
    assert schema["fullyQualifiedName"].endswith(f"_{space.word}")
    record = client.create(schema["objectTypeId"], {"level": "gold"})
    read = client.get(schema["fullyQualifiedName"], record["id"], properties=["level"])
    assert read["properties"]["level"] == "gold"
    assert client.schema(schema["objectTypeId"])["name"] == space.word
    client.archive(schema["objectTypeId"], record["id"])
    client.delete_schema(schema["objectTypeId"])


def test_deals_have_a_pipeline_with_stages(client: OfficialClient) -> None:
    pipelines = {one["id"]: one for one in client.pipelines("deals")}
    assert "closedwon" in {stage["id"] for stage in pipelines["default"]["stages"]}


def test_there_is_an_owner(client: OfficialClient) -> None:
    owners = client.owners()["results"]
    assert owners
    assert all(owner["type"] == "PERSON" for owner in owners)


def test_the_account_says_who_it_is_and_what_it_used(request: pytest.FixtureRequest) -> None:
    """Of the two clients only one knows these endpoints."""
    if _REAL_TOKEN:
        client = SdkClient(_REAL_URL, _REAL_TOKEN)
    else:
        emulator: EmulatorServer = request.getfixturevalue("emulator")
        client = SdkClient(emulator.url, emulator.token)
    assert client.account()["portalId"] > 0
    usage = client.daily_usage()
    assert all(one["currentUsage"] <= one["usageLimit"] for one in usage)
    assert usage


@pytest.mark.parametrize("type_", ["notes", "calls", "emails", "meetings", "tasks"])
def test_an_activity_needs_a_time(client: OfficialClient, space: Namespace, type_: str) -> None:
    at = "2026-03-01T12:00:00.000Z"
    extra = {"hs_email_direction": "EMAIL"} if type_ == "emails" else {}
    made = space.record(type_, {"hs_timestamp": at, **extra})
    assert client.get(type_, made["id"], properties=["hs_timestamp"])["properties"]["hs_timestamp"] == at
    with pytest.raises(ClientError) as refused:
        client.create(type_, {})
    assert refused.value.status == 400


@pytest.mark.parametrize("kind", ["truncated", "html"])
def test_a_spoiled_answer_does_not_pass_for_a_record(
    emulator: EmulatorServer, client: OfficialClient, space: Namespace, kind: str
) -> None:
    """The clients do look: what is no record is no answer to them."""
    if _REAL_TOKEN:
        pytest.skip("a real account has no faults to lay")
    made = space.contact("zoe")
    emulator.fault(kind, method="GET")
    with pytest.raises(Exception, match=r".") as refused:
        client.get("contacts", made["id"], properties=["email"])["properties"]
    assert not isinstance(refused.value, ClientError)
