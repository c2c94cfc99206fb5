"""A client for HubSpot's CRM: knows HTTP and HubSpot, no database and no settings."""

from crm_sync.hubspot.client import HubSpotClient
from crm_sync.hubspot.errors import HubSpotError
from crm_sync.hubspot.exchange import Bucket
from crm_sync.hubspot.objects import BatchResult, Record, RecordInput
from crm_sync.hubspot.ratelimit import DEFAULT_BUDGETS, Budget, LocalRateLimiter, RateLimiter
from crm_sync.hubspot.retry import RetryRules
from crm_sync.hubspot.shared_ratelimit import SharedRateLimiter
from crm_sync.hubspot.transport import CallCounts, Timeouts

__all__ = [
    "DEFAULT_BUDGETS",
    "BatchResult",
    "Bucket",
    "Budget",
    "CallCounts",
    "HubSpotClient",
    "HubSpotError",
    "LocalRateLimiter",
    "RateLimiter",
    "Record",
    "RecordInput",
    "RetryRules",
    "SharedRateLimiter",
    "Timeouts",
]
