"""E-mail events of the older events endpoint: sent, delivered, opened, clicked, bounced."""

from __future__ import annotations

from typing import Any
from uuid import UUID

__all__ = ["EmailEvents"]


class EmailEvents:
    """Events by time, newest first on the wire."""

    def __init__(self) -> None:
        self._events: list[dict[str, Any]] = []

    def add(self, type_: str, recipient: str, at_ms: int, *, portal_id: int, campaign_id: int = 1) -> dict[str, Any]:
        """`type_` such as SENT, DELIVERED, OPEN, CLICK, BOUNCE."""
        event = {
            "id": str(UUID(int=0xE0000000_0000_4000_8000_000000000000 + len(self._events))),
            "created": at_ms,
            "type": type_,
            "recipient": recipient,
            "portalId": portal_id,
            "appId": 20_053,
            "emailCampaignId": campaign_id,
        }
        self._events.append(event)
        return event

    def all(self) -> list[dict[str, Any]]:
        return list(self._events)

    def page(
        self,
        *,
        limit: int,
        first: int,
        start_ms: int | None,
        end_ms: int | None,
        recipient: str | None,
        type_: str | None,
    ) -> tuple[list[dict[str, Any]], bool]:
        """A page of matching events and whether more follow. Both times are inclusive."""
        matching = [
            event
            for event in sorted(self._events, key=lambda one: (-one["created"], one["id"]))
            if (start_ms is None or event["created"] >= start_ms)
            and (end_ms is None or event["created"] <= end_ms)
            and recipient in (None, event["recipient"])
            and type_ in (None, event["type"])
        ]
        return matching[first : first + limit], first + limit < len(matching)
