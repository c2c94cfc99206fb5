"""StreamReport: what the pull of one stream did, counted while it does it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from crm_sync.hubspot import tallied


@dataclass(slots=True)
class StreamReport:
    """Counts of one run of one stream; also what `sync_runs.report` holds.

    doing          the pass under way; "" before and after
    total          records that the pass will come to, where HubSpot says; None where it does not
    fetched        records that came from HubSpot, again those that came twice
    inserted, updated, unchanged   of these, by what they were to the mirror
    archived       of the inserted and updated, those in the recycle bin
    removed        records that HubSpot no longer has: merged into others, or deleted for good
    associations   written or ended
    issues         values that their typed column could not hold
    pages, calls   listings read, and calls made in all, repeated ones included
    calls_saved    calls that one for each record's associations would have taken, less those that were made
    """

    stream: str
    wants: str = "changes"
    doing: str = ""
    total: int | None = None
    fetched: int = 0
    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    archived: int = 0
    removed: int = 0
    associations: int = 0
    issues: int = 0
    pages: int = 0
    calls: int = 0
    calls_saved: int = 0
    seconds: float = 0.0
    resumed: bool = False
    is_dry_run: bool = False
    error: str | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def calls_per_1000(self) -> float | None:
        """Calls for each thousand records; None when there were none."""
        return 1000 * self.calls / self.fetched if self.fetched else None

    def note(self, words: str) -> None:
        """Say something once that a person should know of this run."""
        if words not in self.notes:
            self.notes.append(words)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> StreamReport:
        known = {one.name for one in fields(cls)}
        return cls(**{name: value for name, value in body.items() if name in known})


Observer = Callable[[StreamReport], None]


def ignore(_report: StreamReport) -> None:
    """An observer for whom the end is soon enough."""


@contextmanager
def counted(report: StreamReport, observe: Observer = ignore) -> Iterator[Observer]:
    """Count a run's calls and seconds: gives the observer that shows them with all else, and is told at the end too."""
    began_at, calls, seconds = time.monotonic(), report.calls, report.seconds

    with tallied() as sent:

        def show(_report: StreamReport = report) -> None:
            report.calls, report.seconds = calls + sent.total, seconds + time.monotonic() - began_at
            observe(report)

        try:
            yield show
        finally:
            report.doing = ""
            show()
