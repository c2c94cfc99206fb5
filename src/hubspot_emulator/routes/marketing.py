"""Forms, form submissions and e-mail events: the marketing data that a CRM synchronisation reads."""

from __future__ import annotations

import re
from typing import Any

from hubspot_emulator.account import Account
from hubspot_emulator.problems import BadRequest
from hubspot_emulator.router import DATED, Route
from hubspot_emulator.web import Answer, Request

__all__ = ["ROUTES"]

_FAR = 10**15
_OFFSET = re.compile("([0-9a-f]{1,12})-([0-9a-f]{1,12})")


def _paged(page: list[dict[str, Any]], following: int | None) -> dict[str, Any]:
    body: dict[str, Any] = {"results": page}
    if following is not None:
        body["paging"] = {"next": {"after": str(following), "link": f"?after={following}"}}
    return body


def forms(account: Account, request: Request) -> Answer:
    limit = request.number("limit", 50, low=1, high=500)
    first = request.number("after", 0, low=0, high=_FAR)
    return Answer(_paged(*account.portal.forms.page(limit=limit, first=first)))


def form(account: Account, request: Request) -> Answer:
    return Answer(account.portal.forms.get(request.params["form_id"]))


def submissions(account: Account, request: Request) -> Answer:
    """At most 50 a page, newest first; no filter by time [D]."""
    limit = request.number("limit", 20, low=1, high=50)
    first = request.number("after", 0, low=0, high=_FAR)
    page = account.portal.forms.submissions(request.params["form_id"], limit=limit, first=first)
    return Answer(_paged(*page))


def email_events(account: Account, request: Request) -> Answer:
    """`limit` up to 1,000, `offset` from the last answer to the same question; `startTimestamp` and `endTimestamp` in
    ms, both included."""
    limit = request.number("limit", 100, low=1, high=1_000)
    start_ms = request.number("startTimestamp", -1, low=0, high=_FAR)
    end_ms = request.number("endTimestamp", -1, low=0, high=_FAR)
    first = _event_offset(account, request.text("offset"))
    events, more = account.portal.email_events.page(
        limit=limit,
        first=first,
        start_ms=None if start_ms < 0 else start_ms,
        end_ms=None if end_ms < 0 else end_ms,
        recipient=request.text("recipient"),
        type_=request.text("eventType"),
    )
    offset = f"{first + len(events):x}-{account.clock.now_ms():x}"
    return Answer({"hasMore": more, "offset": offset, "events": events})


def _event_offset(account: Account, token: str | None) -> int:
    """How many events the offset skips. It is opaque and short-lived [D]."""
    if token is None:
        return 0
    found = _OFFSET.fullmatch(token)
    if found is None:
        raise BadRequest(f"offset {token!r} is none that this endpoint gave")
    lives_ms = account.behaviour.event_offset_lives_seconds * 1_000
    if lives_ms and account.clock.now_ms() - int(found[2], 16) > lives_ms:
        raise BadRequest("offset is too old")
    return int(found[1], 16)


ROUTES = (
    Route("forms.list", "GET", ("/marketing/v3/forms", f"/marketing/forms/{DATED}"), forms, "forms"),
    Route(
        "forms.get", "GET", ("/marketing/v3/forms/{form_id}", f"/marketing/forms/{DATED}/{{form_id}}"), form, "forms"
    ),
    Route(
        "forms.submissions",
        "GET",
        ("/form-integrations/v1/submissions/forms/{form_id}",),
        submissions,
        "forms",
    ),
    Route("email_events.list", "GET", ("/email/public/v1/events",), email_events, "content"),
)
