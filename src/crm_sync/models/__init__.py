"""The tables, and no logic. Importing this package registers all of them with `Base.metadata`."""

from crm_sync.models.base import Base, Timestamped
from crm_sync.models.contact import Contact, CRMProcessingStatus, CRMSyncStatus
from crm_sync.models.control import RateBudget, queue_pauses

__all__ = ["Base", "CRMProcessingStatus", "CRMSyncStatus", "Contact", "RateBudget", "Timestamped", "queue_pauses"]
