"""Rate limits: how many calls may be under way so that HubSpot never has to refuse one.

HubSpot counts the calls of the last 10 seconds, per access token. The limiter keeps the same count: a call
may go when fewer than the limit went in the window before it. It starts from the configured budget and takes
over what HubSpot's headers say; calls that another process made with the same token show there as a smaller
remainder and are counted as if they were ours. One limiter serves one token: clients that share a token share
the limiter.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from crm_sync.hubspot.exchange import Bucket

#: HubSpot counts a call when it arrives, which lies between sending and answer, but not later than this after
#: sending: what comes after is HubSpot at work.
ARRIVAL_SECONDS = 0.25
#: Added to the window, so that a call does not land on its very edge.
EDGE_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Budget:
    """At most `calls` in any `window_seconds`."""

    calls: int
    window_seconds: float


#: The smallest account's limits. Search allows 5 per second and account; one is left to other tokens.
DEFAULT_BUDGETS: Mapping[Bucket, Budget] = {
    Bucket.BURST: Budget(100, 10.0),
    Bucket.SEARCH: Budget(4, 1.0),
    Bucket.ASSOCIATIONS: Budget(100, 10.0),
}


@dataclass(slots=True)
class Slot:
    """One call in a window. `counted_at` is the latest time at which HubSpot may have counted it."""

    sent_at: float
    counted_at: float


@dataclass(frozen=True, slots=True)
class Reading:
    """What the headers of one answer say; None where a header is absent."""

    limit: int | None = None
    remaining: int | None = None
    window_seconds: float | None = None
    daily_remaining: int | None = None

    @classmethod
    def of(cls, headers: Mapping[str, str]) -> Reading:
        """Reads lower-case header names."""
        window_ms = _number(headers.get("x-hubspot-ratelimit-interval-milliseconds"))
        return cls(
            limit=_number(headers.get("x-hubspot-ratelimit-max")),
            remaining=_number(headers.get("x-hubspot-ratelimit-remaining")),
            window_seconds=window_ms / 1000 if window_ms else None,
            daily_remaining=_number(headers.get("x-hubspot-ratelimit-daily-remaining")),
        )


class RateLimiter(Protocol):
    """What the transport asks before and tells after each call; one for several processes may stand in."""

    async def acquire(self, bucket: Bucket) -> Slot:
        """Wait until one more call may be sent. Waiting calls go in the order in which they came."""

    async def answered(self, bucket: Bucket, slot: Slot, reading: Reading) -> None:
        """The call of this slot has its answer, or will never have one (an empty reading)."""

    async def pause(self, bucket: Bucket, seconds: float) -> None:
        """HubSpot refused a call: send nothing of this bucket for so long."""

    @property
    def daily_remaining(self) -> int | None:
        """Calls left today to the whole account, as last seen; None before the first answer."""

    def remaining(self, bucket: Bucket) -> int:
        """Calls that could go at once, as far as is known here; 0 during a pause. To be shown, not to be relied on."""


class RollingWindow:
    """The count of one bucket. Pure: every method is told the time, in seconds of one monotonic clock."""

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self._slots: list[Slot] = []
        self._paused_until = float("-inf")

    def wait_seconds(self, now: float) -> float:
        """Seconds until a call may be sent; 0 for at once."""
        window = self.budget.window_seconds + EDGE_SECONDS
        counted = sorted(self._counted(now))
        surplus = len(counted) - self.budget.calls
        free_at = counted[surplus] + window if surplus >= 0 else now
        return max(free_at - now, self._paused_until - now, 0.0)

    def remaining(self, now: float) -> int:
        """Calls that may be sent now."""
        if self._paused_until > now:
            return 0
        return max(self.budget.calls - sum(1 for _ in self._counted(now)), 0)

    def take(self, now: float) -> Slot:
        """Count one call as sent now."""
        self._forget(now)
        slot = Slot(sent_at=now, counted_at=now + ARRIVAL_SECONDS)
        self._slots.append(slot)
        return slot

    def answered(self, slot: Slot, reading: Reading, now: float) -> None:
        """Take over what the answer's headers say."""
        slot.counted_at = min(slot.counted_at, now)
        if reading.limit and reading.limit > 0:
            self.budget = Budget(reading.limit, reading.window_seconds or self.budget.window_seconds)
        if reading.remaining is not None and now - slot.sent_at < self.budget.window_seconds:
            self._count_others(slot, reading.remaining, now)

    def pause(self, until: float) -> None:
        self._paused_until = max(self._paused_until, until)

    def _count_others(self, slot: Slot, remaining: int, now: float) -> None:
        """Add other processes' calls: what HubSpot counted above all that we may have sent in its window."""
        since = slot.sent_at - self.budget.window_seconds
        ours = sum(1 for other in self._slots if other.counted_at > since)
        others = self.budget.calls - remaining - ours
        self._slots.extend(Slot(sent_at=now, counted_at=now) for _ in range(others))

    def _counted(self, now: float) -> Iterator[float]:
        """When the calls of the window that ends now were counted."""
        since = now - self.budget.window_seconds - EDGE_SECONDS
        return (slot.counted_at for slot in self._slots if slot.counted_at > since)

    def _forget(self, now: float) -> None:
        """Drop what no comparison needs any more: two windows back."""
        oldest = now - 2 * self.budget.window_seconds - ARRIVAL_SECONDS
        self._slots = [slot for slot in self._slots if slot.counted_at > oldest]


class LocalRateLimiter:
    """The limiter of one process and one access token. A bucket that `budgets` lacks has its default.

    daily_remaining  calls left today to the whole account, as last seen; None before the first answer
    waited_seconds   sum of all waiting in `acquire`
    """

    def __init__(
        self,
        budgets: Mapping[Bucket, Budget] = DEFAULT_BUDGETS,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        given = {**DEFAULT_BUDGETS, **budgets}
        self._windows = {bucket: RollingWindow(given[bucket]) for bucket in Bucket}
        self._queues = {bucket: asyncio.Lock() for bucket in Bucket}
        self._clock = clock
        self._sleep = sleep
        self.daily_remaining: int | None = None
        self.waited_seconds = 0.0

    def budget(self, bucket: Bucket) -> Budget:
        """The budget in force: configured, or as HubSpot's headers said."""
        return self._windows[bucket].budget

    async def acquire(self, bucket: Bucket) -> Slot:
        window = self._windows[bucket]
        async with self._queues[bucket]:
            while (wait_seconds := window.wait_seconds(self._clock())) > 0:
                await self._sleep(wait_seconds)
                self.waited_seconds += wait_seconds
            if bucket is Bucket.SEARCH:  # not documented to count under both limits, so taken to
                await self.acquire(Bucket.BURST)
            return window.take(self._clock())

    def note(self, bucket: Bucket) -> Slot:
        """Count a call that goes now without having waited here."""
        now = self._clock()
        if bucket is Bucket.SEARCH:
            self._windows[Bucket.BURST].take(now)
        return self._windows[bucket].take(now)

    async def answered(self, bucket: Bucket, slot: Slot, reading: Reading) -> None:
        # Only of the burst limit is it known that the headers of an answer are about the limit of that call.
        known = reading if bucket is Bucket.BURST else Reading()
        self._windows[bucket].answered(slot, known, self._clock())
        if reading.daily_remaining is not None:
            self.daily_remaining = reading.daily_remaining

    def remaining(self, bucket: Bucket) -> int:
        own = self._windows[bucket].remaining(self._clock())
        return min(own, self.remaining(Bucket.BURST)) if bucket is Bucket.SEARCH else own

    async def pause(self, bucket: Bucket, seconds: float) -> None:
        self._windows[bucket].pause(self._clock() + seconds)


def _number(value: str | None) -> int | None:
    return int(value) if value is not None and value.strip().isdecimal() else None
