"""Search: filters, caps, keyset paging, and an index that lags."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from hubspot_emulator import EmulatorServer

SEARCH = "/crm/v3/objects/contacts/search"


def find(api: httpx.Client, *filters: dict[str, Any], **more: Any) -> httpx.Response:
    groups = [{"filters": list(filters)}] if filters else []
    return api.post(SEARCH, json={"filterGroups": groups, **more})


def where(name: str, operator: str, value: object = None, **more: object) -> dict[str, Any]:
    body: dict[str, Any] = {"propertyName": name, "operator": operator, **more}
    return body if value is None else {**body, "value": value}


def make(api: httpx.Client, **properties: str) -> str:
    return str(api.post("/crm/v3/objects/contacts", json={"properties": properties}).json()["id"])


@pytest.fixture
def people(api: httpx.Client) -> dict[str, str]:
    return {
        "ada": make(api, email="ada@example.com", firstname="Ada", annualrevenue="9", lifecyclestage="lead"),
        "bea": make(api, email="bea@example.com", firstname="Bea", annualrevenue="10", lifecyclestage="customer"),
        "cyd": make(api, email="cyd@example.org", lastname="Cyd-Smith Jones"),
    }


@pytest.mark.parametrize(
    ("filter_", "expected"),
    [
        (where("email", "EQ", "ADA@example.com"), "ada"),
        (where("firstname", "EQ", "ada"), "ada"),
        (where("firstname", "NEQ", "Ada"), "bea"),
        (where("firstname", "IN", values=["ada", "bea"]), "ada bea"),
        (where("firstname", "IN", values=["Ada"]), ""),
        (where("firstname", "NOT_IN", values=["ada"]), "bea"),
        (where("firstname", "HAS_PROPERTY"), "ada bea"),
        (where("firstname", "NOT_HAS_PROPERTY"), "cyd"),
        (where("lastname", "CONTAINS_TOKEN", "smith"), "cyd"),
        (where("lastname", "CONTAINS_TOKEN", "jon*"), "cyd"),
        (where("firstname", "NOT_CONTAINS_TOKEN", "ada"), "bea"),
        (where("lifecyclestage", "IN", values=["customer"]), "bea"),
        (where("hs_object_id", "GT", "951"), "bea cyd"),
        (where("hs_object_id", "GTE", "952"), "bea cyd"),
        (where("hs_object_id", "LT", "952"), "ada"),
        (where("hs_object_id", "BETWEEN", "951", highValue="952"), "ada bea"),
        (where("createdate", "GTE", "1000"), "ada bea cyd"),
        (where("createdate", "LTE", "2020-01-01T00:00:00Z"), ""),
    ],
)
def test_operators(api: httpx.Client, people: dict[str, str], filter_: dict[str, Any], expected: str) -> None:
    answer = find(api, filter_)
    assert answer.status_code == 200, answer.text
    assert [one["id"] for one in answer.json()["results"]] == [people[name] for name in expected.split()]


@pytest.mark.parametrize(("matches", "expected"), [(False, {"bea"}), (True, {"bea", "cyd"})])
@pytest.mark.parametrize(
    "filter_",
    [
        where("firstname", "NEQ", "Ada"),
        where("firstname", "NOT_IN", values=["ada"]),
        where("firstname", "NOT_CONTAINS_TOKEN", "ada"),
    ],
)
def test_a_negation_finds_what_has_no_value_by_switch(
    emulator: EmulatorServer,
    api: httpx.Client,
    people: dict[str, str],
    filter_: dict[str, Any],
    matches: bool,
    expected: set[str],
) -> None:
    emulator.behaviour.negations_match_missing = matches
    answer = api.post("/crm/v3/objects/contacts/search", json={"filterGroups": [{"filters": [filter_]}]})
    assert {one["id"] for one in answer.json()["results"]} == {people[name] for name in expected}


def test_filters_of_a_group_all_hold_and_groups_add_up(api: httpx.Client, people: dict[str, str]) -> None:
    both = find(api, where("firstname", "EQ", "ada"), where("lifecyclestage", "EQ", "customer"))
    assert both.json()["total"] == 0
    groups = [{"filters": [where("firstname", "EQ", "ada")]}, {"filters": [where("lifecyclestage", "EQ", "customer")]}]
    either = api.post(SEARCH, json={"filterGroups": groups}).json()
    assert [one["id"] for one in either["results"]] == [people["ada"], people["bea"]]


def test_numbers_are_compared_as_numbers(api: httpx.Client) -> None:
    ids = [
        api.post("/crm/v3/objects/deals", json={"properties": {"amount": amount}}).json()["id"]
        for amount in ("9", "10", "100")
    ]
    body = {"filterGroups": [{"filters": [where("amount", "GT", "9.5")]}]}
    found = api.post("/crm/v3/objects/deals/search", json=body).json()
    assert [one["id"] for one in found["results"]] == ids[1:]


def test_ids_are_compared_as_numbers(emulator: EmulatorServer, api: httpx.Client) -> None:
    emulator.seed(1, contacts=60, same_timestamp=0, deals=0, merged=0, archived=0)
    found = find(api, where("hs_object_id", "GT", "999"), sorts=["hs_object_id"]).json()
    assert found["total"] == 11
    assert found["results"][0]["id"] == "1000"


def test_a_query_looks_into_the_searched_properties(api: httpx.Client, people: dict[str, str]) -> None:
    assert [one["id"] for one in find(api, query="example.org").json()["results"]] == [people["cyd"]]


def test_an_associated_id_is_a_filter(api: httpx.Client, people: dict[str, str]) -> None:
    company = api.post("/crm/v3/objects/companies", json={"properties": {"name": "x"}}).json()["id"]
    api.put(f"/crm/v4/objects/contacts/{people['bea']}/associations/default/companies/{company}")
    found = find(api, where("associations.company", "EQ", company)).json()
    assert [one["id"] for one in found["results"]] == [people["bea"]]


@pytest.mark.parametrize(("direction", "expected"), [("ASCENDING", "ada bea cyd"), ("DESCENDING", "bea ada cyd")])
def test_one_sort_and_the_unset_last(api: httpx.Client, people: dict[str, str], direction: str, expected: str) -> None:
    found = find(api, sorts=[{"propertyName": "firstname", "direction": direction}]).json()
    assert [one["id"] for one in found["results"]] == [people[name] for name in expected.split()]


def test_two_sorts_are_refused(api: httpx.Client) -> None:
    assert find(api, sorts=["firstname", "lastname"]).status_code == 400


def test_the_caps(api: httpx.Client) -> None:
    one = where("email", "HAS_PROPERTY")
    assert find(api, limit=200).status_code == 200
    assert find(api, limit=201).status_code == 400
    assert api.post(SEARCH, json={"filterGroups": [{"filters": [one]}] * 5}).status_code == 200
    assert api.post(SEARCH, json={"filterGroups": [{"filters": [one]}] * 6}).status_code == 400
    assert find(api, *[one] * 6).status_code == 200
    assert find(api, *[one] * 7).status_code == 400
    assert api.post(SEARCH, json={"filterGroups": [{"filters": [one] * 4}] * 5}).status_code == 400


def test_a_request_has_at_most_3000_characters(emulator: EmulatorServer, api: httpx.Client) -> None:
    long = {"query": "x" * 2_990}
    assert api.post(SEARCH, json=long).status_code == 400
    emulator.behaviour.search_body_limit_characters = 0
    assert api.post(SEARCH, json=long).status_code == 200
    assert api.post(SEARCH, json={"query": "x" * 3_001}).status_code == 400


def test_paging_ends_at_ten_thousand(emulator: EmulatorServer, api: httpx.Client) -> None:
    emulator.seed(1, contacts=10_500, same_timestamp=10_500, deals=0, merged=0, archived=0)
    last = find(api, limit=100, after="9900").json()
    assert (last["total"], len(last["results"])) == (10_500, 100)
    assert find(api, limit=200, after="9900").status_code == 400
    assert find(api, limit=100, after="10000").status_code == 400


def test_keyset_paging_passes_ten_thousand_rows_on_one_timestamp(emulator: EmulatorServer, api: httpx.Client) -> None:
    emulator.seed(1, contacts=10_500, same_timestamp=10_500, deals=0, merged=0, archived=0)
    moment = emulator.records("contacts")[0]["lastmodifieddate"]
    seen: list[str] = []
    last = "0"
    for _ in range(60):
        on_time = [where("lastmodifieddate", operator, moment) for operator in ("GTE", "LTE")]
        page = find(api, *on_time, where("hs_object_id", "GT", last), limit=200, sorts=["hs_object_id"]).json()
        if not page["results"]:
            break
        seen += [one["id"] for one in page["results"]]
        last = seen[-1]
    assert len(seen) == len(set(seen)) == 10_500


def test_no_archived_records_and_no_associations(api: httpx.Client, people: dict[str, str]) -> None:
    api.delete(f"/crm/v3/objects/contacts/{people['ada']}")
    found = find(api, associations=["companies"]).json()
    assert people["ada"] not in {one["id"] for one in found["results"]}
    assert all("associations" not in one for one in found["results"])


def test_no_page_after_the_last(api: httpx.Client, people: dict[str, str]) -> None:
    assert find(api, limit=2).json()["paging"]["next"]["after"] == "2"
    assert "paging" not in find(api, limit=3).json()


@pytest.mark.parametrize(
    "filter_",
    [
        {"propertyName": "email"},
        where("nope", "EQ", "x"),
        where("email", "LIKE", "x"),
        where("email", "EQ"),
        where("email", "IN", "x"),
        where("email", "IN", values=[]),
        where("hs_object_id", "GT", "x"),
        where("createdate", "GT", "yesterday"),
        where("createdate", "BETWEEN", "1000"),
        "email",
    ],
)
def test_a_filter_that_cannot_be_is_a_400(api: httpx.Client, filter_: Any) -> None:
    assert find(api, filter_).status_code == 400


# the lagging index


def test_a_new_record_is_found_when_the_index_has_caught_up(emulator: EmulatorServer, api: httpx.Client) -> None:
    emulator.clock.freeze()
    emulator.behaviour.search_lag_seconds = 30
    make(api, email="a@example.com")
    email = where("email", "EQ", "a@example.com")
    assert find(api, email).json()["total"] == 0
    emulator.clock.advance(29.9)
    assert find(api, email).json()["total"] == 0
    emulator.clock.advance(0.2)
    assert find(api, email).json()["total"] == 1


def test_the_index_matches_old_values_and_returns_current_ones(emulator: EmulatorServer, api: httpx.Client) -> None:
    id_ = make(api, email="a@example.com", firstname="Old")
    emulator.clock.freeze()
    emulator.behaviour.search_lag_seconds = 30
    api.patch(f"/crm/v3/objects/contacts/{id_}", json={"properties": {"firstname": "New"}})
    old = find(api, where("firstname", "EQ", "old")).json()["results"]
    assert [one["properties"]["firstname"] for one in old] == ["New"]
    assert find(api, where("firstname", "EQ", "new")).json()["total"] == 0
    emulator.clock.advance(31)
    assert find(api, where("firstname", "EQ", "old")).json()["total"] == 0
    assert find(api, where("firstname", "EQ", "new")).json()["total"] == 1


def test_each_write_becomes_visible_in_its_turn(emulator: EmulatorServer, api: httpx.Client) -> None:
    emulator.clock.freeze()
    id_ = make(api, email="a@example.com", firstname="zero")
    emulator.behaviour.search_lag_seconds = 10
    for value in ("one", "two"):
        emulator.clock.advance(4)
        api.patch(f"/crm/v3/objects/contacts/{id_}", json={"properties": {"firstname": value}})
    seen = []
    for _ in range(4):
        seen += [
            value for value in ("zero", "one", "two") if find(api, where("firstname", "EQ", value)).json()["total"]
        ]
        emulator.clock.advance(4)
    assert seen == ["zero", "zero", "one", "two"]


def test_an_archived_record_is_gone_at_once(emulator: EmulatorServer, api: httpx.Client) -> None:
    id_ = make(api, email="a@example.com")
    emulator.behaviour.search_lag_seconds = 30
    api.delete(f"/crm/v3/objects/contacts/{id_}")
    assert find(api, where("email", "EQ", "a@example.com")).json()["results"] == []
