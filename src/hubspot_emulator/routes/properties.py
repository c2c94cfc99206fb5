"""`/crm/v3/properties/{type}`: the definitions of properties and their groups."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from hubspot_emulator.account import Account
from hubspot_emulator.batchinput import inputs_of
from hubspot_emulator.clock import iso
from hubspot_emulator.definitions import (
    archive_property,
    change_group,
    change_property,
    define_group,
    define_property,
    defined,
    group,
    refuse_hubspots_own,
    remove_group,
)
from hubspot_emulator.problems import NotFound, Problem
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


# groups


def list_groups(account: Account, request: Request) -> Answer:
    return Answer({"results": list(_table(account, request).groups.values())})


def create_group(account: Account, request: Request) -> Answer:
    return Answer(define_group(_table(account, request), request.object), 201)


def get_group(account: Account, request: Request) -> Answer:
    return Answer(group(_table(account, request), request.params["group_name"]))


def update_group(account: Account, request: Request) -> Answer:
    return Answer(change_group(_table(account, request), request.params["group_name"], request.object))


def archive_group(account: Account, request: Request) -> Answer:
    remove_group(_table(account, request), request.params["group_name"])
    return Answer(None, 204)


# batches


def _answer(account: Account, results: list[dict[str, Any]], errors: list[Problem], status: int) -> Answer:
    now = iso(account.clock.now_ms())
    body: dict[str, Any] = {"status": "COMPLETE", "results": results, "startedAt": now, "completedAt": now}
    if errors:
        body |= {"numErrors": len(errors), "errors": [one.batch_entry() for one in errors]}
        status = 207
    return Answer(body, status)


def batch_create(account: Account, request: Request) -> Answer:
    """Each on its own: what fails is listed in a 207."""
    table = _table(account, request)
    results: list[dict[str, Any]] = []
    errors: list[Problem] = []
    for one in inputs_of(request.object):
        try:
            results.append(define_property(table, one, account.clock).wire())
        except Problem as problem:
            errors.append(problem)
    return _answer(account, results, errors, 201)


def batch_read(account: Account, request: Request) -> Answer:
    table = _table(account, request)
    body = request.object
    archived = body.get("archived", False)
    results: list[dict[str, Any]] = []
    errors: list[Problem] = []
    for one in inputs_of(body):
        try:
            results.append(defined(table, str(one.get("name")), archived=archived is True).wire())
        except Problem as problem:
            errors.append(problem)
    return _answer(account, results, errors, 200)


def batch_archive(account: Account, request: Request) -> Answer:
    """204 whether or not they are there; none is archived when one of them is HubSpot's."""
    table = _table(account, request)
    names = [str(one.get("name")) for one in inputs_of(request.object)]
    for name in names:
        refuse_hubspots_own(table, name)
    for name in names:
        with suppress(NotFound):
            archive_property(table, name, account.clock)
    return Answer(None, 204)


def _route(name: str, method: str, tail: str, handler: Handler, access: str) -> Route:
    paths = (f"/crm/v3/properties/{{object_type}}{tail}", f"/crm/properties/{DATED}/{{object_type}}{tail}")
    return Route(f"properties.{name}", method, paths, handler, f"schema.{access}")


ROUTES = (
    _route("list", "GET", "", list_all, "read"),
    _route("create", "POST", "", create, "write"),
    _route("list_groups", "GET", "/groups", list_groups, "read"),
    _route("create_group", "POST", "/groups", create_group, "write"),
    _route("get_group", "GET", "/groups/{group_name}", get_group, "read"),
    _route("update_group", "PATCH", "/groups/{group_name}", update_group, "write"),
    _route("archive_group", "DELETE", "/groups/{group_name}", archive_group, "write"),
    _route("batch_create", "POST", "/batch/create", batch_create, "write"),
    _route("batch_read", "POST", "/batch/read", batch_read, "read"),
    _route("batch_archive", "POST", "/batch/archive", batch_archive, "write"),
    _route("get", "GET", "/{property_name}", get, "read"),
    _route("update", "PATCH", "/{property_name}", update, "write"),
    _route("archive", "DELETE", "/{property_name}", archive, "write"),
)
