"""HubSpot's clock. A window's ends are compared with times that HubSpot wrote, so it says what now is."""

from __future__ import annotations

from datetime import UTC, datetime

from crm_sync.hubspot import HubSpotClient


async def hubspot_now(client: HubSpotClient) -> datetime:
    """Costs a call where the client has had no answer yet."""
    if client.hubspot_time is None:
        await client.account()
    return client.hubspot_time or datetime.now(UTC)  # a proxy may take the answers' time away
