"""Single records: create, get, update, archive, list, merge, purge."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import httpx
import pytest

from hubspot_emulator import EmulatorServer
from hubspot_emulator.objecttype import STANDARD_TYPES, ObjectType
from hubspot_emulator.portal import Portal

CONTACTS = "/crm/v3/objects/contacts"


def make(api: httpx.Client, type_: str = "contacts", **properties: str) -> str:
    answer = api.post(f"/crm/v3/objects/{type_}", json={"properties": properties})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


@pytest.mark.parametrize("name", ["contacts", "contact", "0-1", "CONTACTS"])
@pytest.mark.parametrize("root", ["/crm/v3/objects", "/crm/objects/2026-03"])
def test_a_type_goes_by_any_of_its_names_on_either_path(api: httpx.Client, root: str, name: str) -> None:
    id_ = make(api, email="a@example.com")
    assert api.get(f"{root}/{name}/{id_}").json()["properties"]["email"] == "a@example.com"


@pytest.mark.parametrize("root", ["/crm/v3/objects", "/crm/objects/2026-03"])
@pytest.mark.parametrize("type_", STANDARD_TYPES, ids=[type_.name for type_ in STANDARD_TYPES])
def test_every_type_has_the_whole_surface(api: httpx.Client, root: str, type_: ObjectType) -> None:
    path = f"{root}/{type_.name}"
    needed = dict.fromkeys(type_.required_properties, "2026-03-01T00:00:00Z")
    name = "email" if type_.has_email else type_.display_property
    value = "a@example.com" if type_.has_email else "Example"
    id_ = api.post(path, json={"properties": {**needed, name: value}}).json()["id"]
    for word in (type_.singular, type_.type_id):
        assert api.get(f"{root}/{word}/{id_}?properties={name}").json()["properties"][name] == value
    assert api.post(f"{path}/search", json={"query": value.split("@")[0]}).json()["total"] == 1
    batch = {"inputs": [{"id": id_, "properties": {name: value.upper()}}]}
    assert api.post(f"{path}/batch/update", json=batch).status_code == 200
    assert len(api.post(f"{path}/batch/read", json={"inputs": [{"id": id_}]}).json()["results"]) == 1
    other = api.post(f"{path}/batch/create", json={"inputs": [{"properties": needed}]}).json()["results"][0]["id"]
    merge = {"primaryObjectId": id_, "objectIdToMerge": other}
    assert api.post(f"{path}/merge", json=merge).json()["id"] == id_
    assert api.delete(f"{path}/{id_}").status_code == 204
    assert [one["id"] for one in api.get(f"{path}?archived=true").json()["results"]] == [id_]
    assert api.post(f"{path}/gdpr-delete", json={"objectId": id_}).status_code == 204
    assert api.get(f"{path}?archived=true").json()["results"] == []


@pytest.mark.parametrize("name", ["nothing", "2-999", "p20260301_nothing"])
def test_an_unknown_type_is_a_400(api: httpx.Client, name: str) -> None:
    answer = api.get(f"/crm/v3/objects/{name}")
    assert (answer.status_code, answer.json()["category"]) == (400, "VALIDATION_ERROR")


def test_array_parameters_may_be_repeated_or_comma_joined(api: httpx.Client) -> None:
    id_ = make(api, email="a@example.com", phone="1", city="Bern")
    repeated = api.get(f"{CONTACTS}/{id_}?properties=phone&properties=city").json()
    joined = api.get(f"{CONTACTS}/{id_}?properties=phone,city").json()
    assert repeated == joined
    assert repeated["properties"]["city"] == "Bern"


def test_the_id_and_both_dates_come_always_and_the_unset_as_null(api: httpx.Client) -> None:
    id_ = make(api, email="a@example.com")
    properties = api.get(f"{CONTACTS}/{id_}?properties=phone,no_such_property").json()["properties"]
    assert set(properties) == {"phone", "hs_object_id", "createdate", "lastmodifieddate"}
    assert properties["phone"] is None


def test_without_a_choice_the_default_properties_come(api: httpx.Client) -> None:
    id_ = make(api, "companies", name="Example", domain="example.com", city="Bern")
    properties = api.get(f"/crm/v3/objects/companies/{id_}").json()["properties"]
    assert set(properties) == {"name", "domain", "hs_object_id", "createdate", "hs_lastmodifieddate"}


def test_an_empty_string_clears(api: httpx.Client) -> None:
    id_ = make(api, email="a@example.com", phone="1")
    api.patch(f"{CONTACTS}/{id_}", json={"properties": {"phone": ""}})
    assert api.get(f"{CONTACTS}/{id_}?properties=phone").json()["properties"]["phone"] is None


def test_null_clears_as_well(api: httpx.Client) -> None:
    id_ = make(api, email="a@example.com", phone="1")
    api.patch(f"{CONTACTS}/{id_}", json={"properties": {"phone": None}})
    assert api.get(f"{CONTACTS}/{id_}?properties=phone").json()["properties"]["phone"] is None


@pytest.mark.parametrize(
    ("value", "taken"), [(1500, "1500"), (1.5, "1.5"), (True, "true"), (["x"], None), ({"x": "y"}, None)]
)
def test_values_are_strings(emulator: EmulatorServer, api: httpx.Client, value: object, taken: str | None) -> None:
    body = {"properties": {"phone": value}}
    answer = api.post(CONTACTS, json=body)
    assert (answer.status_code, answer.json()["category"]) == (400, "VALIDATION_ERROR")
    emulator.behaviour.accept_json_scalars = True
    answer = api.post(CONTACTS, json=body)
    assert answer.status_code == (400 if taken is None else 201)
    if taken is not None:
        assert answer.json()["properties"]["phone"] == taken


@pytest.mark.parametrize(
    ("type_", "property_", "value", "code"),
    [
        ("contacts", "email", "a@b", "INVALID_EMAIL"),
        ("contacts", "email", "a b@example.com", "INVALID_EMAIL"),
        ("contacts", "email", " a@example.com ", "LEADING_TRAILING_WHITESPACE"),
        ("contacts", "createdate", "2026-01-01", "READ_ONLY_VALUE"),
        ("contacts", "num_associated_deals", "3", "READ_ONLY_VALUE"),
        ("contacts", "lifecyclestage", "Lead", "INVALID_OPTION"),
        ("contacts", "nope", "x", "PROPERTY_DOESNT_EXIST"),
        ("deals", "amount", "many", "INVALID_LONG"),
        ("deals", "closedate", "soon", "INVALID_DATE"),
        ("deals", "dealstage", "nowhere", "INVALID_OPTION"),
        ("deals", "pipeline", "nowhere", "INVALID_OPTION"),
    ],
)
def test_a_refused_value_names_property_and_code(
    api: httpx.Client, type_: str, property_: str, value: str, code: str
) -> None:
    answer = api.post(f"/crm/v3/objects/{type_}", json={"properties": {property_: value}})
    assert answer.status_code == 400
    error = answer.json()["errors"][0]
    assert (error["code"], error["context"]) == (code, {"propertyName": [property_]})
    assert answer.json()["message"].startswith("Property values were not valid: [{")


def test_every_refused_value_is_listed(api: httpx.Client) -> None:
    answer = api.post(CONTACTS, json={"properties": {"email": "x", "nope": "y", "firstname": "fine"}})
    assert [error["code"] for error in answer.json()["errors"]] == ["INVALID_EMAIL", "PROPERTY_DOESNT_EXIST"]


@pytest.mark.parametrize(
    ("sent", "kept"), [("1772323200000", "2026-03-01"), ("2026-03-01", "2026-03-01"), ("1772323200001", None)]
)
def test_a_date_is_midnight_utc(api: httpx.Client, sent: str, kept: str | None) -> None:
    definition = {"name": "joined", "label": "Joined", "type": "date", "fieldType": "date"}
    api.post("/crm/v3/properties/contacts", json={**definition, "groupName": "contactinformation"})
    answer = api.post(CONTACTS, json={"properties": {"joined": sent}})
    if kept is None:
        assert answer.json()["errors"][0]["code"] == "INVALID_DATE"
    else:
        assert answer.json()["properties"]["joined"] == kept


def test_enumerations_take_values_and_not_labels(api: httpx.Client) -> None:
    assert make(api, lifecyclestage="salesqualifiedlead")
    answer = api.post(CONTACTS, json={"properties": {"lifecyclestage": "Salesqualifiedlead"}})
    assert answer.status_code == 400


def test_a_leading_semicolon_adds_to_checkboxes(api: httpx.Client) -> None:
    options = [{"label": value.title(), "value": value} for value in ("red", "blue", "green")]
    definition = {"name": "colours", "label": "Colours", "type": "enumeration", "fieldType": "checkbox"}
    body = {**definition, "groupName": "contactinformation", "options": options}
    assert api.post("/crm/v3/properties/contacts", json=body).status_code == 201
    id_ = make(api, colours="red;blue")
    for sent, kept in ((";green;red", "red;blue;green"), ("blue", "blue"), (";red", "blue;red"), ("", None)):
        api.patch(f"{CONTACTS}/{id_}", json={"properties": {"colours": sent}})
        assert api.get(f"{CONTACTS}/{id_}?properties=colours").json()["properties"]["colours"] == kept
    refused = api.patch(f"{CONTACTS}/{id_}", json={"properties": {"colours": ";pink"}})
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (400, "INVALID_OPTION")


def test_a_lifecycle_stage_goes_forward_only_and_silently(api: httpx.Client) -> None:
    id_ = make(api, email="a@example.com", lifecyclestage="opportunity")
    answer = api.patch(f"{CONTACTS}/{id_}", json={"properties": {"lifecyclestage": "lead", "phone": "1"}})
    assert answer.status_code == 200
    properties = api.get(f"{CONTACTS}/{id_}?properties=lifecyclestage,phone").json()["properties"]
    assert (properties["lifecyclestage"], properties["phone"]) == ("opportunity", "1")
    api.patch(f"{CONTACTS}/{id_}", json={"properties": {"lifecyclestage": ""}})
    api.patch(f"{CONTACTS}/{id_}", json={"properties": {"lifecyclestage": "lead"}})
    assert api.get(f"{CONTACTS}/{id_}?properties=lifecyclestage").json()["properties"]["lifecyclestage"] == "lead"


def test_a_taken_email_is_a_409_that_names_the_id(emulator: EmulatorServer, api: httpx.Client) -> None:
    id_ = make(api, email="a@example.com")
    answer = api.post(CONTACTS, json={"properties": {"email": "A@Example.com"}})
    assert answer.status_code == 409
    assert answer.json()["message"] == f"Contact already exists. Existing ID: {id_}"
    emulator.behaviour.conflict_names_existing_id = False
    assert id_ not in api.post(CONTACTS, json={"properties": {"email": "a@example.com"}}).json()["message"]


def test_changing_an_email_to_a_taken_one_is_a_409(api: httpx.Client) -> None:
    make(api, email="a@example.com")
    other = make(api, email="b@example.com")
    answer = api.patch(f"{CONTACTS}/{other}", json={"properties": {"email": "a@example.com"}})
    assert answer.status_code == 409


def test_an_email_that_was_changed_is_free_again(api: httpx.Client) -> None:
    id_ = make(api, email="a@example.com")
    api.patch(f"{CONTACTS}/{id_}", json={"properties": {"email": "new@example.com"}})
    assert api.get(f"{CONTACTS}/a@example.com?idProperty=email").status_code == 404
    assert make(api, email="a@example.com") != id_


def test_a_read_by_a_property_that_is_not_unique_is_a_400(api: httpx.Client) -> None:
    assert api.get(f"{CONTACTS}/x?idProperty=firstname").status_code == 400


@pytest.mark.parametrize("id_", ["999999", "abc", "-1", "99999999999999999999999"])
def test_an_unknown_id_is_a_404(api: httpx.Client, id_: str) -> None:
    answer = api.get(f"{CONTACTS}/{id_}")
    assert (answer.status_code, answer.json()["category"]) == (404, "OBJECT_NOT_FOUND")


@pytest.mark.parametrize(("silent", "status"), [(True, 204), (False, 404)])
def test_archiving_is_silent_when_there_is_nothing(
    emulator: EmulatorServer, api: httpx.Client, silent: bool, status: int
) -> None:
    assert emulator.behaviour.archive_missing_is_silent
    emulator.behaviour.archive_missing_is_silent = silent
    id_ = make(api, email="a@example.com")
    assert api.delete(f"{CONTACTS}/{id_}").status_code == 204
    assert [api.delete(f"{CONTACTS}/{gone}").status_code for gone in (id_, "999999")] == [status, status]


@pytest.mark.parametrize(("silent", "status"), [(False, 404), (True, 204)])
def test_a_gdpr_delete_of_nothing_is_silent_by_switch(
    emulator: EmulatorServer, api: httpx.Client, silent: bool, status: int
) -> None:
    assert not emulator.behaviour.gdpr_delete_missing_is_silent
    emulator.behaviour.gdpr_delete_missing_is_silent = silent
    assert api.post(f"{CONTACTS}/gdpr-delete", json={"objectId": "999999"}).status_code == status
    by_email = {"objectId": "nobody@example.com", "idProperty": "email"}
    assert api.post(f"{CONTACTS}/gdpr-delete", json=by_email).status_code == 204


def test_the_email_of_an_archived_contact_is_free(api: httpx.Client) -> None:
    first = make(api, email="a@example.com")
    api.delete(f"{CONTACTS}/{first}")
    assert make(api, email="a@example.com") != first


def test_archived_records_are_listed_on_request_only(api: httpx.Client) -> None:
    kept, gone = make(api, email="a@example.com"), make(api, email="b@example.com")
    api.delete(f"{CONTACTS}/{gone}")
    assert [one["id"] for one in api.get(CONTACTS).json()["results"]] == [kept]
    archived = api.get(f"{CONTACTS}?archived=true").json()["results"]
    assert [(one["id"], one["archived"]) for one in archived] == [(gone, True)]
    assert archived[0]["archivedAt"]


def test_archived_records_are_purged_after_ninety_days(emulator: EmulatorServer, api: httpx.Client) -> None:
    gone = make(api, email="a@example.com")
    api.delete(f"{CONTACTS}/{gone}")
    emulator.clock.advance(89 * 86_400)
    assert api.get(f"{CONTACTS}/{gone}?archived=true").status_code == 200
    emulator.clock.advance(2 * 86_400)
    assert api.get(f"{CONTACTS}/{gone}?archived=true").status_code == 404
    assert api.get(f"{CONTACTS}?archived=true").json()["results"] == []


def test_a_gdpr_delete_leaves_nothing(api: httpx.Client) -> None:
    id_ = make(api, email="a@example.com")
    answer = api.post(f"{CONTACTS}/gdpr-delete", json={"objectId": "a@example.com", "idProperty": "email"})
    assert answer.status_code == 204
    assert api.get(f"{CONTACTS}/{id_}").status_code == 404
    assert api.get(f"{CONTACTS}/{id_}?archived=true").status_code == 404


def test_a_list_has_pages_of_at_most_a_hundred(api: httpx.Client) -> None:
    ids = [make(api, email=f"u{number}@example.com") for number in range(5)]
    seen: list[str] = []
    after = "0"
    for _ in range(10):
        page = api.get(f"{CONTACTS}?limit=2&after={after}").json()
        seen += [one["id"] for one in page["results"]]
        if "paging" not in page:
            break
        after = page["paging"]["next"]["after"]
    assert seen == ids
    assert api.get(f"{CONTACTS}?limit=101").status_code == 400
    assert api.get(f"{CONTACTS}?limit=51&propertiesWithHistory=email").status_code == 400


def test_history_keeps_every_version_with_its_time(emulator: EmulatorServer, api: httpx.Client) -> None:
    emulator.clock.freeze(datetime(2026, 3, 1, tzinfo=UTC))
    id_ = make(api, email="a@example.com", phone="1")
    for value in ("2", ""):
        emulator.clock.advance(60)
        api.patch(f"{CONTACTS}/{id_}", json={"properties": {"phone": value}})
    versions = api.get(f"{CONTACTS}/{id_}?propertiesWithHistory=phone").json()["propertiesWithHistory"]["phone"]
    assert [(one["value"], one["timestamp"]) for one in versions] == [
        ("", "2026-03-01T00:02:00.000Z"),
        ("2", "2026-03-01T00:01:00.000Z"),
        ("1", "2026-03-01T00:00:00.000Z"),
    ]


def test_a_write_moves_the_modified_date(emulator: EmulatorServer, api: httpx.Client) -> None:
    id_ = make(api, email="a@example.com")
    before = api.get(f"{CONTACTS}/{id_}").json()["properties"]["lastmodifieddate"]
    emulator.clock.advance(1)
    api.patch(f"{CONTACTS}/{id_}", json={"properties": {"phone": "1"}})
    assert api.get(f"{CONTACTS}/{id_}").json()["properties"]["lastmodifieddate"] > before


@pytest.mark.parametrize("bumps", [True, False])
def test_writing_what_is_there_moves_the_date_by_switch(
    emulator: EmulatorServer, api: httpx.Client, bumps: bool
) -> None:
    emulator.behaviour.equal_write_bumps_modified = bumps
    id_ = make(api, email="a@example.com", phone="1")
    before = api.get(f"{CONTACTS}/{id_}").json()["updatedAt"]
    emulator.clock.advance(1)
    api.patch(f"{CONTACTS}/{id_}", json={"properties": {"phone": "1"}})
    assert (api.get(f"{CONTACTS}/{id_}").json()["updatedAt"] > before) is bumps


def test_contacts_and_other_types_name_their_modified_date_differently(api: httpx.Client) -> None:
    contact, deal = make(api, email="a@example.com"), make(api, "deals", dealname="x")
    assert "lastmodifieddate" in api.get(f"{CONTACTS}/{contact}").json()["properties"]
    assert "hs_lastmodifieddate" in api.get(f"/crm/v3/objects/deals/{deal}").json()["properties"]


@pytest.mark.parametrize("first", [951, 7_000_000_000])
def test_ids_of_different_types_may_be_equal(emulator: EmulatorServer, api: httpx.Client, first: int) -> None:
    assert emulator.behaviour.first_record_id == 951
    emulator.behaviour.first_record_id = first
    emulator.account.portal = Portal(clock=emulator.clock, behaviour=emulator.behaviour)
    assert make(api, email="a@example.com") == make(api, "deals", dealname="x") == str(first)


# merging


def merged(api: httpx.Client, winner: str, other: str, type_: str = "contacts") -> dict[str, object]:
    body = {"primaryObjectId": winner, "objectIdToMerge": other}
    answer = api.post(f"/crm/v3/objects/{type_}/merge", json=body)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_a_merged_id_resolves_in_single_calls_and_not_in_batches(api: httpx.Client) -> None:
    winner, other = make(api, email="a@example.com"), make(api, email="b@example.com")
    merged(api, winner, other)
    assert api.get(f"{CONTACTS}/{other}").json()["id"] == winner
    assert api.patch(f"{CONTACTS}/{other}", json={"properties": {"phone": "1"}}).json()["id"] == winner
    for verb, extra in (("read", {}), ("update", {"properties": {"phone": "2"}})):
        answer = api.post(f"{CONTACTS}/batch/{verb}", json={"inputs": [{"id": other, **extra}]})
        assert answer.status_code == 207
        assert answer.json()["errors"][0]["context"]["ids"] == [other]


def test_a_merge_keeps_the_primary_and_fills_its_gaps(api: httpx.Client) -> None:
    winner = make(api, email="a@example.com", firstname="Ada")
    other = make(api, email="b@example.com", firstname="Bea", phone="1", lifecyclestage="customer")
    merged(api, winner, other)
    chosen = "firstname,phone,lifecyclestage,hs_additional_emails,hs_merged_object_ids"
    properties = api.get(f"{CONTACTS}/{winner}?properties={chosen}").json()["properties"]
    assert (properties["firstname"], properties["phone"], properties["lifecyclestage"]) == ("Ada", "1", "customer")
    assert properties["hs_additional_emails"] == "b@example.com"
    assert properties["hs_merged_object_ids"] == other


@pytest.mark.parametrize(("keeps", "secondary"), [(False, None), (True, "a@example.com")])
def test_a_secondary_email_that_becomes_the_first_may_keep_the_former(
    emulator: EmulatorServer, api: httpx.Client, keeps: bool, secondary: str | None
) -> None:
    emulator.behaviour.promoted_email_keeps_former = keeps
    winner, other = make(api, email="a@example.com"), make(api, email="b@example.com")
    merged(api, winner, other)
    one = {"id": "b@example.com", "idProperty": "email", "properties": {"email": "b@example.com"}}
    assert api.post(f"{CONTACTS}/batch/upsert", json={"inputs": [one]}).json()["results"][0]["id"] == winner
    properties = api.get(f"{CONTACTS}/{winner}?properties=email,hs_additional_emails").json()["properties"]
    assert (properties["email"], properties["hs_additional_emails"]) == ("b@example.com", secondary)
    assert api.get(f"{CONTACTS}/b@example.com?idProperty=email").json()["id"] == winner
    assert api.get(f"{CONTACTS}/a@example.com?idProperty=email").status_code == (200 if keeps else 404)


def test_a_secondary_email_finds_the_contact_and_conflicts(api: httpx.Client) -> None:
    winner, other = make(api, email="a@example.com"), make(api, email="b@example.com")
    merged(api, winner, other)
    assert api.get(f"{CONTACTS}/b@example.com?idProperty=email").json()["id"] == winner
    answer = api.post(CONTACTS, json={"properties": {"email": "b@example.com"}})
    assert answer.status_code == 409
    assert winner in answer.json()["message"]


def test_a_merged_record_is_neither_listed_nor_archived(api: httpx.Client) -> None:
    winner, other = make(api, email="a@example.com"), make(api, email="b@example.com")
    merged(api, winner, other)
    assert [one["id"] for one in api.get(CONTACTS).json()["results"]] == [winner]
    assert api.get(f"{CONTACTS}?archived=true").json()["results"] == []


def test_merged_ids_resolve_through_a_chain(api: httpx.Client) -> None:
    first, second, third = (make(api, email=f"u{number}@example.com") for number in range(3))
    merged(api, second, first)
    merged(api, third, second)
    assert api.get(f"{CONTACTS}/{first}").json()["id"] == third


def test_a_merge_may_make_a_new_record_by_switch(emulator: EmulatorServer, api: httpx.Client) -> None:
    emulator.behaviour.merge_creates_record = True
    winner, other = make(api, "companies", name="A"), make(api, "companies", name="B")
    left = merged(api, winner, other, "companies")["id"]
    assert left not in (winner, other)
    for old in (winner, other):
        assert api.get(f"/crm/v3/objects/companies/{old}").json()["id"] == left


def test_a_record_does_not_merge_with_itself(api: httpx.Client) -> None:
    id_ = make(api, email="a@example.com")
    answer = api.post(f"{CONTACTS}/merge", json={"primaryObjectId": id_, "objectIdToMerge": id_})
    assert answer.status_code == 400


def test_a_stage_says_whether_a_deal_is_closed(api: httpx.Client) -> None:
    id_ = make(api, "deals", dealname="x", dealstage="closedwon")
    properties = api.get(f"/crm/v3/objects/deals/{id_}?properties=hs_is_closed,hs_is_closed_won,pipeline").json()
    assert properties["properties"]["hs_is_closed"] == properties["properties"]["hs_is_closed_won"] == "true"
    assert properties["properties"]["pipeline"] == "default"


def test_a_url_over_15000_characters_is_a_414(api: httpx.Client) -> None:
    names = ",".join(f"property_{number}" for number in range(1_500))
    assert api.get(f"{CONTACTS}?properties={names}").status_code == 414


def test_legacy_paths_can_be_switched_off() -> None:
    from hubspot_emulator import Behaviour

    with EmulatorServer(behaviour=Behaviour(legacy_paths=False)) as hubspot:
        headers = {"Authorization": f"Bearer {hubspot.token}"}
        with httpx.Client(base_url=hubspot.url, headers=headers) as api:
            assert api.get(CONTACTS).status_code == 404
            assert api.get("/crm/objects/2026-03/contacts").status_code == 200


def test_the_clock_is_the_portals(emulator: EmulatorServer, api: httpx.Client) -> None:
    at = datetime(2030, 1, 1, tzinfo=UTC)
    emulator.clock.freeze(at)
    emulator.clock.advance(timedelta(minutes=1).total_seconds())
    id_ = make(api, email="a@example.com")
    assert api.get(f"{CONTACTS}/{id_}").json()["createdAt"] == "2030-01-01T00:01:00.000Z"
