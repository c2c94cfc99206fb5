"""The tables, and no logic. Importing this package registers all of them with `Base.metadata`."""

from crm_sync.models import marketing, mirror, relations
from crm_sync.models.base import Base, Timestamped
from crm_sync.models.contact import Contact, CRMProcessingStatus, CRMSyncStatus
from crm_sync.models.control import RateBudget, queue_pauses
from crm_sync.models.sync import SyncCursor, SyncIssue, SyncRun, SyncRunStatus

__all__ = [
    "Base",
    "CRMProcessingStatus",
    "CRMSyncStatus",
    "Contact",
    "RateBudget",
    "SyncCursor",
    "SyncIssue",
    "SyncRun",
    "SyncRunStatus",
    "Timestamped",
    "marketing",
    "mirror",
    "queue_pauses",
    "relations",
]
