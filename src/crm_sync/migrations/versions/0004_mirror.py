"""HubSpot's mirror in a schema of its own, and the runs, cursors and issues of the pull that fills it.

Locks: creates a schema, tables, a view and a type; nothing that exists is touched.
The role needs CREATE on the database.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import JSONB

from jobloop.migrations import CreateQueueNotifyTrigger

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
NOW = sa.text("now()")
SCHEMA = "hubspot"
TEXT, ID, NUMBER, FLAG = sa.Text(), sa.BigInteger(), sa.Numeric(), sa.Boolean()

MIRRORS: dict[str, dict[str, sa.types.TypeEngine[Any]]] = {
    "contacts": {
        **dict.fromkeys(
            [
                "email",
                "first_name",
                "last_name",
                "phone",
                "company",
                "job_title",
                "lifecycle_stage",
                "lead_status",
                "additional_emails",
            ],
            TEXT,
        ),
        "owner_id": ID,
    },
    "companies": {
        **dict.fromkeys(["name", "domain", "phone", "city", "country", "industry"], TEXT),
        "annual_revenue": NUMBER,
        "employees": ID,
        "lifecycle_stage": TEXT,
        "owner_id": ID,
    },
    "deals": {
        "name": TEXT,
        "amount": NUMBER,
        **dict.fromkeys(["currency", "pipeline", "stage", "deal_type", "priority"], TEXT),
        "close_at": TIME,
        "is_closed": FLAG,
        "is_closed_won": FLAG,
        "owner_id": ID,
    },
    "tickets": {
        **dict.fromkeys(["subject", "pipeline", "stage", "priority", "category"], TEXT),
        "closed_at": TIME,
        "owner_id": ID,
    },
    "appointments": {
        "name": TEXT,
        "start_at": TIME,
        "end_at": TIME,
        "pipeline": TEXT,
        "stage": TEXT,
        "owner_id": ID,
    },
    "orders": {
        "name": TEXT,
        "external_id": TEXT,
        "total": NUMBER,
        **dict.fromkeys(["currency", "status", "fulfillment_status"], TEXT),
        "ordered_at": TIME,
        "pipeline": TEXT,
        "stage": TEXT,
        "owner_id": ID,
    },
    "notes": {"occurred_at": TIME, "body": TEXT, "owner_id": ID},
    "calls": {
        "occurred_at": TIME,
        **dict.fromkeys(["title", "body", "direction", "status"], TEXT),
        "duration_ms": NUMBER,
        "owner_id": ID,
    },
    "emails": {
        "occurred_at": TIME,
        **dict.fromkeys(["subject", "body", "direction", "status", "from_email", "to_email"], TEXT),
        "owner_id": ID,
    },
    "meetings": {
        "occurred_at": TIME,
        **dict.fromkeys(["title", "body", "location", "outcome"], TEXT),
        "start_at": TIME,
        "end_at": TIME,
        "owner_id": ID,
    },
    "tasks": {
        "occurred_at": TIME,
        **dict.fromkeys(["subject", "body", "status", "priority", "task_type"], TEXT),
        "completed_at": TIME,
        "owner_id": ID,
    },
}

ENGAGEMENTS = """CREATE VIEW hubspot.engagements AS
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

run_status = postgresql.ENUM("Queued", "Processing", "Complete", "Error", name="sync_run_status", create_type=False)


def upgrade() -> None:
    op.execute("CREATE SCHEMA hubspot")
    for name, columns in MIRRORS.items():
        _mirror(name, columns)
    op.create_index("ix_contacts_lower_email", "contacts", [sa.text("lower(email)")], schema=SCHEMA)
    op.execute(ENGAGEMENTS)
    _relations()
    _marketing()
    _sync()


def downgrade() -> None:
    for name in ("sync_issues", "sync_cursors", "sync_runs"):
        op.drop_table(name)
    run_status.drop(op.get_bind())
    # CASCADE: with the mirrors of custom objects, which no revision knows.
    op.execute("DROP SCHEMA hubspot CASCADE")


def _mirror(name: str, columns: dict[str, sa.types.TypeEngine[Any]]) -> None:
    op.create_table(
        name,
        sa.Column("hubspot_id", sa.BigInteger(), autoincrement=False, nullable=False),
        *(sa.Column(column, type_) for column, type_ in columns.items()),
        sa.Column("properties", JSONB(), nullable=False),
        sa.Column("created_at", TIME),
        sa.Column("updated_at", TIME),
        sa.Column("archived", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("archived_at", TIME),
        sa.Column("read_at", TIME, nullable=False),
        sa.Column("missing_since", TIME),
        sa.Column("synced_at", TIME, server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("hubspot_id", name=f"pk_{name}"),
        schema=SCHEMA,
    )
    for kind, rows in (("archived", "archived"), ("missing", "missing_since IS NOT NULL")):
        op.create_index(f"ix_{name}_{kind}", name, ["hubspot_id"], schema=SCHEMA, postgresql_where=sa.text(rows))


def _table(name: str, *columns: sa.Column[Any], key: tuple[str, ...]) -> None:
    """A table of the schema, with the time of its last write."""
    op.create_table(name, *columns, sa.PrimaryKeyConstraint(*key, name=f"pk_{name}"), schema=SCHEMA)


def _text(*names: str) -> list[sa.Column[Any]]:
    return [sa.Column(name, sa.Text(), nullable=False) for name in names]


def _id(name: str, *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.BigInteger(), autoincrement=False, nullable=nullable)


def _synced() -> sa.Column[Any]:
    return sa.Column("synced_at", TIME, server_default=NOW, nullable=False)


def _relations() -> None:
    _table(
        "associations",
        *_text("from_type"),
        _id("from_id"),
        *_text("to_type"),
        _id("to_id"),
        *_text("category"),
        _id("type_id"),
        sa.Column("label", sa.Text()),
        _synced(),
        key=("from_type", "from_id", "to_type", "to_id", "category", "type_id"),
    )
    op.create_index("ix_associations_to_type_to_id", "associations", ["to_type", "to_id"], schema=SCHEMA)
    _table(
        "association_types",
        *_text("from_type", "to_type", "name", "category"),
        _id("type_id"),
        sa.Column("label", sa.Text()),
        _synced(),
        key=("from_type", "to_type", "name"),
    )
    _table(
        "property_history",
        *_text("object_type"),
        _id("hubspot_id"),
        *_text("property"),
        sa.Column("changed_at", TIME, nullable=False),
        _id("position"),
        sa.Column("value", sa.Text()),
        sa.Column("source_type", sa.Text()),
        sa.Column("source_id", sa.Text()),
        key=("object_type", "hubspot_id", "property", "changed_at", "position"),
    )
    _table(
        "properties",
        *_text("object_type", "name", "type", "field_type", "label", "group_name", "description"),
        sa.Column("options", sa.ARRAY(sa.Text()), nullable=False),
        _synced(),
        key=("object_type", "name"),
    )
    _table(
        "removed_records",
        *_text("object_type"),
        _id("hubspot_id"),
        sa.Column("merged_into", sa.BigInteger()),
        sa.Column("noticed_at", TIME, server_default=NOW, nullable=False),
        key=("object_type", "hubspot_id"),
    )
    op.create_index("ix_removed_records_merged_into", "removed_records", ["object_type", "merged_into"], schema=SCHEMA)


def _marketing() -> None:
    times = ("created_at", "updated_at")
    _table(
        "owners",
        _id("hubspot_id"),
        sa.Column("user_id", sa.BigInteger()),
        *(sa.Column(name, sa.Text()) for name in ("email", "first_name", "last_name")),
        sa.Column("archived", sa.Boolean(), nullable=False),
        *(sa.Column(name, TIME) for name in times),
        sa.Column("raw", JSONB(), nullable=False),
        _synced(),
        key=("hubspot_id",),
    )
    _table(
        "pipelines",
        *_text("object_type", "pipeline_id", "label"),
        sa.Column("display_order", sa.Integer(), nullable=False),
        sa.Column("archived", sa.Boolean(), nullable=False),
        *(sa.Column(name, TIME) for name in times),
        _synced(),
        key=("object_type", "pipeline_id"),
    )
    _table(
        "pipeline_stages",
        *_text("object_type", "pipeline_id", "stage_id", "label"),
        sa.Column("display_order", sa.Integer(), nullable=False),
        sa.Column("archived", sa.Boolean(), nullable=False),
        sa.Column("metadata", JSONB(), nullable=False),
        _synced(),
        key=("object_type", "pipeline_id", "stage_id"),
    )
    _table(
        "forms",
        *_text("form_id", "name"),
        sa.Column("archived", sa.Boolean(), nullable=False),
        *(sa.Column(name, TIME) for name in times),
        sa.Column("raw", JSONB(), nullable=False),
        _synced(),
        key=("form_id",),
    )
    _table(
        "form_submissions",
        *_text("form_id", "conversion_id"),
        sa.Column("submitted_at", TIME, nullable=False),
        sa.Column("email", sa.Text()),
        sa.Column("contact_id", sa.BigInteger()),
        sa.Column("page_url", sa.Text()),
        sa.Column("raw", JSONB(), nullable=False),
        _synced(),
        key=("form_id", "conversion_id"),
    )
    op.create_index("ix_form_submissions_contact_id", "form_submissions", ["contact_id"], schema=SCHEMA)
    op.create_index(
        "ix_form_submissions_unlinked",
        "form_submissions",
        [sa.text("lower(email)")],
        schema=SCHEMA,
        postgresql_where=sa.text("contact_id IS NULL"),
    )
    _table(
        "email_events",
        *_text("event_id"),
        sa.Column("occurred_at", TIME, nullable=False),
        *_text("type"),
        sa.Column("recipient", sa.Text()),
        sa.Column("campaign_id", sa.BigInteger()),
        sa.Column("raw", JSONB(), nullable=False),
        _synced(),
        key=("event_id", "occurred_at"),
    )
    op.create_index("ix_email_events_recipient", "email_events", [sa.text("lower(recipient)")], schema=SCHEMA)


def _sync() -> None:
    run_status.create(op.get_bind())
    op.create_table(
        "sync_runs",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("stream", sa.Text(), nullable=False),
        sa.Column("wants", sa.Text(), server_default="changes", nullable=False),
        sa.Column("since", TIME),
        sa.Column("batch_size", sa.Integer()),
        sa.Column("catch_up", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("targets", sa.ARRAY(sa.Text())),
        sa.Column("reserved_until", TIME),
        sa.Column("report", JSONB(), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("started_at", TIME),
        sa.Column("finished_at", TIME),
        sa.Column("created_at", TIME, server_default=NOW, nullable=False),
        sa.Column("status", run_status, server_default="Queued"),
        sa.Column("error", sa.Text()),
        sa.Column("retry_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("next_retry_at", TIME),
        sa.Column("claim_token", sa.Uuid()),
        sa.Column("lease_expires_at", TIME),
        sa.Column("rescue_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_sync_runs"),
        postgresql_with={"fillfactor": "50"},
    )
    op.create_index("ix_sync_runs_stream", "sync_runs", ["stream", "id"])
    op.create_index(
        "ix_sync_runs_due",
        "sync_runs",
        [sa.text("coalesce(next_retry_at, '-infinity'::timestamptz)"), "created_at", "id"],
        postgresql_where=sa.text("status = 'Queued'"),
    )
    op.create_index("ix_sync_runs_processing", "sync_runs", ["id"], postgresql_where=sa.text("status = 'Processing'"))
    op.invoke(CreateQueueNotifyTrigger("sync_runs", status="status", queued="Queued", next_retry_at="next_retry_at"))
    op.create_table(
        "sync_cursors",
        sa.Column("stream", sa.Text(), nullable=False),
        sa.Column("synced_to", TIME),
        sa.Column("passes", sa.ARRAY(sa.Text()), server_default="{}", nullable=False),
        sa.Column("position", JSONB(), server_default=sa.text("'{}'"), nullable=False),
        *(sa.Column(name, TIME) for name in ("window_from", "window_to", "full_at", "archived_at", "associations_at")),
        sa.Column("holder", sa.Uuid()),
        sa.Column("held_until", TIME),
        sa.Column("updated_at", TIME, server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("stream", name="pk_sync_cursors"),
        postgresql_with={"fillfactor": "50"},
    )
    op.create_table(
        "sync_issues",
        sa.Column("stream", sa.Text(), nullable=False),
        sa.Column("record_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("property", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("noticed_at", TIME, server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("stream", "record_id", "property", name="pk_sync_issues"),
    )
