"""Rate limits shared by every process that uses one access token.

The count lies in a ledger that all of them write to; see `Ledger`. A place is taken there right before a call goes,
for as many calls as wait at that moment. What HubSpot's headers say is compared with the ledger, which is told of
calls that it does not know: other applications may use the token too.

Without its ledger a process counts for itself, as well as it can, and asks the ledger again a little later.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from crm_sync.hubspot.exchange import Bucket
from crm_sync.hubspot.ratelimit import LocalRateLimiter, Reading, Slot

logger = logging.getLogger(__name__)

#: A search counts under both limits, as far as is known; so it takes a place of both, in one step.
BUCKETS: Mapping[Bucket, tuple[Bucket, ...]] = {
    Bucket.BURST: (Bucket.BURST,),
    Bucket.SEARCH: (Bucket.BURST, Bucket.SEARCH),
    Bucket.ASSOCIATIONS: (Bucket.ASSOCIATIONS,),
}
#: Places taken at once at most, so that a busy process does not leave the others without.
MOST_AT_ONCE = 10
#: A place that was taken longer ago than this is given up: the ledger expects the call to arrive soon after.
FRESH_SECONDS = 0.15
#: A wait is looked at again after this, since places may come free or be taken otherwise than foreseen.
LONGEST_WAIT_SECONDS = 5.0
#: How long to do without a ledger that does not answer.
AWAY_SECONDS = 5.0


class LedgerAway(Exception):
    """The ledger cannot be used now."""


@dataclass(frozen=True, slots=True)
class Grant:
    """What the ledger answered.

    places        how many calls may go now
    wait_seconds  until one more may go, when there were none
    limit_calls   of the bucket that was asked for
    window_seconds
    counted       calls in the window, these included
    """

    places: int
    wait_seconds: float
    limit_calls: int
    window_seconds: float
    counted: int


class Ledger(Protocol):
    """The count of one token's calls, by the clock of the ledger. Every method raises LedgerAway."""

    async def reserve(self, buckets: Sequence[Bucket], wanted: int) -> Grant:
        """Take up to `wanted` places of each of `buckets`. The grant's numbers are those of the last one."""

    async def correct(self, bucket: Bucket, reading: Reading, ago_seconds: float) -> None:
        """Take over the limit, and count what HubSpot counted and the ledger did not; the call went so long ago."""

    async def pause(self, bucket: Bucket, seconds: float) -> None:
        """Grant nothing of this bucket for so long."""


@dataclass(slots=True)
class SharedSlot(Slot):
    """A call that the ledger granted; `noted` is how the limiter of this process keeps it."""

    grant: Grant
    noted: Slot


class _Desk:
    """Where the calls of one kind wait, in the order in which they came."""

    def __init__(self) -> None:
        self.turn = asyncio.Lock()
        self.waiting = 0
        self.grant: Grant | None = None
        self.places = 0
        self.asked_at = float("-inf")


class SharedRateLimiter:
    """A `RateLimiter` over a ledger, with the limiter of this process behind it.

    waited_seconds  sum of all waiting in `acquire`
    """

    def __init__(
        self,
        ledger: Ledger,
        local: LocalRateLimiter,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._ledger = ledger
        self._local = local
        self._clock = clock
        self._sleep = sleep
        self._desks = {bucket: _Desk() for bucket in Bucket}
        self._away_until = float("-inf")
        self._is_away = False
        self.waited_seconds = 0.0

    @property
    def daily_remaining(self) -> int | None:
        """Calls left today to the whole account, as last seen; None before the first answer."""
        return self._local.daily_remaining

    def remaining(self, bucket: Bucket) -> int:
        """By the count of this process, to which the next answer's headers add the burst calls of the others."""
        return self._local.remaining(bucket)

    async def acquire(self, bucket: Bucket) -> Slot:
        desk = self._desks[bucket]
        began_at = self._clock()
        desk.waiting += 1
        try:
            async with desk.turn:
                grant = await self._place(bucket, desk)
        finally:
            desk.waiting -= 1
            self.waited_seconds += self._clock() - began_at
        if grant is None:
            return await self._local.acquire(bucket)
        noted = self._local.note(bucket)
        return SharedSlot(noted.sent_at, noted.counted_at, grant, noted)

    async def answered(self, bucket: Bucket, slot: Slot, reading: Reading) -> None:
        await self._local.answered(bucket, slot.noted if isinstance(slot, SharedSlot) else slot, reading)
        if bucket is not Bucket.BURST or not isinstance(slot, SharedSlot) or not _differs(slot.grant, reading):
            return
        ago_seconds = self._clock() - slot.sent_at
        await self._told(lambda: self._ledger.correct(bucket, reading, ago_seconds))

    async def pause(self, bucket: Bucket, seconds: float) -> None:
        await self._local.pause(bucket, seconds)
        await self._told(lambda: self._ledger.pause(bucket, seconds))

    async def _place(self, bucket: Bucket, desk: _Desk) -> Grant | None:
        """The grant that a call may go with; None: go by the local count."""
        while True:
            if desk.places and self._clock() - desk.asked_at <= FRESH_SECONDS:
                desk.places -= 1
                return desk.grant
            grant = await self._reserved(bucket, desk)
            if grant is None:
                return None
            desk.grant, desk.places = grant, grant.places
            if grant.places:
                desk.places -= 1
                return grant
            await self._sleep(min(grant.wait_seconds, LONGEST_WAIT_SECONDS))

    async def _reserved(self, bucket: Bucket, desk: _Desk) -> Grant | None:
        if self._clock() < self._away_until:
            return None
        desk.asked_at = self._clock()
        try:
            grant = await self._ledger.reserve(BUCKETS[bucket], min(desk.waiting, MOST_AT_ONCE))
        except LedgerAway as exc:
            self._went_away(exc)
            return None
        if self._is_away:
            self._is_away = False
            logger.warning("hubspot rate limits are shared with other processes again")
        return grant

    async def _told(self, tell: Callable[[], Awaitable[None]]) -> None:
        if self._clock() < self._away_until:
            return
        try:
            await tell()
        except LedgerAway as exc:
            self._went_away(exc)

    def _went_away(self, exc: LedgerAway) -> None:
        self._away_until = self._clock() + AWAY_SECONDS
        if not self._is_away:
            self._is_away = True
            logger.warning("hubspot rate limits are counted by this process alone for now: %s", exc)


def _differs(grant: Grant, reading: Reading) -> bool:
    """True when HubSpot has another limit than the ledger, or counted more calls than the ledger had then."""
    if reading.limit is None:
        return False
    window_seconds = reading.window_seconds or grant.window_seconds
    if (reading.limit, window_seconds) != (grant.limit_calls, grant.window_seconds):
        return True
    return reading.remaining is not None and reading.limit - reading.remaining > grant.counted
