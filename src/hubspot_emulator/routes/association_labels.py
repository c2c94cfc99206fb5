"""The labels of associations: types of the user's own between two object types."""

from __future__ import annotations

from hubspot_emulator.account import Account
from hubspot_emulator.associationtypes import USER_DEFINED, AssociationType
from hubspot_emulator.problems import BadRequest, NotFound
from hubspot_emulator.router import DATED, Handler, Route
from hubspot_emulator.routes.associations import tables_of
from hubspot_emulator.web import Answer, Request

__all__ = ["ROUTES"]


def labels(account: Account, request: Request) -> Answer:
    origin, target = tables_of(account, request)
    types = account.portal.relations.store.types.between(origin.type, target.type).values()
    return Answer({"results": [type_.wire() for type_ in types]})


def create_label(account: Account, request: Request) -> Answer:
    origin, target = tables_of(account, request)
    body = request.object
    name, label, inverse = body.get("name"), body.get("label"), body.get("inverseLabel")
    if not isinstance(name, str) or not isinstance(label, str) or not isinstance(inverse, str | None):
        raise BadRequest("Some required fields were not set: [name, label]")
    types = account.portal.relations.store.types
    if any(one.label == label for one in types.between(origin.type, target.type).values()):
        raise BadRequest(f"The label {label} already exists")
    there, back = types.add_label(origin.type, target.type, name, label, inverse)
    return Answer({"results": [there.wire()] if there is back else [there.wire(), back.wire()]})


def _own_label(account: Account, request: Request, type_id: object) -> AssociationType:
    origin, target = tables_of(account, request)
    types = account.portal.relations.store.types.between(origin.type, target.type)
    text = str(type_id)
    type_ = types.get(int(text)) if text.isascii() and text.isdecimal() and len(text) < 10 else None
    if type_ is None or type_.category != USER_DEFINED:
        raise NotFound(f"Association label {type_id} does not exist")
    return type_


def update_label(account: Account, request: Request) -> Answer:
    body = request.object
    type_ = _own_label(account, request, body.get("associationTypeId"))
    label, inverse_label = body.get("label"), body.get("inverseLabel")
    if not isinstance(label, str) or not isinstance(inverse_label, str | None):
        raise BadRequest("Some required fields were not set: [label]")
    type_.label = label
    if inverse_label is not None:
        account.portal.relations.store.types.inverse(type_).label = inverse_label
    return Answer(None, 204)


def delete_label(account: Account, request: Request) -> Answer:
    type_ = _own_label(account, request, request.params["association_type_id"])
    account.portal.relations.store.retire(type_)
    return Answer(None, 204)


def _route(name: str, method: str, tail: str, handler: Handler, access: str) -> Route:
    roots = ("/crm/v4/associations", f"/crm/associations/{DATED}")
    paths = tuple(f"{root}/{{from_type}}/{{to_type}}/labels{tail}" for root in roots)
    return Route(f"associations.{name}", method, paths, handler, access)


ROUTES = (
    _route("labels", "GET", "", labels, "read"),
    _route("create_label", "POST", "", create_label, "write"),
    _route("update_label", "PUT", "", update_label, "write"),
    _route("delete_label", "DELETE", "/{association_type_id}", delete_label, "write"),
)
