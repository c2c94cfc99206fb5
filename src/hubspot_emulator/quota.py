"""Rate limits: four buckets, their headers and their 429s.

| bucket               | shared by        | window                 |
|----------------------|------------------|------------------------|
| burst                | one token        | 10 s, rolling          |
| daily                | the account      | the account's midnight |
| search               | the account      | 1 s, rolling           |
| associations batch   | one token        | 10 s, rolling; not counted to burst |
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from .behaviour import Behaviour
from .clock import Clock
from .problems import RateLimited
from .tokens import Token

__all__ = ["TIERS", "Bucket", "Quota", "Tier"]

BURST_WINDOW_MS = 10_000
_SEARCH_WINDOW_MS = 1_000
_DAY_MS = 86_400_000
_GROUP = "publicapi:private-apps-api-calls"


@dataclass(frozen=True, slots=True)
class Tier:
    """Calls: burst and associations per 10 s and token, daily per account, search per second and account [D]."""

    burst: int
    daily: int
    associations: int
    search: int = 5


TIERS = {
    "free": Tier(burst=100, daily=250_000, associations=100),
    "starter": Tier(burst=100, daily=250_000, associations=100),
    "professional": Tier(burst=190, daily=625_000, associations=150),
    "enterprise": Tier(burst=190, daily=1_000_000, associations=150),
    "addon": Tier(burst=250, daily=1_625_000, associations=200),
    # No HubSpot account has this one: for tests and benchmarks that are not about limits.
    "unlimited": Tier(burst=10**9, daily=10**9, associations=10**9, search=10**9),
}


class Bucket:
    """A rolling window of call times. What it refuses counts by `refused_calls_are_counted`."""

    __slots__ = ("_times_ms", "limit", "window_ms")

    def __init__(self, limit: int, window_ms: int) -> None:
        self.limit = limit
        self.window_ms = window_ms
        self._times_ms: deque[int] = deque()

    def used(self, now_ms: int) -> int:
        oldest_ms = now_ms - self.window_ms
        while self._times_ms and self._times_ms[0] <= oldest_ms:
            self._times_ms.popleft()
        return len(self._times_ms)

    def full(self, now_ms: int) -> bool:
        return self.used(now_ms) >= self.limit

    def take(self, now_ms: int) -> None:
        self._times_ms.append(now_ms)


class Quota:
    """The limits of one account at one tier."""

    def __init__(self, clock: Clock, behaviour: Behaviour, tier: str) -> None:
        self._clock = clock
        self._behaviour = behaviour
        self._limits = TIERS["free"]
        self._token_buckets: dict[tuple[str, str], Bucket] = {}
        self._search = Bucket(0, _SEARCH_WINDOW_MS)
        self._day = 0
        self.daily_used = 0
        self.set_tier(tier)

    def set_tier(self, tier: str) -> None:
        """Raises KeyError for an unknown tier."""
        self.set_limits(TIERS[tier])

    def set_limits(self, limits: Tier) -> None:
        self._limits = limits
        self._token_buckets.clear()
        self._search = Bucket(limits.search, _SEARCH_WINDOW_MS)

    @property
    def limits(self) -> Tier:
        return self._limits

    def take(self, token: Token, bucket: str) -> dict[str, str]:
        """Count one call to `bucket` (burst, search, associations, account) and return its rate headers.

        Raises RateLimited; the daily limit is looked at first.
        """
        if self._is_free(bucket):
            return {}
        now_ms = self._clock.now_ms()
        self._roll_day(now_ms)
        if self.daily_used >= self._limits.daily:
            raise RateLimited("DAILY", _GROUP)
        if bucket == "search" and self._search.full(now_ms):
            self._knock(self._search, now_ms)
            raise RateLimited("SECONDLY", _GROUP, search=True)
        own = self._own_bucket(token, "associations" if bucket == "associations" else "burst")
        counted = bucket != "search" or self._behaviour.search_counts_to_burst
        if counted and own.full(now_ms):
            self._knock(own, now_ms)
            raise RateLimited("TEN_SECONDLY_ROLLING", f"{_GROUP}-{token.app_id}")
        if bucket == "search":
            self._search.take(now_ms)
        if counted:
            own.take(now_ms)
        self.daily_used += 1
        return self._headers(own, now_ms, interval=bucket != "search")

    def _knock(self, bucket: Bucket, now_ms: int) -> None:
        if self._behaviour.refused_calls_are_counted:
            bucket.take(now_ms)

    def _is_free(self, bucket: str) -> bool:
        return bucket == "account" and not self._behaviour.account_info_is_counted

    def headers(self, token: Token, bucket: str) -> dict[str, str]:
        """The headers of an answer that is not counted, such as a 429."""
        if self._is_free(bucket):
            return {}
        own = self._own_bucket(token, "associations" if bucket == "associations" else "burst")
        return self._headers(own, self._clock.now_ms(), interval=bucket != "search")

    def _headers(self, own: Bucket, now_ms: int, *, interval: bool) -> dict[str, str]:
        headers = {
            "X-HubSpot-RateLimit-Daily": str(self._limits.daily),
            "X-HubSpot-RateLimit-Daily-Remaining": str(max(0, self._limits.daily - self.daily_used)),
        }
        if interval:
            headers |= {
                "X-HubSpot-RateLimit-Interval-Milliseconds": str(own.window_ms),
                "X-HubSpot-RateLimit-Max": str(own.limit),
                "X-HubSpot-RateLimit-Remaining": str(max(0, own.limit - own.used(now_ms))),
            }
        return headers

    def _own_bucket(self, token: Token, name: str) -> Bucket:
        key = (token.value, name)
        if key not in self._token_buckets:
            limit = self._limits.associations if name == "associations" else self._limits.burst
            self._token_buckets[key] = Bucket(limit, BURST_WINDOW_MS)
        return self._token_buckets[key]

    def _roll_day(self, now_ms: int) -> None:
        day = now_ms // _DAY_MS
        if day != self._day:
            self._day, self.daily_used = day, 0

    def resets_at_ms(self) -> int:
        """The account's next midnight; accounts of the emulator are in UTC."""
        return (self._clock.now_ms() // _DAY_MS + 1) * _DAY_MS
