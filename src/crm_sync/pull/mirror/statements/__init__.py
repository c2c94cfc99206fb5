"""Every SQL statement of the pull of records, one function each; those of the other nouns: `marketing_statements`."""

from crm_sync.pull.statements.associations import drop_associations, move_associations, replace_associations
from crm_sync.pull.statements.companions import drop_history, drop_issues, insert_history, insert_issues
from crm_sync.pull.statements.cursors import hold_cursor, release_cursor, seconds, take_cursor
from crm_sync.pull.statements.records import (
    compare_records,
    drop_records,
    live_ids,
    mark_missing,
    missing_ids,
    upsert_records,
)
from crm_sync.pull.statements.removals import forget_removed, merged_among, note_removed

__all__ = [
    "compare_records",
    "drop_associations",
    "drop_history",
    "drop_issues",
    "drop_records",
    "forget_removed",
    "hold_cursor",
    "insert_history",
    "insert_issues",
    "live_ids",
    "mark_missing",
    "merged_among",
    "missing_ids",
    "move_associations",
    "note_removed",
    "release_cursor",
    "replace_associations",
    "seconds",
    "take_cursor",
    "upsert_records",
]
