"""Which fault is repeated within one call, and after how long (pure)."""

from __future__ import annotations

import pytest

from crm_sync.hubspot.errors import (
    AnswerTimeout,
    Conflict,
    ConnectionCut,
    DailyLimit,
    HubSpotError,
    Locked,
    MalformedAnswer,
    Migrating,
    MissingScopes,
    NotFound,
    Problem,
    RateLimited,
    Rejected,
    ServerFault,
    Unauthorized,
    Unreachable,
    ValidationFailed,
)
from crm_sync.hubspot.retry import RetryRules

RULES = RetryRules()


def delay(
    error: HubSpotError,
    *,
    attempt: int = 1,
    elapsed_seconds: float = 0,
    repeatable: bool = True,
    rules: RetryRules = RULES,
) -> float | None:
    return rules.delay_seconds(
        error, attempt=attempt, elapsed_seconds=elapsed_seconds, repeatable=repeatable, draw=lambda: 1.0
    )


def problem(status: int, *, policy: str | None = None, retry_after_seconds: float | None = None) -> Problem:
    return Problem("POST /x", status, "no", policy=policy, retry_after_seconds=retry_after_seconds)


def rate_limited(policy: str | None, retry_after_seconds: float | None = None) -> RateLimited:
    return RateLimited(problem(429, policy=policy, retry_after_seconds=retry_after_seconds))


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (rate_limited("TEN_SECONDLY_ROLLING"), 10.0),
        (rate_limited("SECONDLY"), 1.0),
        (rate_limited(None), 10.0),
        (rate_limited("SECONDLY", retry_after_seconds=3), 3.0),
        (Locked(problem(423)), 2.0),
        (Migrating(problem(477, retry_after_seconds=20)), 20.0),
        (ServerFault(problem(502)), 0.5),
        (Unreachable("down", "GET /x"), 0.5),
        (AnswerTimeout("slow", "GET /x"), 0.5),
        (ConnectionCut("cut", "GET /x"), 0.5),
        (MalformedAnswer("html", "GET /x", 200), 0.5),
        (Rejected(problem(408)), 0.5),
    ],
    ids=lambda value: f"{type(value).__name__}",
)
def test_a_fault_that_passes_is_repeated_after_its_own_delay(error: HubSpotError, seconds: float) -> None:
    assert delay(error) == seconds


@pytest.mark.parametrize(
    "error",
    [
        DailyLimit(problem(429, policy="DAILY")),
        Migrating(problem(477)),
        Migrating(problem(477, retry_after_seconds=86_400)),
        Unauthorized(problem(401)),
        MissingScopes(problem(403)),
        NotFound(problem(404)),
        Conflict(problem(409)),
        ValidationFailed(problem(400)),
        Rejected(problem(414)),
        MalformedAnswer("html", "GET /x", 404),
    ],
    ids=lambda value: f"{type(value).__name__}",
)
def test_what_a_wait_does_not_mend_is_raised_at_once(error: HubSpotError) -> None:
    assert delay(error) is None


@pytest.mark.parametrize(
    "error",
    [
        ServerFault(problem(500)),
        AnswerTimeout("slow", "POST /x"),
        ConnectionCut("cut", "POST /x"),
        MalformedAnswer("html", "POST /x", 200),
    ],
    ids=lambda value: f"{type(value).__name__}",
)
def test_5xx_after_it_was_applied_never_repeats_a_plain_create(error: HubSpotError) -> None:
    assert delay(error, repeatable=False) is None


@pytest.mark.parametrize("error", [rate_limited("SECONDLY"), Locked(problem(423)), Unreachable("x", "POST /x")])
def test_what_was_surely_not_applied_is_repeated_also_for_a_create(error: HubSpotError) -> None:
    assert delay(error, repeatable=False) is not None


def test_delays_double_up_to_a_cap() -> None:
    fault = ServerFault(problem(503))
    rules = RetryRules(max_attempts=99)
    assert [delay(fault, attempt=attempt, rules=rules) for attempt in range(1, 7)] == [0.5, 1, 2, 4, 8, 8]


def test_the_drawn_delay_lies_between_half_and_whole() -> None:
    fault = ServerFault(problem(503))
    assert RULES.delay_seconds(fault, attempt=1, elapsed_seconds=0, repeatable=True, draw=lambda: 0.0) == 0.25


def test_attempts_and_total_time_are_bounded() -> None:
    fault = ServerFault(problem(503))
    assert delay(fault, attempt=RULES.max_attempts) is None
    assert delay(fault, elapsed_seconds=RULES.max_total_seconds) is None
    assert delay(rate_limited(None), elapsed_seconds=RULES.max_total_seconds - 9) is None


def test_the_scale_shortens_the_waiting_but_not_what_is_repeated() -> None:
    rules = RetryRules(scale=0)
    assert delay(rate_limited(None), rules=rules) == 0
    assert delay(Migrating(problem(477, retry_after_seconds=86_400)), rules=rules) is None
    assert rules.pause_seconds(rate_limited(None)) == 0
