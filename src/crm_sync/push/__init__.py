"""A local row becomes a HubSpot record."""

from crm_sync.push.mappings import PropertyNames
from crm_sync.push.service import ContactPushService, PushAnswer
from crm_sync.push.setup import SetupStep, setup_properties

__all__ = [
    "ContactPushService",
    "PropertyNames",
    "PushAnswer",
    "SetupStep",
    "setup_properties",
]
