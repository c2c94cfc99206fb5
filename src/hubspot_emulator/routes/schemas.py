"""`/crm-object-schemas`: custom objects."""

from __future__ import annotations

from hubspot_emulator.account import Account
from hubspot_emulator.batchinput import inputs_of
from hubspot_emulator.clock import iso
from hubspot_emulator.problems import BadRequest
from hubspot_emulator.router import DATED, Handler, Route
from hubspot_emulator.web import Answer, Request

__all__ = ["ROUTES"]


def list_all(account: Account, request: Request) -> Answer:
    archived = request.flag("archived")
    return Answer({"results": [] if archived else [one.wire() for one in account.schemas.all()]})


def create(account: Account, request: Request) -> Answer:
    return Answer(account.schemas.create(request.object).wire(), 201)


def get(account: Account, request: Request) -> Answer:
    return Answer(account.schemas.get(request.params["schema"]).wire())


def update(account: Account, request: Request) -> Answer:
    schemas = account.schemas
    return Answer(schemas.change(schemas.get(request.params["schema"]), request.object).wire())


def archive(account: Account, request: Request) -> Answer:
    account.schemas.remove(account.schemas.get(request.params["schema"]))
    return Answer(None, 204)


def create_association(account: Account, request: Request) -> Answer:
    schema = account.schemas.get(request.params["schema"])
    body = request.object
    target, name = body.get("toObjectTypeId"), body.get("name")
    if not isinstance(target, str) or not isinstance(name, str | None):
        raise BadRequest("Some required fields were not set: [toObjectTypeId]")
    return Answer(account.schemas.associate(schema, account.portal.table(target), name), 201)


def delete_association(account: Account, request: Request) -> Answer:
    account.schemas.dissociate(account.schemas.get(request.params["schema"]), request.params["association"])
    return Answer(None, 204)


def batch_read(account: Account, request: Request) -> Answer:
    names = request.object.get("inputs")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        names = [one.get("id") for one in inputs_of(request.object)]
    now = iso(account.clock.now_ms())
    results = [account.schemas.get(str(name)).wire() for name in names]
    return Answer({"status": "COMPLETE", "results": results, "startedAt": now, "completedAt": now})


def _route(name: str, method: str, tail: str, handler: Handler, access: str) -> Route:
    roots = ("/crm-object-schemas/v3/schemas", "/crm/v3/schemas", f"/crm-object-schemas/{DATED}/schemas")
    paths = tuple(root + tail for root in roots)
    return Route(f"schemas.{name}", method, paths, handler, f"crm.schemas.custom.{access}")


ROUTES = (
    _route("list", "GET", "", list_all, "read"),
    _route("create", "POST", "", create, "write"),
    _route("get", "GET", "/{schema}", get, "read"),
    _route("update", "PATCH", "/{schema}", update, "write"),
    _route("archive", "DELETE", "/{schema}", archive, "write"),
    _route("create_association", "POST", "/{schema}/associations", create_association, "write"),
    _route("delete_association", "DELETE", "/{schema}/associations/{association}", delete_association, "write"),
    _route("batch_read", "POST", "/batch/read", batch_read, "read"),
)
