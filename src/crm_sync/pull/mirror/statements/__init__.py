"""Every SQL statement on the mirrors of records, one function each."""

from crm_sync.pull.mirror.statements.associations import drop_associations, move_associations, replace_associations
from crm_sync.pull.mirror.statements.companions import drop_history, drop_issues, insert_history, insert_issues
from crm_sync.pull.mirror.statements.records import (
    compare_records,
    drop_records,
    live_ids,
    mark_missing,
    missing_ids,
    upsert_records,
)
from crm_sync.pull.mirror.statements.removals import forget_removed, merged_among, note_removed

__all__ = [
    "compare_records",
    "drop_associations",
    "drop_history",
    "drop_issues",
    "drop_records",
    "forget_removed",
    "insert_history",
    "insert_issues",
    "live_ids",
    "mark_missing",
    "merged_among",
    "missing_ids",
    "move_associations",
    "note_removed",
    "replace_associations",
    "upsert_records",
]
