"""Mirror tables: what HubSpot holds, one table for each object type, in the schema `hubspot`.

An object type is data: its typed columns, each with the property that fills it. `mirror_table` adds what every mirror
has. The table of a custom object is made when it is first pulled; see `crm_sync.pull.streams`.

    hubspot_id     HubSpot's record id
    properties     every property that has a value, as HubSpot's text: nothing that a typed column cannot hold is lost
    created_at, updated_at, archived_at   HubSpot's own times
    archived       in HubSpot's recycle bin, where a record stays for 90 days
    read_at        when the page was asked for that the row is from; an older page does not overwrite it
    missing_since  a listing did not show the record where it should have; it is asked for by id before it is removed
    synced_at      when the row was last written here: rows that did not change are not written again
"""

from typing import Any

from sqlalchemy import (
    DDL,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Index,
    MetaData,
    Numeric,
    Table,
    Text,
    event,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeEngine

from crm_sync.models.base import Base

SCHEMA = "hubspot"
TIME = DateTime(timezone=True)

#: The columns that every mirror table has beside its typed ones.
KEPT = ("hubspot_id", "properties", "created_at", "updated_at", "archived", "archived_at", "read_at")


def typed(
    name: str,
    type_: TypeEngine[Any] | None = None,
    *,
    of: str | None = None,
    options: bool = False,
    many: bool = False,
) -> Column[Any]:
    """A column filled from the property `of` (its own name by default), as Text unless `type_` says otherwise.

    options  only values that HubSpot's definition of the property lists belong here
    many     several such values, parted by semicolons
    """
    info = {"property": of or name, "options": options, "many": many}
    return Column(name, type_ if type_ is not None else Text(), info=info)


def mirror_table(name: str, *columns: Column[Any], metadata: MetaData = Base.metadata) -> Table:
    """The mirror of one object type."""
    return Table(
        name,
        metadata,
        Column("hubspot_id", BigInteger, primary_key=True, autoincrement=False),
        *columns,
        Column("properties", JSONB, nullable=False),
        Column("created_at", TIME),
        Column("updated_at", TIME),
        Column("archived", Boolean, nullable=False, server_default=text("false")),
        Column("archived_at", TIME),
        Column("read_at", TIME, nullable=False),
        Column("missing_since", TIME),
        Column("synced_at", TIME, nullable=False, server_default=func.now()),
        # Both hold few rows; they let a pass over the recycle bin, and the look at what is missing, skip the others.
        Index(f"ix_{name}_archived", "hubspot_id", postgresql_where=text("archived")),
        Index(f"ix_{name}_missing", "hubspot_id", postgresql_where=text("missing_since IS NOT NULL")),
        schema=SCHEMA,
    )


def typed_columns(table: Table) -> tuple[Column[Any], ...]:
    """Those of a mirror's columns that a property fills."""
    return tuple(column for column in table.columns if "property" in column.info)


def _owner() -> Column[Any]:
    return typed("owner_id", BigInteger(), of="hubspot_owner_id")


contacts = mirror_table(
    "contacts",
    typed("email"),
    typed("first_name", of="firstname"),
    typed("last_name", of="lastname"),
    typed("phone"),
    typed("company"),
    typed("job_title", of="jobtitle"),
    typed("lifecycle_stage", of="lifecyclestage", options=True),
    typed("lead_status", of="hs_lead_status", options=True),
    typed("additional_emails", of="hs_additional_emails"),
    _owner(),
)
# Submissions of forms and e-mail events name a person by e-mail alone.
Index("ix_contacts_lower_email", func.lower(contacts.c.email))

companies = mirror_table(
    "companies",
    typed("name"),
    typed("domain"),
    typed("phone"),
    typed("city"),
    typed("country"),
    typed("industry", options=True),
    typed("annual_revenue", Numeric(), of="annualrevenue"),
    typed("employees", BigInteger(), of="numberofemployees"),
    typed("lifecycle_stage", of="lifecyclestage", options=True),
    _owner(),
)

deals = mirror_table(
    "deals",
    typed("name", of="dealname"),
    typed("amount", Numeric()),
    typed("currency", of="deal_currency_code"),
    typed("pipeline"),
    typed("stage", of="dealstage"),
    typed("deal_type", of="dealtype", options=True),
    typed("priority", of="hs_priority", options=True),
    typed("close_at", TIME, of="closedate"),
    typed("is_closed", Boolean(), of="hs_is_closed"),
    typed("is_closed_won", Boolean(), of="hs_is_closed_won"),
    _owner(),
)

tickets = mirror_table(
    "tickets",
    typed("subject"),
    typed("pipeline", of="hs_pipeline"),
    typed("stage", of="hs_pipeline_stage"),
    typed("priority", of="hs_ticket_priority", options=True),
    typed("category", of="hs_ticket_category", options=True, many=True),
    typed("closed_at", TIME, of="closed_date"),
    _owner(),
)

appointments = mirror_table(
    "appointments",
    typed("name", of="hs_appointment_name"),
    typed("start_at", TIME, of="hs_appointment_start"),
    typed("end_at", TIME, of="hs_appointment_end"),
    typed("pipeline", of="hs_pipeline"),
    typed("stage", of="hs_pipeline_stage"),
    _owner(),
)

orders = mirror_table(
    "orders",
    typed("name", of="hs_order_name"),
    typed("external_id", of="hs_external_order_id"),
    typed("total", Numeric(), of="hs_total_price"),
    typed("currency", of="hs_currency_code"),
    typed("status", of="hs_external_order_status"),
    typed("fulfillment_status", of="hs_fulfillment_status"),
    typed("ordered_at", TIME, of="hs_external_created_date"),
    typed("pipeline", of="hs_pipeline"),
    typed("stage", of="hs_pipeline_stage"),
    _owner(),
)

notes = mirror_table(
    "notes",
    typed("occurred_at", TIME, of="hs_timestamp"),
    typed("body", of="hs_note_body"),
    _owner(),
)

calls = mirror_table(
    "calls",
    typed("occurred_at", TIME, of="hs_timestamp"),
    typed("title", of="hs_call_title"),
    typed("body", of="hs_call_body"),
    typed("direction", of="hs_call_direction", options=True),
    typed("status", of="hs_call_status", options=True),
    typed("duration_ms", Numeric(), of="hs_call_duration"),
    _owner(),
)

emails = mirror_table(
    "emails",
    typed("occurred_at", TIME, of="hs_timestamp"),
    typed("subject", of="hs_email_subject"),
    typed("body", of="hs_email_text"),
    typed("direction", of="hs_email_direction", options=True),
    typed("status", of="hs_email_status", options=True),
    typed("from_email", of="hs_email_from_email"),
    typed("to_email", of="hs_email_to_email"),
    _owner(),
)

meetings = mirror_table(
    "meetings",
    typed("occurred_at", TIME, of="hs_timestamp"),
    typed("title", of="hs_meeting_title"),
    typed("body", of="hs_meeting_body"),
    typed("location", of="hs_meeting_location"),
    typed("outcome", of="hs_meeting_outcome", options=True),
    typed("start_at", TIME, of="hs_meeting_start_time"),
    typed("end_at", TIME, of="hs_meeting_end_time"),
    _owner(),
)

tasks = mirror_table(
    "tasks",
    typed("occurred_at", TIME, of="hs_timestamp"),
    typed("subject", of="hs_task_subject"),
    typed("body", of="hs_task_body"),
    typed("status", of="hs_task_status", options=True),
    typed("priority", of="hs_task_priority", options=True),
    typed("task_type", of="hs_task_type", options=True),
    typed("completed_at", TIME, of="hs_task_completion_date"),
    _owner(),
)

#: The mirrors that every database has.
MIRRORS: dict[str, Table] = {
    table.name: table
    for table in (contacts, companies, deals, tickets, appointments, orders, notes, calls, emails, meetings, tasks)
}


#: Activities of every kind in one list.
ENGAGEMENTS_VIEW = """CREATE VIEW hubspot.engagements AS
SELECT 'note' AS type, hubspot_id, occurred_at, NULL::text AS title, body, owner_id, properties, archived, updated_at
FROM hubspot.notes
UNION ALL SELECT 'call', hubspot_id, occurred_at, title, body, owner_id, properties, archived, updated_at
FROM hubspot.calls
UNION ALL SELECT 'email', hubspot_id, occurred_at, subject, body, owner_id, properties, archived, updated_at
FROM hubspot.emails
UNION ALL SELECT 'meeting', hubspot_id, occurred_at, title, body, owner_id, properties, archived, updated_at
FROM hubspot.meetings
UNION ALL SELECT 'task', hubspot_id, occurred_at, subject, body, owner_id, properties, archived, updated_at
FROM hubspot.tasks"""

event.listen(Base.metadata, "before_create", DDL(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"))  # type: ignore[no-untyped-call]
event.listen(Base.metadata, "after_create", DDL(ENGAGEMENTS_VIEW))  # type: ignore[no-untyped-call]
