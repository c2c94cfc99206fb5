"""The window of changes that an incremental run fetches, and the plan of a run: which passes, in which order (pure).

    full         archived, when due → list → archived since, when something is missing → missing
    incremental  archived, when due → changes → associations, when due → missing

The recycle bin is read first: what is taken out of it while the others are read moves no modified date, and would be in
neither if it came last. Known as archived, it is asked for once the bin has it no more.

A run that was cut off leaves its passes in the cursor; the next one takes them up where it stopped.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum


class Pass(StrEnum):
    """One way over a stream's records."""

    LIST = "list"  # every live record, with its associations
    CHANGES = "changes"  # what the search index has as changed in the window
    ARCHIVED = "archived"  # the recycle bin
    ARCHIVED_SINCE = "archived since"  # the recycle bin once more, where something is missing that may be in it by now
    ASSOCIATIONS = "associations"  # those of every live record: a change of one moves no modified date
    MISSING = "missing"  # what a listing should have shown and did not: asked for by id


@dataclass(frozen=True, slots=True)
class Window:
    """Changes from `start` to `end`, both included, by HubSpot's clock. Frozen when the run begins: what changes later
    is the next run's, or a record that changes all the time would keep it from ending."""

    start: datetime
    end: datetime

    @property
    def is_empty(self) -> bool:
        return self.end <= self.start

    def joins(self, synced_to: datetime, overlap: timedelta) -> bool:
        """Whether everything up to `end` is known once this is, where everything up to `synced_to` was before, but for
        what the index was behind with then."""
        return self.start + overlap <= synced_to < self.end


@dataclass(frozen=True, slots=True)
class Margins:
    """What makes up for HubSpot's search index, which is behind by up to half a minute as far as was observed.

    lag        the window ends so long before now
    overlap    and starts so long before the end of the last one
    archived, associations   how often an incremental run looks at these
    """

    lag: timedelta = timedelta(seconds=30)
    overlap: timedelta = timedelta(minutes=2)
    archived: timedelta = timedelta(hours=1)
    associations: timedelta = timedelta(hours=24)


def window(since: datetime, now: datetime, margins: Margins, *, exact: bool = False) -> Window:
    """The changes since `since`; `exact` leaves the overlap away, for a time that a person named."""
    return Window(since if exact else since - margins.overlap, now - margins.lag)


def full_passes(now: datetime, margins: Margins, *, archived_at: datetime | None) -> tuple[Pass, ...]:
    """A listing shows what left it, so the recycle bin is read when it is due, or when something is missing."""
    archived = (Pass.ARCHIVED,) if _is_due(archived_at, margins.archived, now) else ()
    return (*archived, Pass.LIST, Pass.ARCHIVED_SINCE, Pass.MISSING)


def incremental_passes(
    now: datetime,
    margins: Margins,
    *,
    archived_at: datetime | None,
    associations_at: datetime | None,
    has_targets: bool,
    catch_up: bool = False,
) -> tuple[Pass, ...]:
    """`archived_at` and `associations_at` are the ends of the last such passes; `catch_up` takes both now."""
    passes = [Pass.CHANGES]
    if has_targets and (catch_up or _is_due(associations_at, margins.associations, now)):
        passes.append(Pass.ASSOCIATIONS)
    if catch_up or _is_due(archived_at, margins.archived, now):
        return (Pass.ARCHIVED, *passes, Pass.MISSING)
    return (*passes, Pass.ARCHIVED_SINCE, Pass.MISSING)


def _is_due(last: datetime | None, interval: timedelta, now: datetime) -> bool:
    return last is None or last + interval <= now
