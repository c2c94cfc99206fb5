"""A client for HubSpot's CRM: knows HTTP and HubSpot, no database and no settings."""

from crm_sync.hubspot.client import HubSpotClient
from crm_sync.hubspot.errors import HubSpotError
from crm_sync.hubspot.objects import BatchResult, Record, RecordInput
from crm_sync.hubspot.ratelimit import LocalRateLimiter, RateLimiter
from crm_sync.hubspot.retry import RetryRules
from crm_sync.hubspot.transport import Timeouts

__all__ = [
    "BatchResult",
    "HubSpotClient",
    "HubSpotError",
    "LocalRateLimiter",
    "RateLimiter",
    "Record",
    "RecordInput",
    "RetryRules",
    "Timeouts",
]
