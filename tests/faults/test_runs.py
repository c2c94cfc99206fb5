"""What the oracle makes of two runs of one row, from records written by hand: seconds after an hour."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from tests.faults.runs import Attempt, Verdict, check_let_go, check_runs

LOST = "overlaps by a lost lease"


@pytest.mark.parametrize("end", ["rescued", "taken over"])
def test_lost_run_may_overlap_its_heirs_whichever_of_the_two_started_first(end: str) -> None:
    heir = attempt(claimed=3, started=4, ended=8, end="settled", at=9)
    for started in (1, 5):
        verdict = judged(attempt(claimed=0, started=started, ended=7, end=end, at=3), heir)
        assert (verdict.violations, verdict.counts[LOST]) == ([], 1)


def test_run_that_ended_before_the_next_began_overlaps_nothing() -> None:
    before = attempt(claimed=0, started=1, ended=2, end="settled", at=3)
    verdict = judged(before, attempt(claimed=4, started=5, ended=6, end="settled", at=7))
    assert (verdict.violations, verdict.counts[LOST]) == ([], 0)


@pytest.mark.parametrize(("started", "ended"), [(1, 6), (1, 10), (6, 7)])
def test_overlap_is_a_violation_when_the_first_settled_whichever_of_the_two_started_first(
    started: int, ended: int
) -> None:
    first = attempt(claimed=0, started=started, ended=ended, end="settled", at=3)
    words = judged(first, attempt(claimed=4, started=5, ended=8, end="settled", at=9)).violations
    assert ["outlives its own settle" in said for said in words] == [True, False]
    assert "two runs overlap, and the first was settled" in words[1]


def test_run_that_goes_on_after_its_settle_is_a_violation_although_nobody_met_it() -> None:
    (words,) = judged(attempt(claimed=0, started=1, ended=4, end="settled", at=3)).violations
    assert "outlives its own settle" in words


def test_run_that_was_cancelled_is_over_when_its_row_is_settled() -> None:
    cancelled = attempt(claimed=0, started=1, ended=None, end="settled", at=3)
    assert judged(cancelled, attempt(claimed=4, started=5, ended=6, end="settled", at=7)).violations == []


def test_claim_that_was_started_twice_is_a_violation() -> None:
    twice = attempt(claimed=0, started=1, ended=2, end="settled", at=3)
    twice.effects *= 2
    assert "one claim was started 2 times" in judged(twice).violations[0]


@pytest.mark.parametrize(("ended", "is_fine"), [(2, True), (4, False), (None, False)])
def test_claim_may_be_run_again_in_its_batch_only_after_the_first_run_ended(ended: int | None, is_fine: bool) -> None:
    again = attempt(claimed=0, started=3, ended=5, end="settled", at=6)
    first = attempt(claimed=0, started=1, ended=ended, end="settled", at=6)
    again.effects = [*first.effects, *again.effects]
    verdict = Verdict()
    check_runs([again], verdict, may_repeat=True)
    assert (verdict.violations == []) == is_fine


@pytest.mark.parametrize("end", ["rescued", "taken over", "deleted", "settled"])
@pytest.mark.parametrize("is_of_its_batch", [True, False])
@pytest.mark.parametrize("at", [2, 4])
def test_row_is_let_go_only_after_another_claim_of_its_batch_was_lost(end: str, is_of_its_batch: bool, at: int) -> None:
    let_go = attempt(claimed=0, started=1, ended=2, end="settled", at=3)
    other = attempt(claimed=0, started=1, ended=2, end=end, at=at)
    let_go.let_go = True
    if is_of_its_batch:
        other.token = let_go.token
    verdict = Verdict()
    check_let_go([let_go, other], verdict)
    assert (verdict.violations == []) == (end != "settled" and is_of_its_batch and at == 2)


def judged(*attempts: Attempt) -> Verdict:
    verdict = Verdict()
    check_runs(list(attempts), verdict)
    return verdict


def attempt(*, claimed: int, started: int, ended: int | None, end: str, at: int) -> Attempt:
    effect = {"started": second(started), "ended": None if ended is None else second(ended), "answer": None}
    return Attempt(1, uuid4(), "worker", second(claimed), [effect], end, second(at))


def second(number: int) -> datetime:
    return datetime(2026, 1, 1, 12, tzinfo=UTC) + timedelta(seconds=number)
