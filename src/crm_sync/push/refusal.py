"""What HubSpot's refusal of a write means for its rows (pure)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import Enum

from crm_sync.hubspot.errors import (
    Conflict,
    DailyLimit,
    ErrorAnswer,
    ErrorDetail,
    HubSpotError,
    Migrating,
    MissingScopes,
    NotFound,
    Unauthorized,
    ValidationFailed,
    words,
)
from crm_sync.hubspot.objects import BatchError
from crm_sync.push.plan import Write
from jobloop.outcome import Fail, Pause, Retry

UNKNOWN_PROPERTY = "PROPERTY_DOESNT_EXIST"
NO_RECORD = "OBJECT_NOT_FOUND"
#: A shorter delay than this is left to the queue's own policy, which waits longer anyway.
_SHORTEST_DELAY = timedelta(minutes=1)
#: So many rows in a row must meet a refused token before the queue pauses: more than somebody queues to try a new
#: token, who wants to read the refusal in those rows, and far fewer than a batch, so that no second one is spent.
_ROWS_BEFORE_PAUSE = 10
_PROBED = "One contact now and then is tried; all go on when HubSpot accepts it, or after `crm-sync queue resume`."
_PERMANENT_CATEGORIES = frozenset({"VALIDATION_ERROR", "PROPERTY_DOESNT_EXIST", "UNSUPPORTED_OPERATION"})


class Meaning(Enum):
    """INVALID: no repeat helps. TAKEN: another record has the key. GONE: no such record. PASSING: later it may go."""

    INVALID = "invalid"
    TAKEN = "taken"
    GONE = "gone"
    PASSING = "passing"


@dataclass(frozen=True, slots=True)
class Refusal:
    """One refusal.

    text   HubSpot's own words
    after  the delay that HubSpot asked for
    pause  HubSpot refuses every row alike: the queue should pause
    """

    meaning: Meaning
    text: str
    after: timedelta | None = None
    pause: Pause | None = None

    @classmethod
    def of(cls, error: HubSpotError | BatchError) -> Refusal:
        if isinstance(error, BatchError):
            return cls(_meaning_in_batch(error), _advised(error.summary, error.details))
        match error:
            case Conflict():
                return cls(Meaning.TAKEN, error.summary)
            case NotFound():
                return cls(Meaning.GONE, error.summary)
            case ValidationFailed():
                return cls(Meaning.INVALID, _advised(error.summary, error.details))
            case _:
                after = _delay(error.retry_after_seconds)
                return cls(Meaning.PASSING, error.summary, after=after, pause=_pause(error))

    def lasting_until(self, resets_at: datetime) -> Refusal:
        """The refusal of a spent limit that comes back then."""
        pause = replace(self.pause, until=resets_at) if self.pause else None
        return replace(self, after=resets_at - datetime.now(UTC), pause=pause)

    def outcome(self) -> Fail | Retry:
        """GONE counts as passing here: whoever knows how to find the record again does not ask for this."""
        if self.meaning in (Meaning.INVALID, Meaning.TAKEN):
            return Fail(self.text)
        return Retry(self.text, self.after, self.pause)


def is_about_inputs(error: HubSpotError) -> bool:
    """True when one input may have spoilt the call for all: a part of the batch may well go through.

    A 404 counts only when HubSpot speaks of records: without its category, the address itself is wrong.
    """
    if isinstance(error, NotFound):
        return error.category == NO_RECORD
    return isinstance(error, ValidationFailed | Conflict)


def without_property(error: HubSpotError, writes: Sequence[Write]) -> tuple[Sequence[Write], Refusal] | None:
    """The writes that carry a property which the account does not have, and their refusal; None for none."""
    if not isinstance(error, ErrorAnswer):
        return None
    details = tuple(detail for detail in error.details if detail.code == UNKNOWN_PROPERTY)
    missing = {name for detail in details for name in detail.context.get("propertyName", ())}
    carriers = [write for write in writes if missing & write.properties.keys()]
    if not carriers:
        return None
    text = f"{error.status} {error.category}: {words(error.problem.message, details)}"
    return carriers, Refusal(Meaning.INVALID, _advised(text, details))


def _pause(error: HubSpotError) -> Pause | None:
    """Faults of a line or a server pass, and a limit of seconds too: those pause nothing."""
    seconds = error.retry_after_seconds
    until = None if seconds is None else timedelta(seconds=seconds)
    match error:
        case DailyLimit() | Migrating():
            return Pause(error.summary, until)
        case Unauthorized() | MissingScopes():
            return Pause(f"{error.summary} {_PROBED}", after_rows=_ROWS_BEFORE_PAUSE)
        case _:
            return None


def _meaning_in_batch(error: BatchError) -> Meaning:
    codes = {detail.code for detail in error.details}
    if error.category == "CONFLICT":
        return Meaning.TAKEN
    if error.category == NO_RECORD:
        return Meaning.GONE
    if error.category in _PERMANENT_CATEGORIES or any(code and code.startswith("INVALID_") for code in codes):
        return Meaning.INVALID
    return Meaning.PASSING


def _advised(text: str, details: Sequence[ErrorDetail]) -> str:
    missing = any(detail.code == UNKNOWN_PROPERTY for detail in details)
    return f"{text} (crm-sync push setup creates the properties that the push needs)" if missing else text


def _delay(seconds: float | None) -> timedelta | None:
    delay = timedelta(seconds=seconds or 0)
    return delay if delay >= _SHORTEST_DELAY else None
