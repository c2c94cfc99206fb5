"""Forms, form submissions and e-mail events: the marketing data that a CRM synchronisation reads."""

from __future__ import annotations

from typing import Any

from hubspot_emulator.account import Account
from hubspot_emulator.router import DATED, Route
from hubspot_emulator.web import Answer, Request

__all__ = ["ROUTES"]

_FAR = 10**15


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
    """`limit` up to 1,000, `offset` from the last answer, `startTimestamp` and `endTimestamp` in ms."""
    limit = request.number("limit", 100, low=1, high=1_000)
    first = request.number("offset", 0, low=0, high=_FAR)
    start_ms = request.number("startTimestamp", -1, low=0, high=_FAR)
    end_ms = request.number("endTimestamp", -1, low=0, high=_FAR)
    events, more = account.portal.email_events.page(
        limit=limit,
        first=first,
        start_ms=None if start_ms < 0 else start_ms,
        end_ms=None if end_ms < 0 else end_ms,
        recipient=request.text("recipient"),
        type_=request.text("eventType"),
    )
    return Answer({"hasMore": more, "offset": str(first + len(events)), "events": events})


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
