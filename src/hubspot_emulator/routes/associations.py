"""Associations, v4 and dated: one record, or batches of up to 2,000 pairs."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from hubspot_emulator.account import Account
from hubspot_emulator.associationtypes import AssociationType
from hubspot_emulator.batchinput import ends_of, inputs_of, pairs_of
from hubspot_emulator.clock import iso
from hubspot_emulator.problems import BadRequest, NotFound, Problem
from hubspot_emulator.record import Record
from hubspot_emulator.router import DATED, Handler, Route
from hubspot_emulator.table import Table
from hubspot_emulator.web import Answer, Request

__all__ = ["ROUTES", "batch_answer", "both_of", "none_found", "separate", "tables_of"]

_MAX_READ = 1_000
_MAX_CREATE = 2_000
_PAGE = 500


def tables_of(account: Account, request: Request) -> tuple[Table, Table]:
    params = request.params
    return account.portal.table(params["from_type"]), account.portal.table(params["to_type"])


def both_of(account: Account, origin: Table, from_id: str, target: Table, to_id: str) -> tuple[Record, Record]:
    """Both ends of an association in a batch, where merged ids do not resolve. Raises NotFound."""
    live = account.portal.relations.live
    return live(origin, from_id, merged=False), live(target, to_id, merged=False)


def batch_answer(
    account: Account, results: list[Any], errors: list[Problem], status: int, partial: int = 207
) -> Answer:
    """`status`, or `partial` when there are errors."""
    now = iso(account.clock.now_ms())
    body: dict[str, Any] = {"status": "COMPLETE", "results": results, "startedAt": now, "completedAt": now}
    if errors:
        body |= {"numErrors": len(errors), "errors": [one.batch_entry() for one in errors]}
        status = partial
    return Answer(body, status)


def _default(account: Account, origin: Table, record: Record, target: Table, other: Record) -> list[dict[str, Any]]:
    """Associate without a label; both directions as the wire shows them."""
    relations = account.portal.relations
    relations.associate(origin, record, target, other)
    there = relations.store.types.default(origin.type, target.type)
    back = relations.store.types.inverse(there)
    return [
        {
            "from": {"id": str(one)},
            "to": {"id": str(two)},
            "associationSpec": {"associationCategory": type_.category, "associationTypeId": type_.type_id},
        }
        for one, two, type_ in ((record.id, other.id, there), (other.id, record.id, back))
    ]


ShownId = Callable[[int], str | int]


def _shown_id(account: Account, request: Request) -> ShownId:
    """How this call's answer writes the ids of associated records (`association_ids_are_numbers`)."""
    return int if account.behaviour.association_ids_are_numbers and f"/{DATED}/" not in request.path else str


def _labelled(
    origin: Table, record: Record, target: Table, other: Record, types: list[AssociationType], shown_id: ShownId
) -> dict[str, Any]:
    return {
        "fromObjectTypeId": origin.type.type_id,
        "fromObjectId": shown_id(record.id),
        "toObjectTypeId": target.type.type_id,
        "toObjectId": shown_id(other.id),
        "labels": [type_.label for type_ in types if type_.label is not None],
    }


# one record


def list_of(account: Account, request: Request) -> Answer:
    """`limit` up to 500, `after`: the id to start from."""
    origin, target = tables_of(account, request)
    record = account.portal.relations.live(origin, request.params["record_id"])
    limit = request.number("limit", _PAGE, low=1, high=_PAGE)
    first = request.number("after", 0, low=0, high=10**18)
    rows = [row for row in account.portal.relations.targets(origin, record, target) if row[0] >= first]
    shown_id = _shown_id(account, request)
    body: dict[str, Any] = {"results": [_row(other, types, shown_id) for other, types in rows[:limit]]}
    if len(rows) > limit:
        body["paging"] = {"next": {"after": str(rows[limit][0]), "link": f"?after={rows[limit][0]}"}}
    return Answer(body)


def _row(other: int, types: list[AssociationType], shown_id: ShownId) -> dict[str, Any]:
    return {"toObjectId": shown_id(other), "associationTypes": [type_.wire() for type_ in types]}


def _single(account: Account, request: Request) -> tuple[Table, Record, Table, Record]:
    origin, target = tables_of(account, request)
    live = account.portal.relations.live
    return origin, live(origin, request.params["record_id"]), target, live(target, request.params["to_id"])


def put_default(account: Account, request: Request) -> Answer:
    return batch_answer(account, _default(account, *_single(account, request)), [], 200)


def put_labelled(account: Account, request: Request) -> Answer:
    """The body is the list of types, itself."""
    origin, record, target, other = _single(account, request)
    types = account.portal.relations.specified(origin.type, target.type, request.json)
    account.portal.relations.associate(origin, record, target, other, types)
    return Answer(_labelled(origin, record, target, other, types, _shown_id(account, request)), 201)


def delete(account: Account, request: Request) -> Answer:
    """All types between the two; 204 as well when there are none."""
    origin, record, target, other = _single(account, request)
    account.portal.relations.store.separate(origin.type, target.type, record.id, other.id)
    return Answer(None, 204)


# batches


def batch_read(account: Account, request: Request) -> Answer:
    """Up to 1,000 ids. A record without associations is an error in a 207, and means "none" [O]."""
    origin, target = tables_of(account, request)
    shown_id = _shown_id(account, request)
    results: list[dict[str, Any]] = []
    errors: list[Problem] = []
    for one in inputs_of(request.object, _MAX_READ):
        id_ = one.get("id")
        if not isinstance(id_, str) or not id_:
            raise BadRequest("Some required fields were not set: [id]")
        after = one.get("after") or "0"
        if not isinstance(after, str) or not (after.isascii() and after.isdecimal()):
            raise BadRequest("Invalid input JSON: after must be an id")
        number = int(id_) if id_.isascii() and id_.isdecimal() and len(id_) < 19 else 0
        record = origin.live(number)
        rows = [] if record is None else account.portal.relations.targets(origin, record, target)
        rows = [row for row in rows if row[0] >= int(after)]
        if not rows:
            errors.append(none_found(origin, target, id_))
            continue
        result: dict[str, Any] = {"from": {"id": id_}, "to": [_row(*row, shown_id) for row in rows[:_PAGE]]}
        if len(rows) > _PAGE:
            result["paging"] = {"next": {"after": str(rows[_PAGE][0]), "link": "?after"}}
        results.append(result)
    return batch_answer(account, results, errors, 200)


def none_found(origin: Table, target: Table, id_: str) -> Problem:
    message = f"No {target.type.singular} is associated with {origin.type.singular} {id_}."
    problem = NotFound(
        message, fromObjectId=[id_], fromObjectType=[origin.type.singular], toObjectType=[target.type.singular]
    )
    problem.sub_category = "crm.associations.NO_ASSOCIATIONS_FOUND"
    return problem


def batch_create(account: Account, request: Request) -> Answer:
    """Up to 2,000 `{from, to, types}`; a record that is not there is an error in a 207."""
    origin, target = tables_of(account, request)
    pairs = pairs_of(request.object, _MAX_CREATE)
    specified = [account.portal.relations.specified(origin.type, target.type, one.get("types")) for one, _, _ in pairs]
    results: list[dict[str, Any]] = []
    errors: list[Problem] = []
    for (_, from_id, to_id), types in zip(pairs, specified, strict=True):
        try:
            record, other = both_of(account, origin, from_id, target, to_id)
        except NotFound as problem:
            errors.append(problem)
            continue
        account.portal.relations.associate(origin, record, target, other, types)
        results.append(_labelled(origin, record, target, other, types, _shown_id(account, request)))
    return batch_answer(account, results, errors, 201)


def batch_default(account: Account, request: Request) -> Answer:
    """Always 200, the only status that the official clients know here; what failed is in `errors`."""
    origin, target = tables_of(account, request)
    results: list[dict[str, Any]] = []
    errors: list[Problem] = []
    for _, from_id, to_id in pairs_of(request.object, _MAX_CREATE):
        try:
            record, other = both_of(account, origin, from_id, target, to_id)
            results += _default(account, origin, record, target, other)
        except NotFound as problem:
            errors.append(problem)
    return batch_answer(account, results, errors, 200, partial=200)


def batch_archive(account: Account, request: Request) -> Answer:
    """`{from: {id}, to: [{id}, …]}`: every type between them."""
    origin, target = tables_of(account, request)
    for from_id, to_id in ends_of(request.object, _MAX_CREATE):
        separate(account, origin, from_id, target, to_id)
    return Answer(None, 204)


def separate(account: Account, origin: Table, from_id: str, target: Table, to_id: str) -> None:
    """End an association, if there is one."""
    with suppress(NotFound):
        record, other = both_of(account, origin, from_id, target, to_id)
        account.portal.relations.store.separate(origin.type, target.type, record.id, other.id)


def batch_labels_archive(account: Account, request: Request) -> Answer:
    """`{from, to, types}`: these types only."""
    origin, target = tables_of(account, request)
    pairs = pairs_of(request.object, _MAX_CREATE)
    relations = account.portal.relations
    specified = [relations.specified(origin.type, target.type, one.get("types")) for one, _, _ in pairs]
    for (_, from_id, to_id), types in zip(pairs, specified, strict=True):
        try:
            record, other = both_of(account, origin, from_id, target, to_id)
        except NotFound:
            continue
        for type_ in types:
            relations.store.unlink(type_, record.id, other.id)
    return Answer(None, 204)


def _single_route(name: str, method: str, tail: str, handler: Handler, access: str) -> Route:
    paths = (
        f"/crm/v4/objects/{{from_type}}/{{record_id}}/associations{tail}",
        f"/crm/objects/{DATED}/{{from_type}}/{{record_id}}/associations{tail}",
        f"/crm/v3/objects/{{from_type}}/{{record_id}}/associations{tail}",
    )
    return Route(f"associations.{name}", method, paths, handler, access)


def _pair_route(name: str, method: str, tail: str, handler: Handler, access: str) -> Route:
    roots = ("/crm/v4/associations", f"/crm/associations/{DATED}")
    paths = tuple(f"{root}/{{from_type}}/{{to_type}}{tail}" for root in roots)
    return Route(f"associations.{name}", method, paths, handler, access, "associations")


ROUTES = (
    _single_route("list", "GET", "/{to_type}", list_of, "read"),
    _single_route("put_default", "PUT", "/default/{to_type}/{to_id}", put_default, "write"),
    _single_route("put", "PUT", "/{to_type}/{to_id}", put_labelled, "write"),
    _single_route("delete", "DELETE", "/{to_type}/{to_id}", delete, "write"),
    _pair_route("batch_read", "POST", "/batch/read", batch_read, "read"),
    _pair_route("batch_create", "POST", "/batch/create", batch_create, "write"),
    _pair_route("batch_default", "POST", "/batch/associate/default", batch_default, "write"),
    _pair_route("batch_archive", "POST", "/batch/archive", batch_archive, "write"),
    _pair_route("batch_labels_archive", "POST", "/batch/labels/archive", batch_labels_archive, "write"),
)
