"""What becomes of a run that failed (pure): later, again, or never."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from crm_sync.errors import PullError, SettingsError, StreamBusyError
from crm_sync.hubspot.errors import DailyLimit, HubSpotError, Migrating, Misconfigured, MissingScopes, Unauthorized
from crm_sync.pull.cursor import StreamLostError
from jobloop import Fail, Outcome, Retry, Snooze
from jobloop.outcome import describe

#: When HubSpot does not say how long a move between data centres takes.
MIGRATION: Final = timedelta(hours=1)
#: A run that goes well lets its stream go at its end, long before its hold would end by itself.
BUSY: Final = timedelta(seconds=3)


def outcome_of(exc: Exception, *, resets_at: datetime) -> Outcome:
    """`resets_at` is when a spent daily limit is over."""
    match exc:
        case DailyLimit():
            return Snooze(resets_at)
        case Migrating():
            asked = exc.retry_after_seconds
            return Snooze(MIGRATION if asked is None else timedelta(seconds=asked))
        case StreamBusyError():
            return Snooze(BUSY)
        case StreamLostError():
            return Retry(str(exc))
        case Unauthorized() | MissingScopes() | Misconfigured():
            return Fail(sentence(exc))
        case PullError() | SettingsError():
            return Fail(sentence(exc))
        case _:
            return Retry(sentence(exc))


def sentence(exc: Exception) -> str:
    """For people: the error column, a report, a command."""
    if isinstance(exc, HubSpotError):
        return exc.summary
    if isinstance(exc, StreamBusyError):
        return f"Another run has {exc.stream} now; this one goes on by itself when that has ended."
    if isinstance(exc, PullError | SettingsError):
        return str(exc)
    return describe(exc)


def next_midnight(now: datetime) -> datetime:
    """The next one of the clock that `now` is told by."""
    return (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
