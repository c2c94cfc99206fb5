"""RetryRules: which fault is repeated within one call, and after how long (pure).

A call is repeated only while somebody waits for its answer, so the waits are short and their sum is bounded.
What takes longer (a migration of hours, a spent daily limit) is raised with the delay that HubSpot named, for
the queue to keep.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from crm_sync.hubspot.errors import (
    DailyLimit,
    HubSpotError,
    Locked,
    MalformedAnswer,
    Migrating,
    RateLimited,
    Rejected,
    ServerFault,
    TransportError,
)

_REQUEST_TIMEOUT = 408


@dataclass(frozen=True, slots=True)
class RetryRules:
    """Bounds and delays, in seconds. `scale` multiplies every delay (not the bound): tests give 0.

    max_attempts         the first one included
    max_total_seconds    no repeat starts later than this after the first attempt began
    first_delay_seconds  before repeating a fault of the line or the server; doubles, up to max_delay_seconds
    """

    max_attempts: int = 5
    max_total_seconds: float = 45.0
    first_delay_seconds: float = 0.5
    max_delay_seconds: float = 8.0
    locked_seconds: float = 2.0
    secondly_seconds: float = 1.0
    rolling_seconds: float = 10.0
    scale: float = 1.0

    def delay_seconds(
        self,
        error: HubSpotError,
        *,
        attempt: int,
        elapsed_seconds: float,
        repeatable: bool,
        draw: Callable[[], float] = random.random,
    ) -> float | None:
        """Seconds until the repeat, or None: do not repeat, raise.

        `attempt` counts from 1, `elapsed_seconds` since the first attempt began. A call that may have been
        applied is repeated only when it is `repeatable`. `draw` gives a number in [0, 1) that spreads the
        delays of a faulty line, so that many workers do not come back together.
        """
        if attempt >= self.max_attempts or (error.may_have_applied and not repeatable):
            return None
        wanted = self._wanted_seconds(error, attempt, draw)
        if wanted is None or elapsed_seconds + wanted > self.max_total_seconds:
            return None
        return wanted * self.scale

    def pause_seconds(self, error: RateLimited) -> float:
        """How long no call of the bucket should be sent after this 429.

        Recorded 429 answers carry no Retry-After: the limit's name says how long.
        """
        return self._limit_seconds(error) * self.scale

    def _wanted_seconds(self, error: HubSpotError, attempt: int, draw: Callable[[], float]) -> float | None:
        match error:
            case DailyLimit():
                return None
            case RateLimited():
                return self._limit_seconds(error)
            case Locked():
                return self.locked_seconds if error.retry_after_seconds is None else error.retry_after_seconds
            case Migrating():
                return error.retry_after_seconds
            case ServerFault() | TransportError():
                return self._backoff_seconds(error, attempt, draw)
            case MalformedAnswer() if error.may_have_applied:
                return self._backoff_seconds(error, attempt, draw)
            case Rejected() if error.status == _REQUEST_TIMEOUT:
                return self._backoff_seconds(error, attempt, draw)
            case _:
                return None

    def _limit_seconds(self, error: RateLimited) -> float:
        if error.retry_after_seconds is not None:
            return error.retry_after_seconds
        return self.secondly_seconds if error.policy == "SECONDLY" else self.rolling_seconds

    def _backoff_seconds(self, error: HubSpotError, attempt: int, draw: Callable[[], float]) -> float:
        delay = min(self.first_delay_seconds * 2.0 ** (attempt - 1), self.max_delay_seconds)
        return max(delay * (0.5 + draw() / 2), error.retry_after_seconds or 0.0)
