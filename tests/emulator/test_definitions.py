"""What is defined beside records: properties, groups, custom objects, pipelines, owners, forms, e-mail events."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from hubspot_emulator import EmulatorServer

PROPERTIES = "/crm/v3/properties/contacts"
TEXT = {"name": "note_x", "label": "X", "type": "string", "fieldType": "text", "groupName": "contactinformation"}
SCHEMA: dict[str, Any] = {
    "name": "memberships",
    "labels": {"singular": "Membership", "plural": "Memberships"},
    "properties": [
        {"name": "level", "label": "Level", "type": "string", "fieldType": "text"},
        {"name": "external_key", "label": "Key", "type": "string", "fieldType": "text", "hasUniqueValue": True},
    ],
    "requiredProperties": ["level"],
    "searchableProperties": ["level"],
    "primaryDisplayProperty": "level",
    "associatedObjects": ["CONTACT"],
}


@pytest.mark.parametrize("root", ["/crm/v3/properties", "/crm/properties/2026-03"])
def test_a_property_lives_under_both_paths(api: httpx.Client, root: str) -> None:
    assert api.post(f"{root}/contacts", json=TEXT).status_code == 201
    assert api.get(f"{root}/contacts/note_x").json()["label"] == "X"
    assert api.patch(f"{root}/contacts/note_x", json={"label": "Y"}).json()["label"] == "Y"
    assert api.delete(f"{root}/contacts/note_x").status_code == 204
    assert api.get(f"{root}/contacts/note_x").status_code == 404
    assert api.get(f"{root}/contacts/note_x?archived=true").json()["archived"] is True


def test_a_property_that_exists_is_a_409(api: httpx.Client) -> None:
    api.post(PROPERTIES, json=TEXT)
    answer = api.post(PROPERTIES, json=TEXT)
    assert (answer.status_code, answer.json()["category"]) == (409, "CONFLICT")


@pytest.mark.parametrize(
    "change",
    [
        {"name": "With Space"},
        {"name": ""},
        {"type": "enumeration", "fieldType": "text"},
        {"type": "enumeration", "fieldType": "select"},
        {"groupName": "nowhere"},
        {"options": [{"label": "x"}], "type": "enumeration", "fieldType": "select"},
        {"hasUniqueValue": "yes"},
    ],
)
def test_a_definition_that_cannot_be_is_a_400(api: httpx.Client, change: dict[str, Any]) -> None:
    assert api.post(PROPERTIES, json={**TEXT, **change}).status_code == 400


def test_what_hubspot_defined_stays(api: httpx.Client) -> None:
    assert api.delete(f"{PROPERTIES}/email").status_code == 400
    assert api.patch(f"{PROPERTIES}/email", json={"fieldType": "textarea"}).status_code == 400


def test_an_archived_property_takes_no_values(api: httpx.Client) -> None:
    api.post(PROPERTIES, json=TEXT)
    api.delete(f"{PROPERTIES}/note_x")
    answer = api.post("/crm/v3/objects/contacts", json={"properties": {"note_x": "1"}})
    assert answer.json()["errors"][0]["code"] == "PROPERTY_DOESNT_EXIST"


def test_a_unique_property_refuses_a_second_holder(api: httpx.Client) -> None:
    api.post(PROPERTIES, json={**TEXT, "name": "key", "hasUniqueValue": True})
    first = api.post("/crm/v3/objects/contacts", json={"properties": {"key": "k1"}}).json()["id"]
    assert api.post("/crm/v3/objects/contacts", json={"properties": {"key": "k1"}}).status_code == 409
    assert api.get("/crm/v3/objects/contacts/k1?idProperty=key").json()["id"] == first


def test_a_calculated_property_is_read_only(api: httpx.Client) -> None:
    body = {**TEXT, "name": "sum", "type": "number", "fieldType": "calculation_equation"}
    assert api.post(PROPERTIES, json=body).json()["calculated"] is True
    answer = api.post("/crm/v3/objects/contacts", json={"properties": {"sum": "1"}})
    assert answer.json()["errors"][0]["code"] == "READ_ONLY_VALUE"


def test_properties_in_batches(api: httpx.Client) -> None:
    inputs = [{**TEXT, "name": f"batch_{number}"} for number in range(3)]
    assert api.post(f"{PROPERTIES}/batch/create", json={"inputs": inputs}).status_code == 201
    again = api.post(f"{PROPERTIES}/batch/create", json={"inputs": [*inputs, {**TEXT, "name": "batch_9"}]})
    assert (again.status_code, again.json()["numErrors"], len(again.json()["results"])) == (207, 3, 1)
    names = [{"name": "batch_0"}, {"name": "nope"}]
    read = api.post(f"{PROPERTIES}/batch/read", json={"inputs": names, "archived": False})
    assert (read.status_code, len(read.json()["results"])) == (207, 1)
    assert api.post(f"{PROPERTIES}/batch/archive", json={"inputs": names}).status_code == 204
    assert api.get(f"{PROPERTIES}/batch_0").status_code == 404


def test_property_groups(api: httpx.Client) -> None:
    groups = f"{PROPERTIES}/groups"
    assert api.post(groups, json={"name": "extra", "label": "Extra"}).status_code == 201
    assert api.post(groups, json={"name": "extra", "label": "Extra"}).status_code == 409
    assert api.patch(f"{groups}/extra", json={"label": "More"}).json()["label"] == "More"
    api.post(PROPERTIES, json={**TEXT, "groupName": "extra"})
    assert api.delete(f"{groups}/extra").status_code == 400
    api.delete(f"{PROPERTIES}/note_x")
    assert api.delete(f"{groups}/extra").status_code == 204
    assert "extra" not in {one["name"] for one in api.get(groups).json()["results"]}


# custom objects


@pytest.mark.parametrize(
    "root", ["/crm-object-schemas/v3/schemas", "/crm-object-schemas/2026-03/schemas", "/crm/v3/schemas"]
)
def test_a_custom_object_goes_by_type_id_full_name_and_short_name(api: httpx.Client, root: str) -> None:
    schema = api.post(root, json=SCHEMA).json()
    assert schema["fullyQualifiedName"] == "p20260301_memberships"
    made = api.post("/crm/v3/objects/p_memberships", json={"properties": {"level": "gold"}}).json()["id"]
    for name in (schema["objectTypeId"], schema["fullyQualifiedName"]):
        record = api.get(f"/crm/v3/objects/{name}/{made}?properties=level").json()
        assert record["properties"]["level"] == "gold"
    assert api.get("/crm/v3/objects/memberships").status_code == 400


def test_required_properties_are_required(api: httpx.Client) -> None:
    api.post("/crm/v3/schemas", json=SCHEMA)
    answer = api.post("/crm/v3/objects/p_memberships", json={"properties": {}})
    assert (answer.status_code, answer.json()["errors"][0]["context"]["propertyName"]) == (400, ["level"])


def test_custom_objects_are_searched_upserted_and_associated(api: httpx.Client) -> None:
    api.post("/crm/v3/schemas", json=SCHEMA)
    one = {"id": "m-1", "idProperty": "external_key", "properties": {"level": "gold"}}
    made = api.post("/crm/v3/objects/p_memberships/batch/upsert", json={"inputs": [one]}).json()["results"][0]
    assert made["new"] is True
    found = api.post("/crm/v3/objects/p_memberships/search", json={"query": "gold"}).json()
    assert [record["id"] for record in found["results"]] == [made["id"]]
    contact = api.post("/crm/v3/objects/contacts", json={"properties": {"email": "a@example.com"}}).json()["id"]
    path = f"/crm/v4/objects/contacts/{contact}/associations"
    assert api.put(f"{path}/default/p_memberships/{made['id']}").status_code == 200
    assert api.get(f"{path}/p_memberships").json()["results"][0]["toObjectId"] == made["id"]


def test_a_schema_with_records_stays(api: httpx.Client) -> None:
    api.post("/crm/v3/schemas", json=SCHEMA)
    made = api.post("/crm/v3/objects/p_memberships", json={"properties": {"level": "gold"}}).json()["id"]
    assert api.delete("/crm/v3/schemas/p_memberships").status_code == 400
    api.delete(f"/crm/v3/objects/p_memberships/{made}")
    assert api.delete("/crm/v3/schemas/p_memberships").status_code == 204
    assert api.get("/crm/v3/schemas").json()["results"] == []
    assert api.get("/crm/v3/objects/p_memberships").status_code == 400


def test_a_refused_schema_leaves_nothing_behind(api: httpx.Client) -> None:
    assert api.post("/crm/v3/schemas", json={**SCHEMA, "requiredProperties": ["nope"]}).status_code == 400
    assert api.get("/crm/v3/objects/p_memberships").status_code == 400
    assert api.post("/crm/v3/schemas", json=SCHEMA).status_code == 201
    assert api.post("/crm/v3/schemas", json=SCHEMA).status_code == 409


def test_a_schema_is_changed_and_associated(api: httpx.Client) -> None:
    api.post("/crm/v3/schemas", json=SCHEMA)
    path = "/crm/v3/schemas/p_memberships"
    changed = api.patch(path, json={"labels": {"plural": "Members"}, "requiredProperties": []}).json()
    assert (changed["labels"]["plural"], changed["requiredProperties"]) == ("Members", [])
    definition = {"fromObjectTypeId": "p_memberships", "toObjectTypeId": "0-3", "name": "membership_to_deal"}
    made = api.post(f"{path}/associations", json=definition)
    assert made.status_code == 201
    assert "membership_to_deal" in {one["name"] for one in api.get(path).json()["associations"]}
    assert api.delete(f"{path}/associations/{made.json()['id']}").status_code == 204


# pipelines


@pytest.mark.parametrize("root", ["/crm/v3/pipelines", "/crm/pipelines/2026-03"])
def test_a_pipeline_has_a_life(api: httpx.Client, root: str) -> None:
    stage = {"label": "Open", "displayOrder": 0, "metadata": {"isClosed": "false", "probability": "0.5"}}
    made = api.post(f"{root}/deals", json={"label": "Renewals", "displayOrder": 1, "stages": [stage]})
    assert made.status_code == 201
    id_, stage_id = made.json()["id"], made.json()["stages"][0]["id"]
    deal = {"properties": {"dealname": "x", "pipeline": id_, "dealstage": stage_id}}
    assert api.post("/crm/v3/objects/deals", json=deal).status_code == 201
    assert api.delete(f"{root}/deals/{id_}").status_code == 409
    assert api.delete(f"{root}/deals/{id_}/stages/{stage_id}").status_code == 409
    assert api.patch(f"{root}/deals/{id_}", json={"label": "Renewed"}).json()["label"] == "Renewed"
    second = api.post(f"{root}/deals/{id_}/stages", json={**stage, "label": "Late"}).json()["id"]
    changed = api.patch(f"{root}/deals/{id_}/stages/{second}", json={"label": "Later"}).json()
    assert (changed["label"], changed["metadata"]["probability"]) == ("Later", "0.5")
    assert api.delete(f"{root}/deals/{id_}/stages/{second}").status_code == 204
    assert len(api.get(f"{root}/deals/{id_}/stages").json()["results"]) == 1
    assert api.post(f"{root}/deals", json={"label": "Renewed", "displayOrder": 1, "stages": []}).status_code == 409


def test_a_stage_belongs_to_its_own_pipeline(api: httpx.Client) -> None:
    stage = {"label": "Open", "displayOrder": 0}
    made = api.post("/crm/v3/pipelines/deals", json={"label": "R", "displayOrder": 1, "stages": [stage]}).json()
    deal = {"properties": {"dealname": "x", "pipeline": made["id"], "dealstage": "closedwon"}}
    answer = api.post("/crm/v3/objects/deals", json=deal)
    assert answer.json()["errors"][0]["code"] == "INVALID_OPTION"


# owners, forms, e-mail events


def test_owners_come_in_pages_by_email_and_by_either_id(emulator: EmulatorServer, api: httpx.Client) -> None:
    made = [emulator.portal.owners.add(f"o{number}@example.com", "O", str(number)) for number in range(4)]
    first = api.get("/crm/v3/owners?limit=3").json()
    rest = api.get(f"/crm/owners/2026-03?limit=3&after={first['paging']['next']['after']}").json()
    assert len(first["results"]) + len(rest["results"]) == 5
    assert [one["id"] for one in api.get("/crm/v3/owners/?email=o2@example.com").json()["results"]] == [made[2]["id"]]
    by_user = api.get(f"/crm/v3/owners/{made[0]['userId']}?idProperty=userId").json()
    assert by_user == api.get(f"/crm/v3/owners/{made[0]['id']}").json()
    assert api.get("/crm/v3/owners/404404").status_code == 404


def test_submissions_come_newest_first_fifty_a_page_without_a_contact_id(
    emulator: EmulatorServer, api: httpx.Client
) -> None:
    form = emulator.portal.forms.add("Sign-up", 0)["id"]
    for number in range(60):
        emulator.portal.forms.submit(form, {"email": f"u{number}@example.com"}, number)
    path = f"/form-integrations/v1/submissions/forms/{form}"
    first = api.get(f"{path}?limit=50").json()
    rest = api.get(f"{path}?limit=50&after={first['paging']['next']['after']}").json()
    times = [one["submittedAt"] for one in first["results"] + rest["results"]]
    assert times == list(range(59, -1, -1))
    assert all(set(one) == {"conversionId", "submittedAt", "values", "pageUrl"} for one in first["results"])
    assert api.get(f"{path}?limit=51").status_code == 400
    assert api.get("/form-integrations/v1/submissions/forms/nope").status_code == 404
    assert [one["id"] for one in api.get("/marketing/v3/forms/").json()["results"]] == [form]


def test_the_official_client_reads_a_form(emulator: EmulatorServer) -> None:
    import hubspot

    form = emulator.portal.forms.add("Sign-up", 0)
    client = hubspot.Client.create(access_token=emulator.token, host=emulator.url)
    page = client.marketing.forms.forms_api.get_page()
    assert page.results[0].id == form["id"]
    assert page.results[0].field_groups[0].fields[0].name == "email"


def test_email_events_page_by_offset_and_time(emulator: EmulatorServer, api: httpx.Client) -> None:
    for number in range(25):
        recipient = f"u{number % 2}@example.com"
        emulator.portal.email_events.add("OPEN", recipient, 1_000 * number, portal_id=emulator.portal.id)
    events: list[dict[str, Any]] = []
    offset, more = "", True
    for _ in range(10):
        if not more:
            break
        page = api.get(f"/email/public/v1/events?limit=10&offset={offset}").json()
        events, offset, more = events + page["events"], page["offset"], page["hasMore"]
    assert [event["created"] for event in events] == [1_000 * number for number in range(24, -1, -1)]
    window = api.get("/email/public/v1/events?startTimestamp=5000&endTimestamp=7000").json()["events"]
    assert [event["created"] for event in window] == [7_000, 6_000, 5_000]
    of_one = api.get("/email/public/v1/events?recipient=u1@example.com&eventType=OPEN").json()["events"]
    assert len(of_one) == 12
    assert api.get("/email/public/v1/events?limit=1001").status_code == 400


def test_the_offset_of_email_events_is_opaque_and_short_lived(emulator: EmulatorServer, api: httpx.Client) -> None:
    for number in range(3):
        emulator.portal.email_events.add("OPEN", "a@example.com", number, portal_id=emulator.portal.id)
    path = "/email/public/v1/events?limit=1"
    offset = api.get(path).json()["offset"]
    assert api.get(f"{path}&offset={offset}").json()["events"][0]["created"] == 1
    assert api.get(f"{path}&offset=1").status_code == 400
    emulator.clock.advance(301)
    assert api.get(f"{path}&offset={offset}").status_code == 400
    emulator.behaviour.event_offset_lives_seconds = 0
    assert api.get(f"{path}&offset={offset}").json()["events"][0]["created"] == 1


def test_owners_are_archived_and_go(emulator: EmulatorServer, api: httpx.Client) -> None:
    owners = emulator.portal.owners
    left, gone = (owners.add(f"o{number}@example.com", "O", str(number))["id"] for number in range(2))
    owners.change(left, 1_000, archived=True)
    owners.remove(gone)
    assert [one["id"] for one in api.get("/crm/v3/owners?archived=true").json()["results"]] == [left]
    assert len(api.get("/crm/v3/owners").json()["results"]) == 1
    assert owners.add("next@example.com", "N", "N")["id"] not in (left, gone)


def test_forms_change_and_go_with_their_submissions(emulator: EmulatorServer, api: httpx.Client) -> None:
    forms = emulator.portal.forms
    kept, gone = (forms.add(f"Form {number}", 0)["id"] for number in range(2))
    forms.submit(gone, {"email": "a@example.com"}, 0)
    forms.change(kept, 1_000, name="Renamed")
    forms.remove(gone)
    (listed,) = api.get("/marketing/v3/forms").json()["results"]
    assert (listed["name"], listed["updatedAt"]) == ("Renamed", "1970-01-01T00:00:01.000Z")
    assert api.get(f"/form-integrations/v1/submissions/forms/{gone}").status_code == 404


def test_a_submission_sent_with_an_earlier_time_stands_where_that_is(
    emulator: EmulatorServer, api: httpx.Client
) -> None:
    form = emulator.portal.forms.add("Sign-up", 0)["id"]
    for at_ms in (1_000, 3_000, 2_000):
        emulator.portal.forms.submit(form, {"email": "a@example.com"}, at_ms)
    listed = api.get(f"/form-integrations/v1/submissions/forms/{form}").json()["results"]
    assert [one["submittedAt"] for one in listed] == [3_000, 2_000, 1_000]
