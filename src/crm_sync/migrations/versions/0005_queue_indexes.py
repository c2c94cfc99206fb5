"""The queues' indexes without the primary key: entries that are equal stand in the order of the table, close together.

Locks: nobody writes to contacts, nor to sync_runs, while its rows are read once: a second or two for a million. CREATE
INDEX CONCURRENTLY would let them, and wait without an end for whatever transaction is open elsewhere.
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
    """The old one goes last: from then on nobody reads the table either, until the end."""
    op.create_index(f"{name}_new", table, keys, postgresql_where=sa.text(where))
    op.drop_index(name, table)
    op.execute(f"ALTER INDEX {name}_new RENAME TO {name}")
