"""Pausing a queue for all its workers at once, by an operator or because the service behind it says stop.

One row of the pauses table stops one queue, in every process that works it. A pause with an end is probed when its time
has come: one worker claims one row; if the service answers, the pause is lifted. One without is the operator's to lift.

The table is the application's own: declare it with `pauses_table(Base.metadata)` and migrate it like any other.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from jobloop.outcome import Complete, Fail, Outcome, Pause, Retry

#: First wait before the service is probed when nobody knows when it will be well again; it doubles with each failure.
FIRST_PROBE = timedelta(minutes=1)
LONGEST_PROBE = timedelta(minutes=15)


def pauses_table(metadata: sa.MetaData, name: str = "jobloop_pauses", schema: str | None = None) -> sa.Table:
    """The table of paused queues. A queue that is not in it runs.

    queue          name of the queue
    reason         for the operator
    paused_by      "operator", or "worker" when the service behind the queue could not be used
    paused_at      since when
    until          when workers may probe; null: only an operator resumes
    probes         probes that failed
    probing_until  a worker is probing until then at the latest
    """
    timestamp = sa.DateTime(timezone=True)
    return sa.Table(
        name,
        metadata,
        sa.Column("queue", sa.Text, primary_key=True),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("paused_by", sa.Text, nullable=False),
        sa.Column("paused_at", timestamp, nullable=False, server_default=sa.func.now()),
        sa.Column("until", timestamp),
        sa.Column("probes", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("probing_until", timestamp),
        schema=schema,
    )


@dataclass(frozen=True, slots=True)
class PauseState:
    """A queue that is paused, as the table says."""

    queue: str
    reason: str
    paused_by: str
    paused_at: datetime
    until: datetime | None
    probes: int

    @classmethod
    def of(cls, row: Any) -> PauseState:
        return cls(row.queue, row.reason, row.paused_by, row.paused_at, row.until, row.probes)

    def as_dict(self) -> dict[str, Any]:
        """For JSON, without the queue's name."""
        return {
            "reason": self.reason,
            "by": self.paused_by,
            "since": self.paused_at.isoformat(),
            "until": self.until.isoformat() if self.until else None,
            "failed_probes": self.probes,
        }


class PauseWatch:
    """Counts what handlers answer, and tells when the queue should pause (pure).

    A single row that meets a refusal may be that row's own trouble; `Pause.after_rows` of them in a row are the
    service's, also over several cycles of one loop. A row that failed for good says nothing: its handler may not have
    asked the service at all. Any other answer starts the count again.
    """

    def __init__(self) -> None:
        self.in_a_row = 0

    def heard(self, answer: Outcome | BaseException | None) -> Pause | None:
        """The pause to make now, if any."""
        wanted = answer.pause if isinstance(answer, Retry) else None
        if isinstance(answer, Fail):
            return None
        if wanted is None:
            self.in_a_row = 0
            return None
        self.in_a_row += 1
        return wanted if self.in_a_row >= wanted.after_rows else None


def is_well(answer: Outcome | BaseException | None) -> bool:
    """True if the answer of a probe shows that the service works again: the row itself may still be wrong."""
    return answer is None or isinstance(answer, Complete | Fail)


def probe_after(probes: int) -> timedelta:
    """How long to wait before the next probe, after `probes` that failed."""
    return min(FIRST_PROBE * (1 << min(probes, 10)), LONGEST_PROBE)
