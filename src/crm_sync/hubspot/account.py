"""The account that the token belongs to, and its calls of today."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from crm_sync.hubspot.caller import Caller
from crm_sync.hubspot.exchange import Json
from crm_sync.hubspot.times import time_in


@dataclass(frozen=True, slots=True)
class Account:
    """The HubSpot account (portal) that the token belongs to."""

    portal_id: int
    time_zone: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, body: Json) -> Account:
        return cls(portal_id=int(body["portalId"]), time_zone=body.get("timeZone"), extra=body)


@dataclass(frozen=True, slots=True)
class DailyUsage:
    """The account's calls of today; `resets_at` None when HubSpot does not say."""

    used: int
    limit: int
    resets_at: datetime | None

    @classmethod
    def of(cls, body: Json) -> DailyUsage:
        usage = body["results"][0]
        return cls(
            used=int(usage["currentUsage"]),
            limit=int(usage["usageLimit"]),
            resets_at=time_in(usage.get("resetsAt")),
        )


class AccountCalls(Caller):
    async def account(self) -> Account:
        """The account that the token belongs to: the smallest call that proves a token."""
        return await self._get("account", self._paths.account("details"), Account.of)

    async def daily_usage(self) -> DailyUsage:
        """Today's calls of the account, as HubSpot last counted them (it caches for some minutes)."""
        path = self._paths.account("api-usage", "daily", "private-apps")
        return await self._get("account.usage", path, DailyUsage.of)
