"""Wake listening workers when contacts are queued.

Locks: SHARE ROW EXCLUSIVE on contacts for the instant in which the trigger is created. Optional: without it workers
poll.
"""

from alembic import op

from jobloop.migrations import CreateQueueNotifyTrigger, DropQueueNotifyTrigger

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.invoke(
        CreateQueueNotifyTrigger(
            "contacts", status="hubspot_processing_status", queued="Queued", next_retry_at="next_retry_at"
        )
    )


def downgrade() -> None:
    op.invoke(DropQueueNotifyTrigger("contacts", status="hubspot_processing_status"))
