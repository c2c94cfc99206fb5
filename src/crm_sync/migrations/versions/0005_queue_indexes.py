"""The queues' indexes without the primary key: entries that are equal stand in the order of the table, close together.

Locks: none that a worker or a user waits for; each index is made beside the old one, which then goes.
"""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_DUE = sa.text("coalesce(next_retry_at, '-infinity'::timestamptz)")
_CONTACTS, _RUNS = "hubspot_processing_status", "status"


def upgrade() -> None:
    _replace("ix_contacts_hubspot_due", "contacts", [_DUE, "updated_at"], f"{_CONTACTS} = 'Queued'")
    _replace("ix_contacts_hubspot_processing", "contacts", [_CONTACTS], f"{_CONTACTS} = 'Processing'")
    _replace("ix_sync_runs_processing", "sync_runs", [_RUNS], f"{_RUNS} = 'Processing'")


def downgrade() -> None:
    _replace("ix_contacts_hubspot_due", "contacts", [_DUE, "updated_at", "id"], f"{_CONTACTS} = 'Queued'")
    _replace("ix_contacts_hubspot_processing", "contacts", ["id"], f"{_CONTACTS} = 'Processing'")
    _replace("ix_sync_runs_processing", "sync_runs", ["id"], f"{_RUNS} = 'Processing'")


def _replace(name: str, table: str, keys: Sequence[Any], where: str) -> None:
    new = f"{name}_new"
    with op.get_context().autocommit_block():
        op.drop_index(new, table, if_exists=True, postgresql_concurrently=True)  # of an upgrade that was cut off
        op.create_index(new, table, keys, postgresql_where=sa.text(where), postgresql_concurrently=True)
        op.drop_index(name, table, if_exists=True, postgresql_concurrently=True)
        op.execute(f"ALTER INDEX {new} RENAME TO {name}")
