"""Contacts, and the columns and indexes that make them a queue.

Locks: creates a table and two types; nothing that exists is touched.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

sync_status = postgresql.ENUM(
    "New",
    "Selected",
    "Queued",
    "Processing",
    "Complete",
    "Error",
    "Skipped",
    name="crm_sync_status",
    create_type=False,
)
processing_status = postgresql.ENUM(
    "Queued", "Processing", "Complete", "Error", name="crm_processing_status", create_type=False
)


def upgrade() -> None:
    sync_status.create(op.get_bind())
    processing_status.create(op.get_bind())
    op.create_table(
        "contacts",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("email", sa.Text(), nullable=True),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("phone_number", sa.Text(), nullable=True),
        sa.Column("domain_id", sa.Uuid(), nullable=True),
        sa.Column("page_id", sa.Uuid(), nullable=True),
        sa.Column("hubspot_sync_status", sync_status, server_default="New", nullable=False),
        sa.Column("hubspot_contact_id", sa.Text(), nullable=True),
        sa.Column("hubspot_processing_status", processing_status, nullable=True),
        sa.Column("hubspot_processing_error", sa.Text(), nullable=True),
        sa.Column("retry_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("next_retry_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("hubspot_claim_token", sa.Uuid(), nullable=True),
        sa.Column("hubspot_lease_expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("hubspot_rescue_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_contacts"),
        postgresql_with={"fillfactor": "85"},
    )
    op.create_index("ix_contacts_email", "contacts", ["email"])
    op.create_index(
        "ix_contacts_hubspot_due",
        "contacts",
        [sa.text("coalesce(next_retry_at, '-infinity'::timestamptz)"), "updated_at", "id"],
        postgresql_where=sa.text("hubspot_processing_status = 'Queued'"),
    )
    op.create_index(
        "ix_contacts_hubspot_processing",
        "contacts",
        ["id"],
        postgresql_where=sa.text("hubspot_processing_status = 'Processing'"),
    )


def downgrade() -> None:
    op.drop_table("contacts")
    processing_status.drop(op.get_bind())
    sync_status.drop(op.get_bind())
