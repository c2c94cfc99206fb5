"""What HubSpot holds that is no CRM record, in the schema `hubspot`: owners, pipelines, forms, e-mail events.

`raw` is HubSpot's JSON as it came.
"""

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, Table, Text, func, text
from sqlalchemy.dialects.postgresql import JSONB

from crm_sync.models.base import Base
from crm_sync.models.mirror import SCHEMA, TIME

owners = Table(
    "owners",
    Base.metadata,
    Column("hubspot_id", BigInteger, primary_key=True, autoincrement=False),
    Column("user_id", BigInteger),
    Column("email", Text),
    Column("first_name", Text),
    Column("last_name", Text),
    Column("archived", Boolean, nullable=False),
    Column("created_at", TIME),
    Column("updated_at", TIME),
    Column("raw", JSONB, nullable=False),
    Column("synced_at", TIME, nullable=False, server_default=func.now()),
    schema=SCHEMA,
)

pipelines = Table(
    "pipelines",
    Base.metadata,
    Column("object_type", Text, primary_key=True),
    Column("pipeline_id", Text, primary_key=True),
    Column("label", Text, nullable=False),
    Column("display_order", Integer, nullable=False),
    Column("archived", Boolean, nullable=False),
    Column("created_at", TIME),
    Column("updated_at", TIME),
    Column("synced_at", TIME, nullable=False, server_default=func.now()),
    schema=SCHEMA,
)

pipeline_stages = Table(
    "pipeline_stages",
    Base.metadata,
    Column("object_type", Text, primary_key=True),
    Column("pipeline_id", Text, primary_key=True),
    Column("stage_id", Text, primary_key=True),
    Column("label", Text, nullable=False),
    Column("display_order", Integer, nullable=False),
    Column("archived", Boolean, nullable=False),
    Column("metadata", JSONB, nullable=False),
    Column("synced_at", TIME, nullable=False, server_default=func.now()),
    schema=SCHEMA,
)

forms = Table(
    "forms",
    Base.metadata,
    Column("form_id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("archived", Boolean, nullable=False),
    Column("created_at", TIME),
    Column("updated_at", TIME),
    Column("raw", JSONB, nullable=False),
    Column("synced_at", TIME, nullable=False, server_default=func.now()),
    schema=SCHEMA,
)

#: `contact_id` is the contact of that e-mail in `hubspot.contacts`; HubSpot's answer names none.
form_submissions = Table(
    "form_submissions",
    Base.metadata,
    Column("form_id", Text, primary_key=True),
    Column("conversion_id", Text, primary_key=True),
    Column("submitted_at", TIME, nullable=False),
    Column("email", Text),
    Column("contact_id", BigInteger),
    Column("page_url", Text),
    Column("raw", JSONB, nullable=False),
    Column("synced_at", TIME, nullable=False, server_default=func.now()),
    Index("ix_form_submissions_contact_id", "contact_id"),
    Index("ix_form_submissions_unlinked", text("lower(email)"), postgresql_where=text("contact_id IS NULL")),
    schema=SCHEMA,
)

email_events = Table(
    "email_events",
    Base.metadata,
    Column("event_id", Text, primary_key=True),
    Column("occurred_at", TIME, primary_key=True),
    Column("type", Text, nullable=False),
    Column("recipient", Text),
    Column("campaign_id", BigInteger),
    Column("raw", JSONB, nullable=False),
    Column("synced_at", TIME, nullable=False, server_default=func.now()),
    Index("ix_email_events_recipient", text("lower(recipient)")),
    schema=SCHEMA,
)
