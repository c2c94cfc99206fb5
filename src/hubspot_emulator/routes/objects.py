"""`/crm/v3/objects/{type}` and `/crm/objects/2026-03/{type}`: records of any type."""

from __future__ import annotations

from typing import Any

from hubspot_emulator.account import Account
from hubspot_emulator.batch import Batch
from hubspot_emulator.merge import gdpr_delete, merge
from hubspot_emulator.problems import BadRequest, NotFound
from hubspot_emulator.record import Record, shown
from hubspot_emulator.router import DATED, Handler, Route
from hubspot_emulator.table import Table
from hubspot_emulator.web import Answer, Request

__all__ = ["ROUTES"]

_MAX_PAGE = 100
_MAX_PAGE_WITH_HISTORY = 50


def _table(account: Account, request: Request) -> Table:
    return account.portal.table(request.params["object_type"])


def _shown(account: Account, table: Table, record: Record, request: Request) -> dict[str, Any]:
    """A record with the properties, history and associations the query asks for. Unknown names are left out."""
    history = request.names("propertiesWithHistory")
    names = request.names("properties")
    chosen = [*(names or table.type.default_properties), *history]
    body = shown(record, [name for name in chosen if name in table.properties], history)
    if targets := [account.portal.table(name) for name in request.names("associations")]:
        path = request.path.removesuffix(f"/{record.id}")
        if inline := account.portal.relations.inline(table, record, targets, path):
            body["associations"] = inline
    return body


def list_page(account: Account, request: Request) -> Answer:
    """`limit` 1–100 (50 with history), `after`: the id to start from, `archived`."""
    table = _table(account, request)
    archived = request.flag("archived")
    high = _MAX_PAGE_WITH_HISTORY if request.names("propertiesWithHistory") else _MAX_PAGE
    limit = request.number("limit", 10, low=1, high=high)
    first = request.number("after", 0, low=0, high=10**18)
    account.portal.purge_old_archives(table)
    page: list[Record] = []
    following: int | None = None
    for record in table.from_id(first):
        if record.archived != archived:
            continue
        if len(page) == limit:
            following = record.id
            break
        page.append(record)
    body: dict[str, Any] = {"results": [_shown(account, table, record, request) for record in page]}
    if following is not None:
        link = f"https://api.hubapi.com{request.path}?limit={limit}&after={following}"
        body["paging"] = {"next": {"after": str(following), "link": link}}
    return Answer(body)


def create(account: Account, request: Request) -> Answer:
    table = _table(account, request)
    body = request.object
    if "properties" not in body:
        raise BadRequest("Some required fields were not set: [properties]")
    return Answer(shown(account.portal.create(table, body["properties"], body.get("associations"))), 201)


def get(account: Account, request: Request) -> Answer:
    table = _table(account, request)
    record = account.portal.get(
        table,
        request.params["record_id"],
        id_property=request.text("idProperty"),
        archived=request.flag("archived"),
    )
    return Answer(_shown(account, table, record, request))


def update(account: Account, request: Request) -> Answer:
    table = _table(account, request)
    body = request.object
    record = account.portal.get(table, request.params["record_id"], id_property=request.text("idProperty"))
    if "properties" not in body:
        raise BadRequest("Some required fields were not set: [properties]")
    return Answer(shown(account.portal.update(table, record, body["properties"])))


def archive(account: Account, request: Request) -> Answer:
    """204 for an id that is not there as well, unless `archive_missing_is_silent` is off."""
    table = _table(account, request)
    record = account.portal.find(table, request.params["record_id"], id_property=request.text("idProperty"))
    if record is not None:
        account.portal.archive(table, record)
    elif not account.behaviour.archive_missing_is_silent:
        raise NotFound("resource not found", ids=[request.params["record_id"]])
    return Answer(None, 204)


def search(account: Account, request: Request) -> Answer:
    """Never associations, never archived records [O]."""
    table = _table(account, request)
    limit = account.behaviour.search_body_limit_characters
    if limit and len(request.body.decode("utf-8", "replace")) > limit:
        raise BadRequest(f"A search request has at most {limit} characters")
    body = request.object
    total, records, after = account.search.page(table, body)
    names = body.get("properties") or table.type.default_properties
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise BadRequest("Invalid input JSON: properties must be a list of strings")
    chosen = [name for name in names if name in table.properties]
    answer: dict[str, Any] = {"total": total, "results": [shown(record, chosen) for record in records]}
    if after is not None:
        answer["paging"] = {"next": {"after": after}}
    return Answer(answer)


def merge_records(account: Account, request: Request) -> Answer:
    table = _table(account, request)
    body = request.object
    primary, other = body.get("primaryObjectId"), body.get("objectIdToMerge")
    if not isinstance(primary, str) or not isinstance(other, str):
        raise BadRequest("Some required fields were not set: [primaryObjectId, objectIdToMerge]")
    return Answer(shown(merge(account.portal, table, primary, other)))


def gdpr_delete_record(account: Account, request: Request) -> Answer:
    table = _table(account, request)
    body = request.object
    id_, id_property = body.get("objectId"), body.get("idProperty")
    if not isinstance(id_, str) or not isinstance(id_property, str | None):
        raise BadRequest("Some required fields were not set: [objectId]")
    gdpr_delete(account.portal, table, id_, id_property)
    return Answer(None, 204)


def batch_create(account: Account, request: Request) -> Answer:
    status, body = Batch(account.portal, _table(account, request)).create(request.object)
    return Answer(body, status)


def batch_read(account: Account, request: Request) -> Answer:
    batch = Batch(account.portal, _table(account, request))
    status, body = batch.read(request.object, archived=request.flag("archived"))
    return Answer(body, status)


def batch_update(account: Account, request: Request) -> Answer:
    status, body = Batch(account.portal, _table(account, request)).update(request.object)
    return Answer(body, status)


def batch_upsert(account: Account, request: Request) -> Answer:
    status, body = Batch(account.portal, _table(account, request)).upsert(request.object)
    return Answer(body, status)


def batch_archive(account: Account, request: Request) -> Answer:
    Batch(account.portal, _table(account, request)).archive(request.object)
    return Answer(None, 204)


def _route(name: str, method: str, tail: str, handler: Handler, scope: str, bucket: str = "burst") -> Route:
    paths = (f"/crm/v3/objects/{{object_type}}{tail}", f"/crm/objects/{DATED}/{{object_type}}{tail}")
    return Route(f"objects.{name}", method, paths, handler, scope, bucket)


ROUTES = (
    _route("list", "GET", "", list_page, "read"),
    _route("create", "POST", "", create, "write"),
    _route("get", "GET", "/{record_id}", get, "read"),
    _route("update", "PATCH", "/{record_id}", update, "write"),
    _route("archive", "DELETE", "/{record_id}", archive, "write"),
    _route("search", "POST", "/search", search, "read", "search"),
    _route("merge", "POST", "/merge", merge_records, "write"),
    _route("gdpr_delete", "POST", "/gdpr-delete", gdpr_delete_record, "write"),
    _route("batch_create", "POST", "/batch/create", batch_create, "write"),
    _route("batch_read", "POST", "/batch/read", batch_read, "read"),
    _route("batch_update", "POST", "/batch/update", batch_update, "write"),
    _route("batch_upsert", "POST", "/batch/upsert", batch_upsert, "write"),
    _route("batch_archive", "POST", "/batch/archive", batch_archive, "write"),
)
