"""The queues' indexes without the primary key: entries that are equal stand in the order of the table, close together.

Locks: nobody writes to contacts and sync_runs while their rows are read, a second or two for a million; nobody reads
them for the instant at the end. CREATE INDEX CONCURRENTLY would let all go on, and wait without an end for whatever
transaction is open elsewhere.

Runs that were cut off look into the recycle bin once more before they believe that a record is gone; plans that an
older release left there do so too.
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

#: (name, table, keys, condition)
_Index = tuple[str, str, Sequence[Any], str]


def upgrade() -> None:
    _replace(
        ("ix_contacts_hubspot_due", "contacts", [_DUE, "updated_at"], f"{_CONTACTS} = 'Queued'"),
        ("ix_contacts_hubspot_processing", "contacts", [_CONTACTS], f"{_CONTACTS} = 'Processing'"),
        ("ix_sync_runs_processing", "sync_runs", [_RUNS], f"{_RUNS} = 'Processing'"),
    )
    op.execute(
        "UPDATE sync_cursors SET passes = array_remove(passes, 'missing') || ARRAY['archived since', 'missing'] "
        "WHERE 'missing' = ANY (passes) AND NOT 'archived' = ANY (passes)"
    )


def downgrade() -> None:
    _replace(
        ("ix_contacts_hubspot_due", "contacts", [_DUE, "updated_at", "id"], f"{_CONTACTS} = 'Queued'"),
        ("ix_contacts_hubspot_processing", "contacts", ["id"], f"{_CONTACTS} = 'Processing'"),
        ("ix_sync_runs_processing", "sync_runs", ["id"], f"{_RUNS} = 'Processing'"),
    )
    op.execute("UPDATE sync_cursors SET passes = array_remove(passes, 'archived since')")


def _replace(*indexes: _Index) -> None:
    for name, table, keys, where in indexes:
        op.create_index(f"{name}_new", table, keys, postgresql_where=sa.text(where))
    for name, table, _keys, _where in indexes:  # last of all: from here on nobody reads the tables until the end
        op.drop_index(name, table)
        op.execute(f"ALTER INDEX {name}_new RENAME TO {name}")
