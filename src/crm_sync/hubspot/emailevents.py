"""E-mail events: that a marketing e-mail was sent, delivered, opened, clicked or bounced."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from crm_sync.hubspot.caller import Caller
from crm_sync.hubspot.exchange import Json
from crm_sync.hubspot.objects import id_in
from crm_sync.hubspot.times import ms_of_time, time_of_ms

#: Most events of one page.
EMAIL_EVENTS_PAGE = 1_000


@dataclass(frozen=True, slots=True)
class EmailEvent:
    """One event.

    id           HubSpot finds an event by `created_at` and `id` together: its key is both of them
    type         SENT, DELIVERED, OPEN, CLICK, BOUNCE …; None where HubSpot leaves it out, as it may for UNBOUNCE
    campaign_id  of the e-mail that was sent; None when HubSpot does not say
    raw          HubSpot's JSON, whole: the link that was clicked, the reply of a bounce …
    """

    id: str
    created_at: datetime
    type: str | None
    recipient: str | None = None
    campaign_id: str | None = None
    raw: Json = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, body: Json) -> EmailEvent:
        return cls(
            id=id_in(body),
            created_at=time_of_ms(body["created"]),
            type=body.get("type"),
            recipient=body.get("recipient"),
            campaign_id=id_in(body, "emailCampaignId") if body.get("emailCampaignId") is not None else None,
            raw=body,
        )


@dataclass(frozen=True, slots=True)
class EmailEventPage:
    """One page, newest event first.

    offset    what to pass for the next page, with the same type and times and soon, as it does not live long; the last
              page has one too
    has_more  False on the last page
    """

    events: tuple[EmailEvent, ...]
    offset: str | None = None
    has_more: bool = False

    @classmethod
    def of(cls, body: Json) -> EmailEventPage:
        has_more, offset = body["hasMore"], body.get("offset")
        if not isinstance(has_more, bool) or (has_more and offset is None):
            raise TypeError(f"hasMore is {has_more!r}, offset {offset!r}")
        return cls(
            events=tuple(EmailEvent.of(entry) for entry in body["events"]),
            offset=str(offset) if offset is not None else None,
            has_more=has_more,
        )


class EmailEventCalls(Caller):
    async def email_events(
        self,
        type: str | None = None,  # noqa: A002 - HubSpot's word, as in EmailEvent
        start: datetime | None = None,
        end: datetime | None = None,
        offset: str | None = None,
        limit: int = EMAIL_EVENTS_PAGE,
    ) -> EmailEventPage:
        """At most 1,000 events, newest first, under one address for every version of the API.

        `type` is one kind, in capitals; None every kind. `start` and `end` are aware, in whole milliseconds (what is
        finer is cut off), and both belong to the range; None: no bound. Raises ValueError for a time without a zone.
        """
        query = (
            ("limit", str(limit)),
            *((("eventType", type),) if type is not None else ()),
            *((("startTimestamp", str(ms_of_time(start))),) if start is not None else ()),
            *((("endTimestamp", str(ms_of_time(end))),) if end is not None else ()),
            *((("offset", offset),) if offset is not None else ()),
        )
        return await self._get("email_events", self._paths.email_events(), EmailEventPage.of, query)
