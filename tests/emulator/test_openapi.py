"""Every answer of a walk through the API, checked against OpenAPI files, when there are any."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.emulator.openapi_documents import DIRECTORY, Documents, documents_of


def walk(api: httpx.Client, root: str, dated: bool) -> Iterator[httpx.Response]:
    """One of everything, under one of the two shapes of paths; `root` is that of objects."""

    def path(older: str, newer: str) -> str:
        return newer if dated else older

    contacts, companies = f"{root}/contacts", f"{root}/companies"
    made = api.post(contacts, json={"properties": {"email": "a@example.com", "firstname": "A"}})
    yield made
    id_ = made.json()["id"]
    company = api.post(companies, json={"properties": {"name": "Example"}}).json()["id"]
    links = path("/crm/v4/objects", root)
    yield api.put(f"{links}/contacts/{id_}/associations/default/companies/{company}")
    yield api.get(f"{links}/contacts/{id_}/associations/companies")
    yield api.get(f"{contacts}/{id_}?associations=companies&propertiesWithHistory=email")
    yield api.get(f"{contacts}?limit=1&associations=companies")
    yield api.patch(f"{contacts}/{id_}", json={"properties": {"phone": "1"}})
    yield api.post(f"{contacts}/search", json={"query": "a", "limit": 1})
    upsert = {"id": "b@example.com", "idProperty": "email", "properties": {}, "objectWriteTraceId": "1"}
    yield api.post(f"{contacts}/batch/upsert", json={"inputs": [upsert]})
    refused = {**upsert, "id": "bad", "objectWriteTraceId": "2"}
    yield api.post(f"{contacts}/batch/upsert", json={"inputs": [upsert, refused]})
    yield api.post(f"{contacts}/batch/read", json={"inputs": [{"id": id_}, {"id": "404404"}], "properties": ["email"]})
    yield api.post(f"{contacts}/batch/read", json={"inputs": [{"id": id_}], "properties": ["email"]})
    yield api.post(f"{contacts}/batch/update", json={"inputs": [{"id": id_, "properties": {"phone": "2"}}]})
    yield api.post(f"{contacts}/batch/create", json={"inputs": [{"properties": {"email": "c@example.com"}}]})
    pair = path("/crm/v4/associations", "/crm/associations/2026-03") + "/contacts/companies"
    yield api.post(f"{pair}/batch/read", json={"inputs": [{"id": id_}, {"id": "404404"}]})
    yield api.get(f"{pair}/labels")
    properties = path("/crm/v3/properties", "/crm/properties/2026-03")
    yield api.get(f"{properties}/contacts")
    yield api.get(f"{properties}/contacts/email")
    yield api.get(f"{properties}/contacts/groups")
    yield api.get(path("/crm/v3/pipelines", "/crm/pipelines/2026-03") + "/deals")
    yield api.get(path("/crm/v3/owners", "/crm/owners/2026-03"))
    yield api.get(path("/crm-object-schemas/v3/schemas", "/crm-object-schemas/2026-03/schemas"))
    yield api.get(path("/account-info/v3/details", "/account-info/2026-03/details"))
    yield api.get(f"{contacts}/404404")
    yield api.post(contacts, json={"properties": {"email": "a@example.com"}})
    yield api.post(contacts, json={"properties": {"nope": "x"}})
    other = api.post(contacts, json={"properties": {"email": "d@example.com"}}).json()["id"]
    yield api.post(f"{contacts}/merge", json={"primaryObjectId": id_, "objectIdToMerge": other})


@pytest.mark.skipif(not DIRECTORY, reason="HUBSPOT_OPENAPI_DIR is not set")
@pytest.mark.parametrize(("root", "dated"), [("/crm/v3/objects", False), ("/crm/objects/2026-03", True)])
def test_answers_match_the_openapi_files(api: httpx.Client, root: str, dated: bool) -> None:
    documents = documents_of(DIRECTORY or ".")
    problems, known = [], 0
    for answer in walk(api, root, dated):
        path, method = answer.request.url.path, answer.request.method
        known += documents.knows(method, path)
        found = documents.problems(method, path, answer.status_code, answer.json())
        problems += [f"{method} {path} {answer.status_code}: {one}" for one in found]
    assert known, f"no file in {DIRECTORY} describes any of these paths"
    assert problems == []


@pytest.mark.parametrize(("root", "dated"), [("/crm/v3/objects", False), ("/crm/objects/2026-03", True)])
def test_the_walk_gets_what_it_asks_for(api: httpx.Client, root: str, dated: bool) -> None:
    """The walk is worth its name without any files too: no step leads nowhere."""
    statuses = [answer.status_code for answer in walk(api, root, dated)]
    assert len(statuses) == 26
    assert {status for status in statuses if status >= 400} == {400, 404, 409}
    assert statuses.count(404) == statuses.count(400) == statuses.count(409) == 1


def test_the_check_sees_what_is_wrong() -> None:
    """A schema of our own, so that the check above can be trusted."""
    record = {
        "type": "object",
        "required": ["id", "at"],
        "properties": {
            "id": {"type": "string"},
            "at": {"type": "string", "format": "date-time"},
            "kind": {"type": "string", "enum": ["A", "B"]},
            "rows": {"type": "array", "items": {"$ref": "#/components/schemas/Row"}},
        },
    }
    row = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}
    answer = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Record"}}}}
    documents = Documents(
        [
            {
                "paths": {"/things/{id}": {"get": {"responses": {"200": answer}}}},
                "components": {"schemas": {"Record": record, "Row": row}},
            }
        ]
    )

    def wrong(body: Any) -> list[str]:
        return [problem.split(":")[0] for problem in documents.problems("GET", "/things/1", 200, body)]

    good = {"id": "1", "at": "2026-03-01T00:00:00Z", "kind": "A", "rows": [{"n": 1}]}
    assert wrong(good) == []
    assert wrong({**good, "id": 1}) == ["$.id"]
    assert wrong({**good, "at": "soon"}) == ["$.at"]
    assert wrong({**good, "kind": "C"}) == ["$.kind"]
    assert wrong({**good, "rows": [{}, {"n": "x"}]}) == ["$.rows[0]", "$.rows[1].n"]
    assert wrong({"at": good["at"]}) == ["$"]
    assert not documents.knows("GET", "/other")
