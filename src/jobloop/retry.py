"""RetryPolicy: which failure is tried again, how often, and after how long (pure)."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from types import MappingProxyType

from jobloop.outcome import Fail, Outcome, Retry, describe

#: 2.0 ** 1024 overflows a float; no sane policy gets here.
_LARGEST_EXPONENT = 60


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When a failed attempt is tried again.

    max_retries   retries after the first attempt; 3 means at most four attempts of one request
    base_delay    before the first retry
    exponential   True: the delay doubles with each retry (5, 10, 20 minutes); False: it stays the same
    max_delay     cap of every delay
    jitter        share of the delay, 0 to 1, that is drawn at random and added; spreads a burst of failures
    on_exception  exception type → how it counts: the outcome class `Retry` or `Fail`, or a function of the
                  exception that returns any outcome. The most specific type wins; anything else is a retry.
    """

    max_retries: int = 3
    base_delay: timedelta = timedelta(minutes=5)
    exponential: bool = True
    max_delay: timedelta = timedelta(hours=24)
    jitter: float = 0.0
    on_exception: Mapping[type[BaseException], Callable[..., Outcome]] = field(
        default_factory=lambda: MappingProxyType({})
    )

    def __post_init__(self) -> None:
        if self.max_retries < 0:
            raise ValueError(f"max_retries must be 0 or more, got {self.max_retries}")
        if self.base_delay < timedelta(0) or self.max_delay < timedelta(0):
            raise ValueError("base_delay and max_delay must not be negative")
        if not 0 <= self.jitter <= 1:
            raise ValueError(f"jitter must be between 0 and 1, got {self.jitter}")

    def delay_seconds(self, failed_attempts: int, draw: Callable[[], float] = random.random) -> float:
        """Seconds to wait after the `failed_attempts`-th failure (1 = the first).

        `draw` gives a number in [0, 1) for the jitter. The result is never above `max_delay`.
        """
        exponent = min(max(failed_attempts - 1, 0), _LARGEST_EXPONENT) if self.exponential else 0
        delay = self.base_delay.total_seconds() * 2.0**exponent
        if self.jitter:
            delay += delay * self.jitter * draw()
        return min(delay, self.max_delay.total_seconds())

    def is_spent(self, failed_attempts: int) -> bool:
        """True when `failed_attempts` failures leave no retry."""
        return failed_attempts > self.max_retries

    def outcome_of(self, exc: BaseException) -> Outcome:
        """The outcome that an exception of a handler stands for."""
        for kind in type(exc).__mro__:
            rule = self.on_exception.get(kind)
            if rule is not None:
                return rule(describe(exc) if rule in (Retry, Fail) else exc)
        return Retry(describe(exc))
