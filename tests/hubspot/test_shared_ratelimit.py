"""The shared limiter over a ledger in memory, against a clock that the test moves."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from crm_sync.hubspot.exchange import Bucket
from crm_sync.hubspot.ratelimit import Reading
from crm_sync.hubspot.shared_ratelimit import FRESH_SECONDS, MOST_AT_ONCE, Grant, LedgerAway, SharedRateLimiter
from tests.hubspot.test_ratelimit import Clock, limiter

AWAY = LedgerAway("no answer")


@dataclass
class Book:
    """A ledger that answers as told: so many places, or away."""

    free: int = 1000
    is_away: bool = False
    wait_seconds: float = 1.0
    asked: list[tuple[tuple[Bucket, ...], int]] = field(default_factory=list)
    corrected: list[Reading] = field(default_factory=list)
    pauses: list[tuple[Bucket, float]] = field(default_factory=list)
    counted: int = 0

    async def reserve(self, buckets: Sequence[Bucket], wanted: int) -> Grant:
        await asyncio.sleep(0)
        self.asked.append((tuple(buckets), wanted))
        self._here()
        places = min(wanted, self.free)
        self.free -= places
        self.counted += places
        return Grant(places, 0.0 if places else self.wait_seconds, 100, 10.0, self.counted)

    async def correct(self, bucket: Bucket, reading: Reading, ago_seconds: float) -> None:
        self._here()
        self.corrected.append(reading)

    async def pause(self, bucket: Bucket, seconds: float) -> None:
        self._here()
        self.pauses.append((bucket, seconds))

    def _here(self) -> None:
        if self.is_away:
            raise AWAY


def shared(book: Book, clock: Clock, calls: int = 100) -> SharedRateLimiter:
    return SharedRateLimiter(book, limiter(clock, calls), clock=clock, sleep=clock.sleep)


async def test_calls_that_wait_at_once_are_asked_for_together() -> None:
    book, clock = Book(), Clock()
    rates = shared(book, clock)
    await asyncio.gather(*(rates.acquire(Bucket.BURST) for _ in range(MOST_AT_ONCE * 3)))
    assert book.counted == MOST_AT_ONCE * 3
    assert [wanted for _, wanted in book.asked] == [1, MOST_AT_ONCE, MOST_AT_ONCE, MOST_AT_ONCE - 1]


async def test_a_call_waits_as_long_as_the_ledger_says() -> None:
    book, clock = Book(free=1), Clock()
    rates = shared(book, clock)
    await rates.acquire(Bucket.BURST)

    async def free_one(seconds: float) -> None:
        await Clock.sleep(clock, seconds)
        book.free += 1

    rates._sleep = free_one
    began_at = clock.now
    await rates.acquire(Bucket.BURST)
    assert clock.now - began_at == 1.0
    assert rates.waited_seconds == 1.0


async def test_a_place_that_was_not_used_soon_is_given_up() -> None:
    """The ledger counts a call from its grant; one that goes much later might meet a full window."""
    book, clock = Book(), Clock()
    rates = shared(book, clock)
    went: list[float] = []

    async def call() -> None:
        await rates.acquire(Bucket.BURST)
        went.append(clock.now)
        clock.now += 2 * FRESH_SECONDS  # as when the event loop is busy

    await asyncio.gather(*(call() for _ in range(3)))
    assert [wanted for _, wanted in book.asked] == [1, 2, 1]


async def test_a_search_asks_for_both_limits_in_one_step() -> None:
    book, clock = Book(), Clock()
    await shared(book, clock).acquire(Bucket.SEARCH)
    assert book.asked == [((Bucket.BURST, Bucket.SEARCH), 1)]


async def test_an_association_batch_asks_for_its_own_limit_alone() -> None:
    book, clock = Book(), Clock()
    rates = shared(book, clock)
    slot = await rates.acquire(Bucket.ASSOCIATIONS)
    await rates.answered(Bucket.ASSOCIATIONS, slot, Reading(limit=190, remaining=1, daily_remaining=5))
    assert (book.asked, book.corrected) == ([((Bucket.ASSOCIATIONS,), 1)], [])
    assert (rates.remaining(Bucket.ASSOCIATIONS), rates.remaining(Bucket.BURST), rates.daily_remaining) == (99, 100, 5)


async def test_the_ledger_learns_only_what_it_does_not_know() -> None:
    book, clock = Book(), Clock()
    rates = shared(book, clock)
    slot = await rates.acquire(Bucket.BURST)
    await rates.answered(Bucket.BURST, slot, Reading(limit=100, remaining=99, window_seconds=10.0))
    await rates.answered(Bucket.BURST, slot, Reading(daily_remaining=5))
    assert book.corrected == []
    assert rates.daily_remaining == 5
    for news in (Reading(limit=190, remaining=189), Reading(limit=100, remaining=98)):
        await rates.answered(Bucket.BURST, slot, news)
    assert len(book.corrected) == 2


async def test_a_pause_is_shared() -> None:
    book, clock = Book(), Clock()
    await shared(book, clock).pause(Bucket.BURST, 10)
    assert book.pauses == [(Bucket.BURST, 10)]


async def test_without_the_ledger_the_process_counts_for_itself_and_says_so_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    book, clock = Book(), Clock()
    rates = shared(book, clock, calls=30)
    caplog.set_level(logging.WARNING)
    for _ in range(20):
        await rates.acquire(Bucket.BURST)
    book.is_away = True
    for _ in range(10):
        await rates.answered(Bucket.BURST, await rates.acquire(Bucket.BURST), Reading())
    assert clock.now == 1000.0, "thirty went at once, the twenty before the ledger went away are among them"
    await rates.acquire(Bucket.BURST)
    assert clock.now > 1009
    assert caplog.messages == ["hubspot rate limits are counted by this process alone for now: no answer"]

    asked = len(book.asked)
    await rates.acquire(Bucket.BURST)
    assert len(book.asked) == asked + 1, "after a while it is asked again"
    book.is_away = False
    clock.now += 6
    await rates.acquire(Bucket.BURST)
    assert caplog.messages[1:] == ["hubspot rate limits are shared with other processes again"]
    assert len(book.asked) == asked + 2


async def test_an_answer_and_a_pause_do_not_fail_without_the_ledger() -> None:
    book, clock = Book(), Clock()
    rates = shared(book, clock)
    slot = await rates.acquire(Bucket.BURST)
    book.is_away = True
    await rates.answered(Bucket.BURST, slot, Reading(limit=190, remaining=1))
    await rates.pause(Bucket.BURST, 3)
    await rates.acquire(Bucket.BURST)
    assert clock.now >= 1003, "the local limiter keeps the pause"


async def test_a_call_that_is_cancelled_while_it_waits_blocks_nobody() -> None:
    book, clock = Book(free=0, wait_seconds=1000), Clock()
    rates = SharedRateLimiter(book, limiter(clock), clock=clock, sleep=asyncio.sleep)
    waiting = asyncio.create_task(rates.acquire(Bucket.BURST))
    await asyncio.sleep(0.01)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    book.free = 1
    async with asyncio.timeout(5):
        await rates.acquire(Bucket.BURST)
    assert [wanted for _, wanted in book.asked] == [1, 1]
