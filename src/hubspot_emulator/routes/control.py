"""`/_emulator/…`: what a test or a person does to the emulator, beside the API. No token needed."""

from __future__ import annotations

import dataclasses
from datetime import datetime
from typing import Any

from hubspot_emulator.account import Account
from hubspot_emulator.behaviour import Behaviour
from hubspot_emulator.clock import iso
from hubspot_emulator.problems import BadRequest
from hubspot_emulator.quota import TIERS, Tier
from hubspot_emulator.router import Handler, Route
from hubspot_emulator.seed import SeedSizes
from hubspot_emulator.web import Answer, Request

__all__ = ["ROUTES"]


def overview(account: Account, request: Request) -> Answer:
    """What the portal holds."""
    records = {
        table.type.name: sum(not record.archived for record in table.records.values())
        for table in account.portal.tables.values()
    }
    return Answer(
        {
            "portalId": account.portal.id,
            "records": records,
            "calls": account.calls.total,
            "clock": iso(account.clock.now_ms()),
            "tier": dataclasses.asdict(account.quota.limits),
            "behaviour": dataclasses.asdict(account.behaviour),
        }
    )


def reset(account: Account, request: Request) -> Answer:
    account.reset()
    return Answer(None, 204)


def calls(account: Account, request: Request) -> Answer:
    """`limit` newest calls, oldest of them first; counts are of all calls since the reset."""
    limit = request.number("limit", 1_000, low=0, high=10_000)
    log = account.calls
    return Answer(
        {
            "total": log.total,
            "counts": dict(sorted(log.counts.items())),
            "statuses": {str(status): count for status, count in sorted(log.statuses.items())},
            "calls": [call.wire() for call in log.all()[-limit:]] if limit else [],
        }
    )


def forget_calls(account: Account, request: Request) -> Answer:
    account.calls.clear()
    return Answer(None, 204)


def faults(account: Account, request: Request) -> Answer:
    return Answer({"results": [dataclasses.asdict(fault) for fault in account.faults.all()]})


def lay_fault(account: Account, request: Request) -> Answer:
    """`{"kind": "502-after", "path": "*/batch/upsert", "nth": 2}`; the fields of `Fault`."""
    options = dict(request.object)
    fault = account.faults.lay(options.pop("kind"), **options)
    return Answer(dataclasses.asdict(fault), 201)


def clear_faults(account: Account, request: Request) -> Answer:
    account.faults.clear()
    return Answer(None, 204)


def tokens(account: Account, request: Request) -> Answer:
    return Answer({"results": [_token(token) for token in account.tokens.all()]})


def set_token(account: Account, request: Request) -> Answer:
    """`{"token": "pat-…", "scopes": [...] or null, "status": "active" | "revoked" | "expired"}`."""
    body = request.object
    value, scopes = body.get("token"), body.get("scopes")
    if not isinstance(value, str) or not value or not (scopes is None or isinstance(scopes, list)):
        raise BadRequest("token must be text, scopes a list or null")
    return Answer(_token(account.tokens.add(value, scopes, body.get("status", "active"))), 201)


def _token(token: Any) -> dict[str, Any]:
    scopes = None if token.scopes is None else sorted(token.scopes)
    return {"token": token.value, "appId": token.app_id, "scopes": scopes, "status": token.status}


def set_tier(account: Account, request: Request) -> Answer:
    """`{"tier": "free"}`, or limits of one's own: `{"burst": 5, "daily": 100, "associations": 5, "search": 1}`."""
    body = request.object
    if "tier" in body:
        if body["tier"] not in TIERS:
            raise BadRequest(f"unknown tier; known: {', '.join(TIERS)}")
        account.quota.set_tier(body["tier"])
    else:
        limits = dataclasses.asdict(account.quota.limits) | body
        if not all(isinstance(value, int) and value >= 0 for value in limits.values()):
            raise BadRequest("limits are whole numbers")
        account.quota.set_limits(Tier(**limits))
    return Answer(dataclasses.asdict(account.quota.limits))


def clock(account: Account, request: Request) -> Answer:
    return Answer({"now": iso(account.clock.now_ms()), "frozen": account.clock.frozen})


def set_clock(account: Account, request: Request) -> Answer:
    """`{"freeze": true}`, `{"freeze": "2026-03-01T00:00:00Z"}`, `{"thaw": true}`, `{"advance_seconds": 30}`."""
    body = request.object
    if unknown := set(body) - {"freeze", "thaw", "advance_seconds"}:
        raise BadRequest(f"unknown: {', '.join(sorted(unknown))}")
    if freeze := body.get("freeze"):
        at = None if freeze is True else datetime.fromisoformat(freeze)
        if at is not None and at.tzinfo is None:
            raise BadRequest("freeze needs a time zone, such as Z")
        account.clock.freeze(at)
    if body.get("thaw"):
        account.clock.thaw()
    account.clock.advance(float(body.get("advance_seconds", 0)))
    return clock(account, request)


def behaviour(account: Account, request: Request) -> Answer:
    return Answer(dataclasses.asdict(account.behaviour))


def set_behaviour(account: Account, request: Request) -> Answer:
    """Any of the switches of `Behaviour`. `legacy_paths` and `first_record_id` count from the start only."""
    known = {field.name: field for field in dataclasses.fields(Behaviour)}
    body = request.object
    for name, value in body.items():
        if name not in known:
            raise BadRequest(f"unknown switch {name}; known: {', '.join(known)}")
        expected = type(known[name].default)
        if expected is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if type(value) is not expected:
            raise BadRequest(f"{name} is of type {expected.__name__}")
        if isinstance(value, int | float) and not 0 <= value <= 10**9:
            raise BadRequest(f"{name} is between 0 and 1,000,000,000")
        setattr(account.behaviour, name, value)
    return behaviour(account, request)


def seed(account: Account, request: Request) -> Answer:
    """`{"seed": 1}` and any of the fields of `SeedSizes`, such as `"contacts": 100`; into an empty portal."""
    sizes = dict(request.object)
    number = sizes.pop("seed", 1)
    if not isinstance(number, int):
        raise BadRequest("seed is a number")
    return Answer(account.seed(number, SeedSizes(**sizes)), 201)


def add_owner(account: Account, request: Request) -> Answer:
    body = request.object
    owner = account.portal.owners.add(
        str(body["email"]),
        str(body.get("firstName", "")),
        str(body.get("lastName", "")),
        at_ms=account.clock.now_ms(),
        archived=body.get("archived") is True,
    )
    return Answer(owner, 201)


def add_form(account: Account, request: Request) -> Answer:
    """`{"name": "…"}`; the answer's `id` takes submissions."""
    return Answer(account.portal.forms.add(str(request.object["name"]), account.clock.now_ms()), 201)


def submit_form(account: Account, request: Request) -> Answer:
    """`{"email": "…", …}`: the values of the submission."""
    values = {str(name): str(value) for name, value in request.object.items()}
    account.portal.forms.submit(request.params["form_id"], values, account.clock.now_ms())
    return Answer(None, 204)


def add_email_event(account: Account, request: Request) -> Answer:
    """`{"type": "OPEN", "recipient": "…"}`, and `created` in ms if it is not to be now."""
    body = request.object
    created_ms = body.get("created", account.clock.now_ms())
    if not isinstance(created_ms, int):
        raise BadRequest("created is a number of milliseconds")
    event = account.portal.email_events.add(
        str(body["type"]), str(body["recipient"]), created_ms, portal_id=account.portal.id
    )
    return Answer(event, 201)


def _route(method: str, tail: str, handler: Handler) -> Route:
    return Route(f"control.{handler.__name__}", method, (f"/_emulator{tail}",), handler)


ROUTES = (
    _route("GET", "", overview),
    _route("POST", "/reset", reset),
    _route("GET", "/calls", calls),
    _route("DELETE", "/calls", forget_calls),
    _route("GET", "/faults", faults),
    _route("POST", "/faults", lay_fault),
    _route("DELETE", "/faults", clear_faults),
    _route("GET", "/tokens", tokens),
    _route("POST", "/tokens", set_token),
    _route("POST", "/seed", seed),
    _route("POST", "/owners", add_owner),
    _route("POST", "/forms", add_form),
    _route("POST", "/forms/{form_id}/submissions", submit_form),
    _route("POST", "/email-events", add_email_event),
    _route("PUT", "/tier", set_tier),
    _route("GET", "/clock", clock),
    _route("POST", "/clock", set_clock),
    _route("GET", "/behaviour", behaviour),
    _route("PATCH", "/behaviour", set_behaviour),
)
