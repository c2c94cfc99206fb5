"""Associations as v3 has them: batches by the name of a type, such as `contact_to_company`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hubspot_emulator.account import Account
from hubspot_emulator.associationtypes import AssociationType
from hubspot_emulator.batchinput import inputs_of, pairs_of
from hubspot_emulator.problems import BadRequest, NotFound, Problem
from hubspot_emulator.router import Handler, Route
from hubspot_emulator.routes.associations import batch_answer, both_of, none_found, separate, tables_of
from hubspot_emulator.web import Answer, Request

__all__ = ["ROUTES"]

_MAX_READ = 1_000


def v3_read(account: Account, request: Request) -> Answer:
    """`{inputs: [{id}]}` → `{from, to: [{id, type}]}`; the same id once per type."""
    origin, target = tables_of(account, request)
    results: list[dict[str, Any]] = []
    errors: list[Problem] = []
    for one in inputs_of(request.object, _MAX_READ):
        id_ = one.get("id")
        number = int(id_) if isinstance(id_, str) and id_.isascii() and id_.isdecimal() and len(id_) < 19 else 0
        record = origin.live(number)
        rows = [] if record is None else account.portal.relations.targets(origin, record, target)
        if not rows:
            errors.append(none_found(origin, target, str(id_)))
            continue
        to = [{"id": str(other), "type": type_.name} for other, types in rows for type_ in types]
        results.append({"from": {"id": id_}, "to": to})
    return batch_answer(account, results, errors, 200)


def _v3_type(account: Account, request: Request, one: Mapping[str, Any]) -> AssociationType:
    origin, target = tables_of(account, request)
    name = one.get("type")
    type_ = None
    if isinstance(name, str):
        type_ = account.portal.relations.store.types.by_name(origin.type, target.type, name)
    if type_ is None:
        raise BadRequest(f"Association type {name} does not exist")
    return type_


def v3_create(account: Account, request: Request) -> Answer:
    """`{from: {id}, to: {id}, type: "contact_to_company"}`."""
    origin, target = tables_of(account, request)
    pairs = pairs_of(request.object)
    types = [_v3_type(account, request, one) for one, _, _ in pairs]
    results: list[dict[str, Any]] = []
    errors: list[Problem] = []
    for (_, from_id, to_id), type_ in zip(pairs, types, strict=True):
        try:
            record, other = both_of(account, origin, from_id, target, to_id)
        except NotFound as problem:
            errors.append(problem)
            continue
        account.portal.relations.associate(origin, record, target, other, [type_])
        results.append({"from": {"id": str(record.id)}, "to": {"id": str(other.id)}, "type": type_.name})
    return batch_answer(account, results, errors, 201)


def v3_archive(account: Account, request: Request) -> Answer:
    origin, target = tables_of(account, request)
    pairs = pairs_of(request.object)
    for one, _, _ in pairs:
        _v3_type(account, request, one)
    for _, from_id, to_id in pairs:
        separate(account, origin, from_id, target, to_id)
    return Answer(None, 204)


def v3_types(account: Account, request: Request) -> Answer:
    origin, target = tables_of(account, request)
    types = account.portal.relations.store.types.between(origin.type, target.type).values()
    return Answer({"results": [{"id": str(one.type_id), "name": one.name} for one in types]})


def _route(name: str, method: str, tail: str, handler: Handler, access: str, bucket: str = "associations") -> Route:
    paths = (f"/crm/v3/associations/{{from_type}}/{{to_type}}{tail}",)
    return Route(f"associations.v3_{name}", method, paths, handler, access, bucket)


ROUTES = (
    _route("batch_read", "POST", "/batch/read", v3_read, "read"),
    _route("batch_create", "POST", "/batch/create", v3_create, "write"),
    _route("batch_archive", "POST", "/batch/archive", v3_archive, "write"),
    _route("types", "GET", "/types", v3_types, "read", "burst"),
)
