"""Paused queues, and the shared count of calls to HubSpot.

Locks: creates two tables; nothing that exists is touched. The release before this one runs on the new schema.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

timestamp = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "jobloop_pauses",
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("paused_by", sa.Text(), nullable=False),
        sa.Column("paused_at", timestamp, server_default=sa.text("now()"), nullable=False),
        sa.Column("until", timestamp, nullable=True),
        sa.Column("probes", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("probing_until", timestamp, nullable=True),
        sa.PrimaryKeyConstraint("queue", name="pk_jobloop_pauses"),
    )
    op.create_table(
        "rate_budgets",
        sa.Column("token_fingerprint", sa.Text(), nullable=False),
        sa.Column("bucket", sa.Text(), nullable=False),
        sa.Column("limit_calls", sa.Integer(), nullable=False),
        sa.Column("window_seconds", sa.Float(), nullable=False),
        sa.Column("taken_at", postgresql.ARRAY(timestamp), server_default="{}", nullable=False),
        sa.Column("taken", postgresql.ARRAY(sa.Integer()), server_default="{}", nullable=False),
        sa.Column("paused_until", timestamp, nullable=True),
        sa.PrimaryKeyConstraint("token_fingerprint", "bucket", name="pk_rate_budgets"),
        postgresql_with={"fillfactor": "50"},
    )


def downgrade() -> None:
    op.drop_table("rate_budgets")
    op.drop_table("jobloop_pauses")
