"""`/crm/v3/properties/{type}`: the definitions of properties and their groups."""

from __future__ import annotations

from hubspot_emulator.account import Account
from hubspot_emulator.definitions import archive_property, change_property, define_property, defined
from hubspot_emulator.router import DATED, Handler, Route
from hubspot_emulator.table import Table
from hubspot_emulator.web import Answer, Request

__all__ = ["ROUTES"]


def _table(account: Account, request: Request) -> Table:
    return account.portal.table(request.params["object_type"])


def list_all(account: Account, request: Request) -> Answer:
    archived = request.flag("archived")
    definitions = _table(account, request).properties.values()
    return Answer({"results": [one.wire() for one in definitions if (one.archived_ms is not None) == archived]})


def create(account: Account, request: Request) -> Answer:
    definition = define_property(_table(account, request), request.object, account.clock)
    return Answer(definition.wire(), 201)


def get(account: Account, request: Request) -> Answer:
    archived = request.flag("archived")
    return Answer(defined(_table(account, request), request.params["property_name"], archived=archived).wire())


def update(account: Account, request: Request) -> Answer:
    table = _table(account, request)
    return Answer(change_property(table, request.params["property_name"], request.object, account.clock).wire())


def archive(account: Account, request: Request) -> Answer:
    archive_property(_table(account, request), request.params["property_name"], account.clock)
    return Answer(None, 204)


def _route(name: str, method: str, tail: str, handler: Handler, access: str) -> Route:
    paths = (f"/crm/v3/properties/{{object_type}}{tail}", f"/crm/properties/{DATED}/{{object_type}}{tail}")
    return Route(f"properties.{name}", method, paths, handler, f"schema.{access}")


ROUTES = (
    _route("list", "GET", "", list_all, "read"),
    _route("create", "POST", "", create, "write"),
    _route("get", "GET", "/{property_name}", get, "read"),
    _route("update", "PATCH", "/{property_name}", update, "write"),
    _route("archive", "DELETE", "/{property_name}", archive, "write"),
)
