"""Batches: all or nothing, unless every input carries a trace id of its own."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from hubspot_emulator import EmulatorServer

BATCH = "/crm/v3/objects/contacts/batch"


def upsert(api: httpx.Client, *inputs: dict[str, Any]) -> httpx.Response:
    return api.post(f"{BATCH}/upsert", json={"inputs": list(inputs)})


def one(email: str, trace: str | None = None, /, **properties: str) -> dict[str, Any]:
    body: dict[str, Any] = {"id": email, "idProperty": "email", "properties": properties}
    return body if trace is None else {**body, "objectWriteTraceId": trace}


def count(emulator: EmulatorServer) -> int:
    return len(emulator.records("contacts"))


def test_results_are_not_in_input_order(api: httpx.Client) -> None:
    emails = [f"u{number}@example.com" for number in range(20)]
    results = upsert(api, *map(one, emails)).json()["results"]
    answered = [result["properties"]["email"] for result in results]
    assert sorted(answered) == sorted(emails)
    assert answered != emails


@pytest.mark.parametrize("size", range(2, 6))
def test_even_two_results_change_places(api: httpx.Client, size: int) -> None:
    emails = [f"u{number}@example.com" for number in range(size)]
    results = upsert(api, *map(one, emails)).json()["results"]
    assert [result["properties"]["email"] for result in results] != emails


def test_results_are_in_order_when_switched_so(emulator: EmulatorServer, api: httpx.Client) -> None:
    emulator.behaviour.shuffle_batch_results = False
    emails = [f"u{number}@example.com" for number in range(20)]
    results = upsert(api, *map(one, emails)).json()["results"]
    assert [result["properties"]["email"] for result in results] == emails


def test_emails_of_a_batch_come_back_in_lower_case(api: httpx.Client) -> None:
    results = upsert(api, one("ADA@Example.COM")).json()["results"]
    assert results[0]["properties"]["email"] == "ada@example.com"


def test_one_invalid_input_fails_all_without_trace_ids(emulator: EmulatorServer, api: httpx.Client) -> None:
    answer = upsert(api, *[one(f"u{number}@example.com") for number in range(99)], one("bad"))
    assert (answer.status_code, answer.json()["category"]) == (400, "VALIDATION_ERROR")
    assert answer.json()["errors"][0]["code"] == "INVALID_EMAIL"
    assert count(emulator) == 0


def test_trace_ids_make_a_batch_partial(emulator: EmulatorServer, api: httpx.Client) -> None:
    answer = upsert(api, one("a@example.com", "t1"), one("bad", "t2"), one("c@example.com", "t3", nope="x"))
    body = answer.json()
    assert (answer.status_code, body["numErrors"], len(body["results"])) == (207, 2, 1)
    assert {error["context"]["objectWriteTraceId"][0]: error["errors"][0]["code"] for error in body["errors"]} == {
        "t2": "INVALID_EMAIL",
        "t3": "PROPERTY_DOESNT_EXIST",
    }
    assert body["results"][0]["objectWriteTraceId"] == "t1"
    assert count(emulator) == 1


@pytest.mark.parametrize("traces", [("t1", "t1"), ("t1", None)])
def test_trace_ids_must_be_unique_and_on_every_input(
    emulator: EmulatorServer, api: httpx.Client, traces: tuple[str, str | None]
) -> None:
    answer = upsert(api, one("a@example.com", traces[0]), one("bad", traces[1]))
    assert answer.status_code == 400
    assert count(emulator) == 0


def test_trace_ids_do_nothing_when_switched_off(emulator: EmulatorServer, api: httpx.Client) -> None:
    emulator.behaviour.trace_ids_supported = False
    assert upsert(api, one("a@example.com", "t1"), one("bad", "t2")).status_code == 400
    assert count(emulator) == 0


def test_upserts_by_email_are_all_or_nothing_when_switched_so(emulator: EmulatorServer, api: httpx.Client) -> None:
    emulator.behaviour.email_upsert_may_be_partial = False
    assert upsert(api, one("a@example.com", "t1"), one("bad", "t2")).status_code == 400
    assert count(emulator) == 0


def test_a_conflict_fails_a_traced_batch_and_names_the_first_only(emulator: EmulatorServer, api: httpx.Client) -> None:
    upsert(api, one("a@example.com"), one("b@example.com"))
    holder = {record["email"]: record["hs_object_id"] for record in emulator.records("contacts")}
    emulator.behaviour.shuffle_batch_results = False
    inputs = [
        {"properties": {"email": email}, "objectWriteTraceId": email}
        for email in ("new@example.com", "b@example.com", "a@example.com")
    ]
    answer = api.post(f"{BATCH}/create", json={"inputs": inputs})
    assert answer.status_code == 409
    assert holder["b@example.com"] in answer.json()["message"]
    assert holder["a@example.com"] not in answer.json()["message"]
    assert count(emulator) == 2


def test_a_conflict_is_partial_when_switched_so(emulator: EmulatorServer, api: httpx.Client) -> None:
    emulator.behaviour.conflict_fails_batch = False
    upsert(api, one("a@example.com"))
    inputs = [
        {"properties": {"email": email}, "objectWriteTraceId": email} for email in ("new@example.com", "a@example.com")
    ]
    answer = api.post(f"{BATCH}/create", json={"inputs": inputs})
    assert answer.status_code == 207
    assert answer.json()["errors"][0]["category"] == "CONFLICT"
    assert count(emulator) == 2


def test_duplicate_ids_fail_all_even_with_trace_ids(emulator: EmulatorServer, api: httpx.Client) -> None:
    answer = upsert(api, one("a@example.com", "t1"), one("A@EXAMPLE.com", "t2"))
    assert answer.status_code == 400
    assert count(emulator) == 0


def test_two_inputs_for_one_record_are_duplicates(emulator: EmulatorServer, api: httpx.Client) -> None:
    upsert(api, one("a@example.com"), one("b@example.com"))
    ids = [record["hs_object_id"] for record in emulator.records("contacts")]
    merge = {"primaryObjectId": ids[0], "objectIdToMerge": ids[1]}
    api.post("/crm/v3/objects/contacts/merge", json=merge)
    pair = (one("a@example.com", "t1", phone="1"), one("b@example.com", "t2", phone="2"))
    assert upsert(api, *pair).status_code == 400
    assert "phone" not in emulator.records("contacts")[0]
    emulator.behaviour.duplicate_records_fail_batch = False
    answer = upsert(api, *pair)
    assert (answer.status_code, [row["id"] for row in answer.json()["results"]]) == (200, [ids[0]] * 2)
    assert [record["phone"] for record in emulator.records("contacts")] == ["2"]


def test_duplicate_ids_fail_an_update(api: httpx.Client) -> None:
    id_ = upsert(api, one("a@example.com")).json()["results"][0]["id"]
    inputs = [{"id": id_, "properties": {"phone": "1"}}, {"id": id_, "properties": {"phone": "2"}}]
    assert api.post(f"{BATCH}/update", json={"inputs": inputs}).status_code == 400


@pytest.mark.parametrize("verb", ["create", "read", "update", "upsert", "archive"])
def test_a_batch_has_one_to_a_hundred_inputs(api: httpx.Client, verb: str) -> None:
    full = {"id": "x@example.com", "idProperty": "email", "properties": {}}
    assert api.post(f"{BATCH}/{verb}", json={"inputs": [full] * 101}).status_code == 400
    assert api.post(f"{BATCH}/{verb}", json={"inputs": []}).status_code == 400
    assert api.post(f"{BATCH}/{verb}", json={}).status_code == 400


def test_a_read_with_history_has_fifty_inputs(api: httpx.Client) -> None:
    inputs = [{"id": str(number)} for number in range(51)]
    body = {"inputs": inputs, "propertiesWithHistory": ["email"]}
    assert api.post(f"{BATCH}/read", json=body).status_code == 400
    assert api.post(f"{BATCH}/read", json={**body, "inputs": inputs[:50]}).status_code == 207


def test_a_hundred_inputs_are_written(emulator: EmulatorServer, api: httpx.Client) -> None:
    answer = upsert(api, *[one(f"u{number}@example.com", str(number)) for number in range(100)])
    assert (answer.status_code, len(answer.json()["results"])) == (200, 100)
    assert count(emulator) == 100


def test_missing_ids_make_a_read_a_207(api: httpx.Client) -> None:
    id_ = upsert(api, one("a@example.com")).json()["results"][0]["id"]
    answer = api.post(f"{BATCH}/read", json={"inputs": [{"id": id_}, {"id": "404404"}], "properties": ["email"]})
    body = answer.json()
    assert (answer.status_code, body["numErrors"]) == (207, 1)
    assert body["errors"][0]["category"] == "OBJECT_NOT_FOUND"
    assert body["errors"][0]["context"]["ids"] == ["404404"]
    assert [result["id"] for result in body["results"]] == [id_]


def test_a_batch_reads_by_a_unique_property(api: httpx.Client) -> None:
    upsert(api, one("a@example.com"))
    body = {"inputs": [{"id": "A@example.com"}], "idProperty": "email", "properties": ["email"]}
    assert api.post(f"{BATCH}/read", json=body).json()["results"][0]["properties"]["email"] == "a@example.com"


def test_an_upsert_needs_a_unique_property_and_one_for_all(api: httpx.Client) -> None:
    assert upsert(api, {"id": "1", "properties": {}}).status_code == 400
    assert upsert(api, {"id": "x", "idProperty": "firstname", "properties": {}}).status_code == 400
    assert upsert(api, one("a@example.com"), {"id": "x", "idProperty": "phone", "properties": {}}).status_code == 400


@pytest.mark.parametrize(("one_for_all", "status", "written"), [(True, 400, 0), (False, 200, 2)])
def test_inputs_of_an_upsert_may_differ_in_id_property_by_switch(
    emulator: EmulatorServer, api: httpx.Client, one_for_all: bool, status: int, written: int
) -> None:
    emulator.behaviour.upsert_takes_one_id_property = one_for_all
    definition = {"name": "number", "label": "N", "type": "string", "fieldType": "text", "hasUniqueValue": True}
    api.post("/crm/v3/properties/contacts", json={**definition, "groupName": "contactinformation"})
    inputs = [one("a@example.com"), {"id": "7", "idProperty": "number", "properties": {}}]
    assert upsert(api, *inputs).status_code == status
    assert count(emulator) == written
    assert upsert(api, *inputs, inputs[1]).status_code == 400, "the same id twice is a duplicate in either reading"


def test_an_upsert_may_change_the_email(emulator: EmulatorServer, api: httpx.Client) -> None:
    upsert(api, one("a@example.com"))
    results = upsert(api, one("a@example.com", email="b@example.com")).json()["results"]
    assert results[0]["new"] is False
    assert [record["email"] for record in emulator.records("contacts")] == ["b@example.com"]


def test_silent_loss_is_an_answer_with_one_result_too_few(emulator: EmulatorServer, api: httpx.Client) -> None:
    emulator.behaviour.silent_loss_every = 2
    sizes = [
        len(upsert(api, one(f"a{turn}@example.com"), one(f"b{turn}@example.com")).json()["results"])
        for turn in range(4)
    ]
    assert sizes == [2, 1, 2, 1]
    assert count(emulator) == 8


def test_batch_archive_is_silent_about_what_is_not_there(emulator: EmulatorServer, api: httpx.Client) -> None:
    id_ = upsert(api, one("a@example.com")).json()["results"][0]["id"]
    answer = api.post(f"{BATCH}/archive", json={"inputs": [{"id": id_}, {"id": "404404"}]})
    assert (answer.status_code, answer.content) == (204, b"")
    assert count(emulator) == 0


def test_a_batch_create_associates(api: httpx.Client) -> None:
    company = api.post("/crm/v3/objects/companies", json={"properties": {"name": "x"}}).json()["id"]
    types = [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 279}]
    inputs = [{"properties": {"email": "a@example.com"}, "associations": [{"to": {"id": company}, "types": types}]}]
    id_ = api.post(f"{BATCH}/create", json={"inputs": inputs}).json()["results"][0]["id"]
    rows = api.get(f"/crm/v4/objects/contacts/{id_}/associations/companies").json()["results"]
    assert [row["toObjectId"] for row in rows] == [company]


def test_an_update_takes_record_ids_only(api: httpx.Client) -> None:
    upsert(api, one("a@example.com"))
    inputs = [{"id": "a@example.com", "idProperty": "email", "properties": {"phone": "1"}}]
    answer = api.post(f"{BATCH}/update", json={"inputs": inputs})
    assert (answer.status_code, answer.json()["results"]) == (207, [])


def test_a_value_that_two_inputs_claim_fails_all_even_with_trace_ids(
    emulator: EmulatorServer, api: httpx.Client
) -> None:
    inputs = [
        {"properties": {"email": email}, "objectWriteTraceId": email} for email in ("a@example.com", "A@example.com")
    ]
    assert api.post(f"{BATCH}/create", json={"inputs": inputs}).status_code == 400
    assert count(emulator) == 0


@pytest.mark.parametrize(("traced", "status", "written"), [(False, 404, 0), (True, 207, 1)])
def test_an_association_to_nothing_is_an_invalid_input(
    emulator: EmulatorServer, api: httpx.Client, traced: bool, status: int, written: int
) -> None:
    types = [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 279}]
    inputs: list[dict[str, Any]] = [
        {"properties": {"email": "a@example.com"}},
        {"properties": {"email": "b@example.com"}, "associations": [{"to": {"id": "404404"}, "types": types}]},
    ]
    if traced:
        inputs = [{**each, "objectWriteTraceId": str(number)} for number, each in enumerate(inputs)]
    assert api.post(f"{BATCH}/create", json={"inputs": inputs}).status_code == status
    assert count(emulator) == written
