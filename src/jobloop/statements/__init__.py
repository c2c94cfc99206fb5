"""Every SQL statement of a queue, one function each: built with SQLAlchemy Core, never executed here.

The shape of each is measured (see docs/design.md); a test pins its text and its plan. What holds for all:

- Status values are literals, so that the partial indexes serve generic plans too; limits and times are binds.
- The database's clock decides: statement_timestamp() in predicates (STABLE, so it can bound an index scan),
  clock_timestamp() only for values written.
- Rows are locked FOR NO KEY UPDATE, so that a foreign-key check on the row neither blocks nor hides it.
- Waiting statements take their rows in primary-key order, so that two workers do not deadlock; on a table so small that
  PostgreSQL reads all of it, in the table's own order. What deadlocks all the same, with a user's bulk update, is run
  again.
- Columns with an ORM `onupdate` are set to themselves: bookkeeping is not a change of the user's row.
"""

from jobloop.statements.operating import adopt, cancel, counts, errors, is_older, requeue, retry_now
from jobloop.statements.parts import goes_alone
from jobloop.statements.pausing import end_probe, pause, paused, probe, resume
from jobloop.statements.working import (
    claim,
    claimed,
    claimed_columns,
    claimed_entities,
    complete_claim,
    renew,
    rescue,
    settle,
    settle_one,
)

__all__ = [
    "adopt",
    "cancel",
    "claim",
    "claimed",
    "claimed_columns",
    "claimed_entities",
    "complete_claim",
    "counts",
    "end_probe",
    "errors",
    "goes_alone",
    "is_older",
    "pause",
    "paused",
    "probe",
    "renew",
    "requeue",
    "rescue",
    "resume",
    "retry_now",
    "settle",
    "settle_one",
]
