"""The user's table: contacts of about 400 bytes, fifteen columns, an index on e-mail and what the queue needs."""

from __future__ import annotations

import enum
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Status(enum.Enum):
    Idle = "Idle"
    Queued = "Queued"
    Processing = "Processing"
    Complete = "Complete"
    Error = "Error"


class Person:
    """The columns that every variant of the table has."""

    __tablename__ = "contacts"

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=sa.text("gen_random_uuid()"))
    seq: Mapped[int]
    email: Mapped[str] = mapped_column(index=True)
    name: Mapped[str | None]
    phone: Mapped[str | None]
    company: Mapped[str | None]
    source_url: Mapped[str | None]
    context: Mapped[str | None]
    score: Mapped[int | None]
    has_gmail: Mapped[bool | None]
    status: Mapped[Status] = mapped_column(sa.Enum(Status, name="job_status"))
    created_at: Mapped[datetime] = mapped_column(server_default=sa.func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=sa.func.now(), onupdate=sa.func.now())


class Line:
    """What a handler with a session writes: one line for each contact."""

    __tablename__ = "notes"

    id: Mapped[int] = mapped_column(primary_key=True)
    contact_id: Mapped[UUID]
    text: Mapped[str]


TYPES = {datetime: sa.DateTime(timezone=True), str: sa.Text()}


class PlainBase(DeclarativeBase):
    type_annotation_map = TYPES


class PlainContact(Person, PlainBase):
    """As a user would have it who claims by status alone."""

    retry_count: Mapped[int] = mapped_column(server_default="0")
    error: Mapped[str | None]


class PlainNote(Line, PlainBase):
    pass


#: As a statement and not by the unit of work, which would cost all who write it more than anything that is compared.
ADD_NOTE = sa.insert(sa.table("notes", sa.column("contact_id"), sa.column("text")))


sa.Index("contacts_queued", PlainContact.status, postgresql_where=sa.text("status = 'Queued'"))
ORDERED_INDEX = "CREATE INDEX contacts_queued_oldest ON contacts (created_at, id) WHERE status = 'Queued'"

#: $1 and $2: the first number and the last. Rows of higher numbers are younger.
FILL = """
    INSERT INTO contacts (seq, email, name, phone, company, source_url, context, score, has_gmail, status, created_at)
    SELECT i, 'person.' || md5(i::text) || '@example.org', 'Person Number ' || i, '+1-555-' || i,
           'Company ' || i % 1000 || ' Incorporated',
           'https://www.example.org/pages/' || md5((i + 1)::text) || '/contact',
           repeat(md5((i + 2)::text), 4), i % 100, i % 2 = 0, 'Queued',
           timestamptz '2026-01-01 00:00Z' + i * interval '1 millisecond'
    FROM generate_series($1::int, $2::int) AS i
"""
COUNTS = """
    SELECT count(*) FILTER (WHERE status IN ('Queued', 'Processing')), count(*) FILTER (WHERE status = 'Complete')
    FROM contacts
"""
#: Finished is only what has its one note.
NOTED = """
    SELECT count(*) FILTER (WHERE status IN ('Queued', 'Processing')), count(*) FILTER (WHERE status = 'Complete')
    FROM contacts
    LEFT JOIN (SELECT contact_id, count(*) AS notes FROM notes GROUP BY contact_id) AS n ON n.contact_id = contacts.id
    WHERE coalesce(notes, 0) = (status = 'Complete')::int
"""
REQUEUE = "UPDATE contacts SET status = 'Queued', updated_at = now()"
#: The table, and all its indexes, in bytes; how often autovacuum came.
SIZES = """
    SELECT pg_table_size('contacts'), pg_indexes_size('contacts'),
           (SELECT autovacuum_count FROM pg_stat_user_tables WHERE relname = 'contacts')
"""
