"""The limiter against a clock that the test moves: never a refused call, never an idle place."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_sync.hubspot.exchange import Bucket
from crm_sync.hubspot.ratelimit import Budget, LocalRateLimiter, Reading, RollingWindow


class Clock:
    """A clock whose sleeps pass at once."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)


def limiter(clock: Clock, calls: int = 100, window_seconds: float = 10.0) -> LocalRateLimiter:
    budgets = {Bucket.BURST: Budget(calls, window_seconds), Bucket.SEARCH: Budget(4, 1.0)}
    return LocalRateLimiter(budgets, clock=clock, sleep=clock.sleep)


async def test_the_pipe_is_full_and_no_window_holds_more_than_the_limit() -> None:
    clock = Clock()
    rates = limiter(clock)
    began_at = clock.now
    arrivals: list[float] = []
    while clock.now < began_at + 100:
        slot = await rates.acquire(Bucket.BURST)
        clock.now += 0.01
        arrivals.append(clock.now)
        clock.now += 0.02
        await rates.answered(Bucket.BURST, slot, Reading())
    busiest = max(sum(1 for other in arrivals if at <= other <= at + 10) for at in arrivals)
    assert busiest <= 100
    assert len(arrivals) >= 0.95 * 1000


@given(st.lists(st.tuples(st.floats(0, 0.2), st.floats(0, 3)), min_size=30, max_size=80))
def test_no_window_holds_more_than_the_limit_whatever_the_delays(delays: list[tuple[float, float]]) -> None:
    window = RollingWindow(Budget(10, 10.0))
    now, arrivals = 0.0, []
    for travel_seconds, work_seconds in delays:
        now += window.wait_seconds(now)
        slot = window.take(now)
        arrivals.append(now + travel_seconds)
        window.answered(slot, Reading(), now + travel_seconds + work_seconds)
        now += travel_seconds / 2
    assert max(sum(1 for other in arrivals if at <= other <= at + 10) for at in arrivals) <= 10


async def test_waiting_calls_go_in_the_order_in_which_they_came() -> None:
    clock = Clock()
    rates = limiter(clock, calls=1)
    went: list[int] = []

    async def call(number: int) -> None:
        await rates.acquire(Bucket.BURST)
        went.append(number)

    await asyncio.gather(*(call(number) for number in range(5)))
    assert went == [0, 1, 2, 3, 4]
    assert rates.waited_seconds > 40


async def test_a_search_takes_a_place_of_both_limits() -> None:
    clock = Clock()
    rates = limiter(clock, calls=6)
    for _ in range(4):
        await rates.acquire(Bucket.SEARCH)
    assert rates.waited_seconds == 0
    await rates.acquire(Bucket.SEARCH)
    assert 1 < rates.waited_seconds < 2
    for _ in range(2):
        await rates.acquire(Bucket.BURST)
    assert rates.waited_seconds > 9


async def test_the_budget_follows_hubspots_headers() -> None:
    clock = Clock()
    rates = limiter(clock, calls=1)
    slot = await rates.acquire(Bucket.BURST)
    headers = {
        "x-hubspot-ratelimit-max": "190",
        "x-hubspot-ratelimit-remaining": "189",
        "x-hubspot-ratelimit-interval-milliseconds": "10000",
        "x-hubspot-ratelimit-daily-remaining": "249000",
    }
    await rates.answered(Bucket.BURST, slot, Reading.of(headers))
    assert rates.budget(Bucket.BURST) == Budget(190, 10.0)
    assert rates.daily_remaining == 249_000
    for _ in range(189):
        await rates.acquire(Bucket.BURST)
    assert rates.waited_seconds == 0


async def test_calls_of_another_process_with_the_same_token_are_counted() -> None:
    clock = Clock()
    rates = limiter(clock, calls=100)
    slot = await rates.acquire(Bucket.BURST)
    await rates.answered(Bucket.BURST, slot, Reading(limit=100, remaining=39))
    for _ in range(39):
        await rates.acquire(Bucket.BURST)
    assert rates.waited_seconds == 0
    await rates.acquire(Bucket.BURST)
    assert rates.waited_seconds > 9


async def test_own_calls_under_way_are_not_taken_for_those_of_others() -> None:
    clock = Clock()
    rates = limiter(clock, calls=100)
    slots = [await rates.acquire(Bucket.BURST) for _ in range(50)]
    for remaining, slot in enumerate(reversed(slots), start=50):
        await rates.answered(Bucket.BURST, slot, Reading(limit=100, remaining=remaining))
    for _ in range(50):
        await rates.acquire(Bucket.BURST)
    assert rates.waited_seconds == 0


async def test_a_late_answer_does_not_make_old_calls_count_again() -> None:
    clock = Clock()
    rates = limiter(clock, calls=100)
    for _ in range(99):
        slot = await rates.acquire(Bucket.BURST)
        await rates.answered(Bucket.BURST, slot, Reading())
    clock.now += 9
    late = await rates.acquire(Bucket.BURST)
    clock.now += 3
    await rates.answered(Bucket.BURST, late, Reading(limit=100, remaining=0))
    for _ in range(99):
        await rates.acquire(Bucket.BURST)
    assert rates.waited_seconds == 0


async def test_a_pause_holds_back_every_call_of_the_bucket() -> None:
    clock = Clock()
    rates = limiter(clock)
    await rates.pause(Bucket.BURST, 10)
    await rates.acquire(Bucket.BURST)
    assert rates.waited_seconds == 10


def test_headers_that_are_absent_or_no_numbers_say_nothing() -> None:
    empty: Mapping[str, str] = {}
    assert Reading.of(empty) == Reading()
    assert Reading.of({"x-hubspot-ratelimit-max": "many", "x-hubspot-ratelimit-remaining": ""}) == Reading()


async def test_association_batches_have_a_budget_of_their_own() -> None:
    clock = Clock()
    rates = limiter(clock, calls=1)
    for _ in range(100):
        await rates.acquire(Bucket.ASSOCIATIONS)
    await rates.acquire(Bucket.BURST)
    assert rates.waited_seconds == 0
    await rates.acquire(Bucket.ASSOCIATIONS)
    assert rates.waited_seconds > 9


@pytest.mark.parametrize("bucket", [Bucket.ASSOCIATIONS, Bucket.SEARCH])
async def test_headers_are_believed_of_the_burst_limit_alone(bucket: Bucket) -> None:
    """Whether those of an association batch speak of its own limit or of the burst's is not documented."""
    clock = Clock()
    rates = limiter(clock)
    before = rates.budget(bucket)
    slot = await rates.acquire(bucket)
    news = Reading(limit=190, remaining=3, window_seconds=10.0, daily_remaining=77)
    await rates.answered(bucket, slot, news)
    assert rates.budget(bucket) == before
    assert rates.remaining(bucket) == before.calls - 1
    assert rates.daily_remaining == 77


async def test_what_remains_of_the_window_can_be_shown() -> None:
    clock = Clock()
    rates = limiter(clock, calls=10)
    assert [rates.remaining(bucket) for bucket in (Bucket.BURST, Bucket.SEARCH, Bucket.ASSOCIATIONS)] == [10, 4, 100]
    slot = await rates.acquire(Bucket.BURST)
    assert rates.remaining(Bucket.BURST) == 9
    await rates.answered(Bucket.BURST, slot, Reading(limit=10, remaining=3))
    assert (rates.remaining(Bucket.BURST), rates.remaining(Bucket.SEARCH)) == (3, 3), "a search takes of both"
    clock.now += 10.5
    assert rates.remaining(Bucket.BURST) == 10
    await rates.pause(Bucket.BURST, 5)
    assert (rates.remaining(Bucket.BURST), rates.remaining(Bucket.ASSOCIATIONS)) == (0, 100)
