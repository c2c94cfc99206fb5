"""Settlement: what the database must do about a handler's answer, and the one function that decides it (pure).

`decide` turns an answer into a `Settlement`, the only thing that the settle statement understands. Nothing else
decides a status.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

from jobloop.errors import InvalidOutcome
from jobloop.outcome import Complete, Fail, Outcome, Pause, Retry, Snooze, storable
from jobloop.retry import RetryPolicy
from jobloop.status import Role

_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Settlement:
    """One change of one claimed row; made only by the named constructors below.

    to             role of the status after it
    error          text for the error column; None clears it on COMPLETE and keeps it elsewhere
    counted        True: retry_count + 1
    delay_seconds  next_retry_at = now + this
    until          next_retry_at = this
    values         further columns by attribute name
    is_release     the row was not processed at all
    """

    to: Role
    error: str | None = None
    counted: bool = False
    delay_seconds: float | None = None
    until: datetime | None = None
    values: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    is_release: bool = False

    @classmethod
    def completed(cls, values: Mapping[str, Any] = _NOTHING) -> Settlement:
        return cls(Role.COMPLETE, values=values)

    @classmethod
    def retried(cls, error: str, delay_seconds: float) -> Settlement:
        return cls(Role.QUEUED, storable(error), counted=True, delay_seconds=delay_seconds)

    @classmethod
    def failed(cls, error: str) -> Settlement:
        return cls(Role.ERROR, storable(error), counted=True)

    @classmethod
    def snoozed(cls, until: datetime | timedelta) -> Settlement:
        if isinstance(until, datetime):
            return cls(Role.QUEUED, until=until)
        return cls(Role.QUEUED, delay_seconds=max(until.total_seconds(), 0.0))

    @classmethod
    def released(cls) -> Settlement:
        """Claimed but not processed: due again at once, nothing counted."""
        return cls(Role.QUEUED, delay_seconds=0.0, is_release=True)


#: The commonest settlement; it is immutable, so one serves for all.
COMPLETED = Settlement.completed()


def decide(answer: Outcome | BaseException | None, retry_count: int, policy: RetryPolicy) -> Settlement:
    """What becomes of a row whose handler answered `answer`; `retry_count` counts its earlier failures.

    None is `Complete()`. An exception counts as the policy says; a retry that the policy no longer allows is a
    failure. Raises `InvalidOutcome` for anything that is not an outcome.
    """
    if answer is None or (type(answer) is Complete and not answer.values):  # nearly every row
        return COMPLETED
    if isinstance(answer, InvalidOutcome):  # a mistake in the handler's code: no retry mends it
        return Settlement.failed(str(answer))
    outcome = policy.outcome_of(answer) if isinstance(answer, BaseException) else answer
    match outcome:
        case Complete(values):
            if not (isinstance(values, Mapping) and all(isinstance(name, str) for name in values)):
                raise InvalidOutcome(
                    f"a handler answered Complete({values!r}); its values must be {{attribute: value}}"
                )
            return Settlement.completed(values) if values else COMPLETED
        case Fail(error):
            return Settlement.failed(error)
        case Snooze(until):
            return Settlement.snoozed(until)
        case Retry(error, after, pause):
            if not isinstance(pause, Pause | None):
                raise InvalidOutcome(f"a handler answered Retry(…, pause={pause!r}); it must be a Pause")
            failed_attempts = retry_count + 1
            if policy.is_spent(failed_attempts):
                return Settlement.failed(error)
            if after is not None:
                return Settlement.retried(error, max(after.total_seconds(), 0.0))
            return Settlement.retried(error, policy.delay_seconds(failed_attempts))
        case _:
            raise InvalidOutcome(
                f"a handler answered {outcome!r}; it must return None, Complete, Retry, Fail or Snooze"
            )
