"""What a handler may say (pure).

A handler answers with `Complete`, `Retry`, `Fail` or `Snooze`; None means `Complete()`. An exception stands for the
outcome that the queue's `RetryPolicy` gives it. What the database then does is `jobloop.settlement`'s business.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

#: Longest error text kept in the error column, in characters.
ERROR_LENGTH = 1000

_NOTHING: Mapping[str, Any] = MappingProxyType({})
#: PostgreSQL's text holds no NUL, and UTF-8 holds no lone surrogate.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Complete:
    """Done. `values` are further columns of the row, by attribute name, written with the settle.

    They are facts that the handler learned (an id that the other system gave), so they are written whenever the
    claim still holds, also when a user re-queued the row in the meantime.
    """

    values: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)


@dataclass(frozen=True, slots=True)
class Pause:
    """The service behind the queue cannot be used now: stop claiming, in every worker, until it can.

    reason      for the operator
    until       when it will be well again: an aware time, or a duration from now; None: not known, so it is probed
    after_rows  how many rows in a row must say so before the queue pauses
    """

    reason: str
    until: datetime | timedelta | None = None
    after_rows: int = 1

    def __post_init__(self) -> None:
        if isinstance(self.until, datetime) and self.until.tzinfo is None:
            raise ValueError("Pause(until=…) needs an aware datetime, such as datetime.now(UTC)")


@dataclass(frozen=True, slots=True)
class Retry:
    """Failed, try again: after `after` if given, else after the policy's delay. Counts as an attempt.

    `pause` asks for more: that the whole queue pauses, so that a fault of the service does not use up every row's
    retries. Without a pauses table (see `jobloop.pause`) it is only logged.
    """

    error: str
    after: timedelta | None = None
    pause: Pause | None = None


@dataclass(frozen=True, slots=True)
class Fail:
    """Failed for good: trying again would not help."""

    error: str


@dataclass(frozen=True, slots=True)
class Snooze:
    """Not now: back to the queue until an aware time or for a duration. No attempt is counted."""

    until: datetime | timedelta

    def __post_init__(self) -> None:
        if isinstance(self.until, datetime) and self.until.tzinfo is None:
            raise ValueError("Snooze(until=…) needs an aware datetime, such as datetime.now(UTC)")


Outcome = Complete | Retry | Fail | Snooze


def describe(exc: BaseException) -> str:
    """An exception as one line for the error column: its type, unless its text stands alone, and its text."""
    text = str(exc).strip()
    return f"{type(exc).__name__}: {text}" if text else type(exc).__name__


def storable(error: str) -> str:
    """`error` as the error column can hold it: no NUL, no lone surrogate, at most 1,000 characters."""
    return _UNSTORABLE.sub("\ufffd", error)[:ERROR_LENGTH]
