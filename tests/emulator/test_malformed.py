"""Requests that no client would send on purpose: each is answered, and none with a 500."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hubspot_emulator import EmulatorServer
from hubspot_emulator.router import Route
from hubspot_emulator.routes import api_routes, control_routes

SPEC = [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 279}]
PAIR = {"from": {"id": "951"}, "to": {"id": "951"}, "types": SPEC, "type": "contact_to_company"}
UPSERT = {"id": "a@example.com", "idProperty": "email", "properties": {"phone": "1"}, "objectWriteTraceId": "t"}
FILTER = {"propertyName": "createdate", "operator": "BETWEEN", "value": "1", "highValue": "2", "values": ["x"]}
PROPERTY = {
    "name": "x",
    "label": "X",
    "type": "enumeration",
    "fieldType": "select",
    "groupName": "contactinformation",
    "options": [{"label": "A", "value": "a", "displayOrder": 1, "hidden": False}],
    "hasUniqueValue": False,
    "displayOrder": 1,
}
# One plausible body with the keys of every route: each takes what it knows, and the mutations hit all of it.
BODY: dict[str, Any] = {
    "properties": {"email": "b@example.com", "firstname": "x", "lifecyclestage": "lead"},
    "associations": [{"to": {"id": "951"}, "types": SPEC}],
    "inputs": [{**UPSERT, **PAIR, **PROPERTY, "associations": [{"to": {"id": "951"}, "types": SPEC}], "after": "1"}],
    "idProperty": "email",
    "propertiesWithHistory": ["email"],
    "filterGroups": [{"filters": [FILTER]}],
    "sorts": [{"propertyName": "createdate", "direction": "DESCENDING"}],
    "query": "x",
    "limit": 10,
    "after": "0",
    "primaryObjectId": "951",
    "objectIdToMerge": "952",
    "objectId": "951",
    "associationTypeId": 279,
    "inverseLabel": "y",
    "labels": {"singular": "X", "plural": "Xs"},
    "requiredProperties": ["x"],
    "searchableProperties": ["x"],
    "secondaryDisplayProperties": ["x"],
    "primaryDisplayProperty": "x",
    "associatedObjects": ["contacts"],
    "description": "x",
    "toObjectTypeId": "0-1",
    "stages": [{"label": "S", "displayOrder": 0, "metadata": {"isClosed": "true"}}],
    "metadata": {"isClosed": "true"},
    **{key: value for key, value in PROPERTY.items() if key != "name"},
    "name": "x_y",
}
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(max_size=5),
    st.sampled_from(["", "951", "\x00", "\ud800", "9" * 40, "-1", "1e400", "NaN", "0-1", "2026-13-01", "ß" * 300]),
    st.just([]),
    st.just({}),
    st.just([None]),
    st.just({"": None}),
)
SEGMENTS = st.one_of(
    st.sampled_from(
        ["contacts", "0-1", "companies", "deals", "951", "952", "search", "batch", "email", "x", "default"]
    ),
    st.text(min_size=1, max_size=6),
)
QUERIES = st.dictionaries(
    st.sampled_from(
        ["limit", "after", "archived", "idProperty", "properties", "propertiesWithHistory", "associations", "offset"]
    ),
    st.one_of(st.text(max_size=6), st.sampled_from(["1", "true", "contacts,deals", "email", "\x00", "9" * 30])),
    max_size=3,
)


def places(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths to every node of a JSON value."""
    yield path
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, child in items:
        yield from places(child, (*path, key))


def mutated(path: tuple[Any, ...], value: Any, *, remove: bool) -> Any:
    body = copy.deepcopy(BODY)
    if not path:
        return value
    node: Any = body
    for key in path[:-1]:
        node = node[key]
    if remove:
        del node[path[-1]]
    else:
        node[path[-1]] = value
    return body


MUTATIONS = st.builds(mutated, st.sampled_from(list(places(BODY))), SCALARS, remove=st.booleans())
# Inside the only input: what is mutated there leaves the list itself alone.
INPUT_PLACES = [path for path in places(BODY) if path[:1] == ("inputs",) and len(path) > 2]
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner))


@pytest.fixture(scope="module")
def portal() -> Iterator[EmulatorServer]:
    with EmulatorServer(tier="unlimited") as hubspot:
        yield hubspot


@pytest.fixture(scope="module")
def fuzzed(portal: EmulatorServer) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {portal.token}", "Content-Type": "application/json"}
    with httpx.Client(base_url=portal.url, headers=headers, timeout=10) as client:
        for number in range(3):
            client.post("/crm/v3/objects/contacts", json={"properties": {"email": f"u{number}@example.com"}})
            client.post("/crm/v3/objects/companies", json={"properties": {"name": "x"}})
        yield client


def filled(template: str, segments: list[str]) -> str:
    parts = iter(segments)
    return "/".join(quote(next(parts), safe="") if part.startswith("{") else part for part in template.split("/"))


def check(client: httpx.Client, method: str, path: str, content: bytes, query: dict[str, str] | None = None) -> None:
    params = {key: value.encode("utf-8", "replace").decode() for key, value in (query or {}).items()}
    answer = client.request(method, path, content=content, params=params)
    assert answer.status_code < 500, f"{method} {path} {content!r} {query} -> {answer.status_code} {answer.text}"
    if answer.content and answer.status_code >= 400:
        assert answer.json()["message"]


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    route=st.sampled_from(api_routes()),
    choice=st.integers(0, 2),
    first=st.sampled_from(["contacts", "companies", "0-1"]),
    segments=st.lists(SEGMENTS, min_size=4, max_size=4),
    body=st.one_of(MUTATIONS, JSON),
    query=QUERIES,
)
def test_no_malformed_request_is_a_500(
    fuzzed: httpx.Client,
    route: Route,
    choice: int,
    first: str,
    segments: list[str],
    body: Any,
    query: dict[str, str],
) -> None:
    template = route.paths[choice % len(route.paths)]
    path = filled(template, [first, *segments])
    check(fuzzed, route.method, path, json.dumps(body).encode(), query)


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(route=st.sampled_from([one for one in api_routes() if one.method in ("POST", "PUT", "PATCH")]), body=MUTATIONS)
def test_no_mutation_of_a_plausible_body_is_a_500(fuzzed: httpx.Client, route: Route, body: Any) -> None:
    segments = ["contacts", "951", "companies", "951"] if "{from_type}" in route.paths[0] else ["contacts", "951", "x"]
    if "{from_type}/{to_type}" in route.paths[0]:
        segments = ["contacts", "companies", "279"]
    check(fuzzed, route.method, filled(route.paths[0], segments), json.dumps(body).encode())


def state(hubspot: EmulatorServer) -> object:
    """Everything that a refused request must leave alone."""
    tables = hubspot.portal.tables.values()
    return (
        [(one.id, dict(one.properties), one.updated_ms, one.archived) for t in tables for one in t.records.values()],
        sorted((*pair[:4], sorted(pair[4])) for pair in hubspot.portal.relations.store.pairs()),
        [[(one.name, one.archived_ms) for one in table.properties.values()] for table in tables],
        [[pipeline.wire() for pipeline in one.all()] for one in hubspot.portal.pipelines.values()],
    )


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    route=st.sampled_from([one for one in api_routes() if "batch" in one.name and one.method == "POST"]),
    bad=st.builds(mutated, st.sampled_from(INPUT_PLACES), SCALARS, remove=st.booleans()),
)
def test_a_refused_batch_has_written_nothing(
    portal: EmulatorServer, fuzzed: httpx.Client, route: Route, bad: dict[str, Any]
) -> None:
    """Two inputs, the first of them fine: what is wrong with the second must be seen before the first is written."""
    good = {**BODY["inputs"][0], "id": "951", "name": "fine_property", "objectWriteTraceId": "other"}
    if "upsert" in route.name:
        good["id"] = "fine@example.com"
    if "archive" in route.name and "associations.batch_archive" in route.name:
        good["to"] = [good["to"]]
    segments = ["contacts", "companies"] if "{to_type}" in route.paths[0] else ["contacts"]
    before = state(portal)
    body = {**bad, "inputs": [good, *bad["inputs"]]}
    answer = fuzzed.post(filled(route.paths[0], segments), content=json.dumps(body).encode())
    assert answer.status_code < 500
    if answer.status_code >= 400:
        assert state(portal) == before


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    route=st.sampled_from([one for one in control_routes() if one.name != "control.reset"]),
    body=st.one_of(
        JSON,
        st.dictionaries(
            st.sampled_from(["kind", "nth", "token", "scopes", "tier", "burst", "freeze", "advance_seconds", "email"]),
            SCALARS,
        ),
    ),
)
def test_no_malformed_control_request_is_a_500(route: Route, body: Any) -> None:
    from hubspot_emulator.account import Account
    from hubspot_emulator.app import EmulatorApp
    from hubspot_emulator.web import Request

    app = EmulatorApp(Account())
    content = json.dumps(body).encode()
    path = filled(route.paths[0], ["nope"])
    answer = app.controlled(Request(route.method, path, "", {"content-type": "application/json"}, content))
    assert answer.status < 500


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b'{"a":NaN}', b'{"a":1}{', b"null", b'"x"', b"1" * 5_000]
)
def test_what_is_not_json_is_a_400(fuzzed: httpx.Client, content: bytes) -> None:
    answer = fuzzed.post("/crm/v3/objects/contacts", content=content)
    assert (answer.status_code, answer.json()["category"]) == (400, "VALIDATION_ERROR")


def test_another_content_type_is_a_415(fuzzed: httpx.Client) -> None:
    answer = fuzzed.post("/crm/v3/objects/contacts", content=b"a=b", headers={"Content-Type": "text/plain"})
    assert answer.status_code == 415


@pytest.mark.parametrize(
    "path", ["/", "/crm", "/crm/v3/objects", "/crm/v9/objects/contacts", "/crm/v3/objects/contacts/1/2/3"]
)
def test_an_unknown_path_is_a_404(fuzzed: httpx.Client, path: str) -> None:
    assert fuzzed.get(path).status_code == 404


def test_another_method_is_a_405(fuzzed: httpx.Client) -> None:
    assert fuzzed.put("/crm/v3/objects/contacts").status_code == 405
