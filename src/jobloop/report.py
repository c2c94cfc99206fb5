"""CycleReport: what one cycle, drain or run did, in numbers."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

from jobloop.settlement import Settlement
from jobloop.status import Role

#: Distinct error texts kept in a report; the rest are counted under one heading.
_MOST_ERRORS = 50
_COUNTS = (
    *("claimed", "completed", "retried", "failed", "snoozed", "released"),
    *("superseded", "lost", "rescued", "poison", "batches"),
)


@dataclass(slots=True)
class CycleReport:
    """Counts of rows, except where the name says otherwise. Every claimed row is in exactly one of the outcomes.

    claimed      rows taken by this cycle
    completed, retried, failed, snoozed   as settled
    released     claimed but not processed, back in the queue uncounted (the cycle was stopped)
    superseded   processed, but a user had re-queued or cancelled the row meanwhile: the user's word stands
    lost         processed, but the claim was gone: lease expired and taken over, or the row deleted
    rescued      rows of other, lost workers that went back to the queue
    poison       rows that lost too many workers and went to Error
    max_lag_seconds   the longest that something kept the event loop from running anything else
    """

    queue: str
    claimed: int = 0
    completed: int = 0
    retried: int = 0
    failed: int = 0
    snoozed: int = 0
    released: int = 0
    superseded: int = 0
    lost: int = 0
    rescued: int = 0
    poison: int = 0
    batches: int = 0
    duration_seconds: float = 0.0
    hit_deadline: bool = False
    max_lag_seconds: float = 0.0
    errors: Counter[str] = field(default_factory=Counter)
    _started: float = field(default_factory=time.monotonic, repr=False)

    @property
    def processed(self) -> int:
        """Rows whose handler answered or failed."""
        return self.completed + self.retried + self.failed + self.snoozed + self.superseded + self.lost

    @property
    def seconds_per_row(self) -> float:
        """Wall seconds of the cycle per processed row; 0 when there was none."""
        return self.duration_seconds / self.processed if self.processed else 0.0

    @property
    def success_rate(self) -> float:
        """Share of processed rows that completed, 0 to 1; 0 when there was none."""
        return self.completed / self.processed if self.processed else 0.0

    @property
    def retry_rate(self) -> float:
        """Share of processed rows that will be tried again, 0 to 1; 0 when there was none."""
        return self.retried / self.processed if self.processed else 0.0

    def count(self, settlement: Settlement, role: Role | None, rows: int = 1) -> None:
        """Count settled rows that are alike; `role` is what `Store.settle` returned for them."""
        if role is None:
            self.superseded += rows
        elif role is Role.COMPLETE:
            self.completed += rows
        elif role is Role.ERROR:
            self.failed += rows
        elif settlement.counted:
            self.retried += rows
        elif settlement.is_release:
            self.released += rows
        else:
            self.snoozed += rows
        if settlement.error is not None:
            known = settlement.error in self.errors or len(self.errors) < _MOST_ERRORS
            self.errors[settlement.error if known else "(other errors)"] += rows

    def finish(self) -> CycleReport:
        """Stop the clock; returns itself."""
        self.duration_seconds = time.monotonic() - self._started
        return self

    def since(self, earlier: CycleReport | None) -> CycleReport:
        """What came after `earlier`, a copy of this report; all of it for None."""
        part = replace(self, errors=Counter(self.errors))
        if earlier is not None:
            for name in _COUNTS:
                setattr(part, name, getattr(self, name) - getattr(earlier, name))
            part.errors -= earlier.errors
            part._started = earlier._started + earlier.duration_seconds
        return part.finish()

    def as_dict(self) -> dict[str, Any]:
        """The counts and rates, for a structured log or JSON."""
        names = (
            "claimed",
            "completed",
            "retried",
            "failed",
            "snoozed",
            "released",
            "superseded",
            "lost",
            "rescued",
        )
        return {
            "queue": self.queue,
            **{name: getattr(self, name) for name in names},
            "poison": self.poison,
            "duration_seconds": round(self.duration_seconds, 4),
            "seconds_per_row": round(self.seconds_per_row, 6),
            "success_rate": round(self.success_rate, 4),
            "retry_rate": round(self.retry_rate, 4),
        }
