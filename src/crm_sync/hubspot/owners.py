"""Owners: the people and queues that records are assigned to by `hubspot_owner_id`."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from crm_sync.hubspot.caller import Caller, next_after
from crm_sync.hubspot.exchange import Json
from crm_sync.hubspot.objects import id_in
from crm_sync.hubspot.times import time_in

#: Owners of one page.
OWNERS_PAGE = 500


@dataclass(frozen=True, slots=True)
class Owner:
    """An owner as HubSpot holds it.

    id       what `hubspot_owner_id` of a record says
    user_id  another number, of the person's log-in; None for a person who was removed, and for a queue
    type     PERSON or QUEUE, None when HubSpot does not say
    teams    names, the main one first
    raw      HubSpot's JSON, whole
    """

    id: str
    email: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    user_id: str | None = None
    type: str | None = None
    archived: bool = False
    created_at: datetime | None = None
    updated_at: datetime | None = None
    teams: tuple[str, ...] = ()
    raw: Json = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, body: Json) -> Owner:
        teams = sorted(body.get("teams") or (), key=lambda team: team.get("primary") is not True)
        return cls(
            id=id_in(body),
            email=body.get("email"),
            first_name=body.get("firstName"),
            last_name=body.get("lastName"),
            user_id=id_in(body, "userId") if body.get("userId") is not None else None,
            type=body.get("type"),
            archived=body.get("archived") is True,
            created_at=time_in(body.get("createdAt")),
            updated_at=time_in(body.get("updatedAt")),
            teams=tuple(str(team["name"]) for team in teams),
            raw=body,
        )


@dataclass(frozen=True, slots=True)
class OwnerPage:
    """`after` is what to pass for the next page; None on the last one."""

    owners: tuple[Owner, ...]
    after: str | None = None

    @classmethod
    def of(cls, body: Json) -> OwnerPage:
        return cls(tuple(Owner.of(entry) for entry in body["results"]), next_after(body))


class OwnerCalls(Caller):
    async def list_owners(self, after: str | None = None, archived: bool = False) -> OwnerPage:
        """At most 500 owners: those of today, or only those that were removed. Records keep naming the removed ones."""
        query = (
            ("limit", str(OWNERS_PAGE)),
            *((("after", after),) if after is not None else ()),
            *((("archived", "true"),) if archived else ()),
        )
        return await self._get("owners", self._paths.owners(), OwnerPage.of, query)
