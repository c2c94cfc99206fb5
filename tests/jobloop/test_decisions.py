"""The pure parts: what becomes of an answer, and how long a retry waits."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobloop import Complete, CycleReport, Fail, Retry, RetryPolicy, Snooze
from jobloop.outcome import storable
from jobloop.settlement import decide
from jobloop.status import EDGES, Role

POLICIES = st.builds(
    RetryPolicy,
    max_retries=st.integers(0, 10_000),
    base_delay=st.timedeltas(timedelta(0), timedelta(days=1)),
    exponential=st.booleans(),
    max_delay=st.timedeltas(timedelta(0), timedelta(days=3)),
    jitter=st.floats(0, 1),
)
ANSWERS = st.one_of(
    st.none(),
    st.builds(Complete),
    st.builds(Retry, st.text(), st.none() | st.timedeltas()),
    st.builds(Fail, st.text()),
    st.builds(Snooze, st.timedeltas(timedelta(0), timedelta(days=99))),
    st.builds(Snooze, st.datetimes(timezones=st.just(UTC))),
    st.builds(ValueError, st.text()),
)


@given(POLICIES, st.integers(0, 10_000_000), st.floats(0, 1, exclude_max=True))
def test_delay_is_finite_and_never_above_the_cap(policy: RetryPolicy, failures: int, draw: float) -> None:
    assert 0 <= policy.delay_seconds(failures, lambda: draw) <= policy.max_delay.total_seconds()


def test_delays_double_from_five_minutes() -> None:
    assert [RetryPolicy().delay_seconds(n) / 60 for n in (1, 2, 3)] == [5, 10, 20]
    assert [RetryPolicy(exponential=False).delay_seconds(n) / 60 for n in (1, 2, 3)] == [5, 5, 5]


def test_jitter_adds_at_most_its_share() -> None:
    policy = RetryPolicy(jitter=0.5)
    assert policy.delay_seconds(1, lambda: 0.0) == 300
    assert policy.delay_seconds(1, lambda: 0.999) == pytest.approx(449.85)


@given(ANSWERS, st.integers(0, 20), POLICIES)
def test_every_answer_is_an_edge_of_the_state_diagram(answer: object, retry_count: int, policy: RetryPolicy) -> None:
    settlement = decide(answer, retry_count, policy)  # type: ignore[arg-type]

    assert (Role.PROCESSING, settlement.to) in EDGES["settle"]
    goes_back = settlement.to is Role.QUEUED
    assert goes_back == (settlement.delay_seconds is not None or settlement.until is not None), (
        "what jobloop re-queues always has a next_retry_at: without one it would be a fresh request"
    )
    if goes_back and settlement.counted:
        assert retry_count < policy.max_retries


def test_retry_that_the_policy_no_longer_allows_is_a_failure() -> None:
    policy = RetryPolicy(max_retries=2)
    assert [decide(Retry("x"), n, policy).to for n in (0, 1, 2)] == [Role.QUEUED, Role.QUEUED, Role.ERROR]


def test_snooze_needs_an_aware_time() -> None:
    with pytest.raises(ValueError, match="aware"):
        Snooze(datetime(2030, 1, 1))  # noqa: DTZ001 - the mistake itself


@given(st.text(st.characters(exclude_categories=()), max_size=3000))
def test_error_text_can_always_be_stored(error: str) -> None:
    kept = storable(error)
    kept.encode()
    assert len(kept) <= 1000
    assert "\x00" not in kept


@pytest.mark.parametrize(
    ("given", "message"),
    [({"max_retries": -1}, "max_retries"), ({"jitter": 2.0}, "jitter"), ({"base_delay": timedelta(-1)}, "negative")],
)
def test_policy_that_makes_no_sense_is_refused(given: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RetryPolicy(**given)  # type: ignore[arg-type]


def test_report_since_an_earlier_moment_counts_only_what_came_after() -> None:
    report = CycleReport("orders", claimed=5, completed=3, failed=1)
    report.errors["bad"] = 1
    earlier = report.since(None)
    report.claimed, report.completed, report.failed = 9, 6, 2
    report.errors["bad"] = 2
    part = report.since(earlier)

    assert (earlier.claimed, earlier.completed) == (5, 3)
    assert (part.claimed, part.completed, part.failed, part.errors) == (4, 3, 1, {"bad": 1})
    assert part.duration_seconds <= report.finish().duration_seconds
