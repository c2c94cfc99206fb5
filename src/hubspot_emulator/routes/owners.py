"""`/crm/v3/owners`."""

from __future__ import annotations

from typing import Any

from hubspot_emulator.account import Account
from hubspot_emulator.problems import BadRequest
from hubspot_emulator.router import DATED, Route
from hubspot_emulator.web import Answer, Request

__all__ = ["ROUTES"]


def list_page(account: Account, request: Request) -> Answer:
    """`limit` up to 500, `after`, `email`, `archived`."""
    page, following = account.portal.owners.page(
        limit=request.number("limit", 100, low=1, high=500),
        first=request.number("after", 0, low=0, high=10**18),
        email=request.text("email"),
        archived=request.flag("archived"),
    )
    body: dict[str, Any] = {"results": page}
    if following is not None:
        body["paging"] = {"next": {"after": str(following), "link": f"?after={following}"}}
    return Answer(body)


def get(account: Account, request: Request) -> Answer:
    """`idProperty` is `id` or `userId`."""
    id_property = request.text("idProperty") or "id"
    if id_property not in ("id", "userId"):
        raise BadRequest("idProperty must be id or userId")
    owner = account.portal.owners.get(
        request.params["owner_id"], by_user_id=id_property == "userId", archived=request.flag("archived")
    )
    return Answer(owner)


_SCOPE = "crm.objects.owners.read"

ROUTES = (
    Route("owners.list", "GET", ("/crm/v3/owners", f"/crm/owners/{DATED}"), list_page, _SCOPE),
    Route("owners.get", "GET", ("/crm/v3/owners/{owner_id}", f"/crm/owners/{DATED}/{{owner_id}}"), get, _SCOPE),
)
