"""Rows of the contacts table without a database."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


@dataclass
class Row:
    """What the push reads of a contact. `minute` orders rows by their `updated_at`."""

    email: str | None = "ann@example.com"
    hubspot_contact_id: str | None = None
    minute: int = 0
    name: str | None = "Ann Lee"
    phone_number: str | None = None
    domain_id: UUID | None = None
    page_id: UUID | None = None
    id: UUID = field(default_factory=uuid4)

    @property
    def updated_at(self) -> datetime:
        return NOON + timedelta(minutes=self.minute)
