"""A person whom HubSpot should know, and how far that has come."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import DateTime, Enum, Index, Integer, Text, Uuid, func, text
from sqlalchemy.orm import Mapped, mapped_column

from crm_sync.models.base import Base, Timestamped
from jobloop import notify_on_enqueue, queue_indexes


class CRMSyncStatus(StrEnum):
    """What the user wants for a contact, and what came of it."""

    New = "New"
    Selected = "Selected"
    Queued = "Queued"
    Processing = "Processing"
    Complete = "Complete"
    Error = "Error"
    Skipped = "Skipped"


class CRMProcessingStatus(StrEnum):
    """Where a contact stands in a queue; NULL means that it is in none."""

    Queued = "Queued"
    Processing = "Processing"
    Complete = "Complete"
    Error = "Error"


class Contact(Timestamped, Base):
    __tablename__ = "contacts"

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True, server_default=func.gen_random_uuid())
    # As it came: odd case, blanks and nonsense are kept, and HubSpot's verdict is reported per row.
    email: Mapped[str | None] = mapped_column(Text)
    name: Mapped[str | None] = mapped_column(Text)
    phone_number: Mapped[str | None] = mapped_column(Text)
    domain_id: Mapped[UUID | None] = mapped_column(Uuid)
    page_id: Mapped[UUID | None] = mapped_column(Uuid)

    hubspot_sync_status: Mapped[CRMSyncStatus] = mapped_column(
        Enum(CRMSyncStatus, name="crm_sync_status"), server_default=CRMSyncStatus.New.value
    )
    hubspot_contact_id: Mapped[str | None] = mapped_column(Text)

    # The queue "contacts to HubSpot": written by users (status) and by jobloop (all of them).
    hubspot_processing_status: Mapped[CRMProcessingStatus | None] = mapped_column(
        Enum(CRMProcessingStatus, name="crm_processing_status")
    )
    hubspot_processing_error: Mapped[str | None] = mapped_column(Text)
    retry_count: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    next_retry_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    hubspot_claim_token: Mapped[UUID | None] = mapped_column(Uuid)
    hubspot_lease_expires_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    hubspot_rescue_count: Mapped[int] = mapped_column(Integer, server_default=text("0"))

    __table_args__ = (
        Index("ix_contacts_email", "email"),
        *queue_indexes(
            "contacts",
            status="hubspot_processing_status",
            next_retry_at="next_retry_at",
            order=("updated_at",),
        ),
        # Room on each page for the new version of a row: a job is three updates of the same row.
        {"postgresql_with": {"fillfactor": "85"}},
    )


notify_on_enqueue(Contact, status="hubspot_processing_status", next_retry_at="next_retry_at")
