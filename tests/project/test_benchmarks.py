"""The figures of the benchmarks: what a run that failed may not say."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def contest(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The modules by name, found as a benchmark finds them that is run as a script."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    return lambda name: import_module(f"contest.{name}")


@pytest.mark.parametrize(
    ("raw", "ratio"),
    [
        ({"rate": 2000.0}, 0.5),
        ({"rate": 2000.0, "problems": ["3 jobs ran more than once"]}, None),
        ({"problems": ["a worker died"]}, None),
        ({"rate": 0.0, "is_capped": True}, None),
    ],
    ids=["verified", "not exactly once", "died", "nothing ran"],
)
def test_failed_run_of_the_reference_gives_no_ratio(contest: Any, raw: dict[str, Any], ratio: float | None) -> None:
    drained, summary = contest("drain").Drained, contest("workloads.beside").summary
    run = drained(rate=1000.0)

    row = summary([(run, drained(**raw))])

    assert (row["jobs/s"], row.get("of raw")) == (1000.0, ratio)
    again = summary([(run, drained(**raw)), (run, drained(rate=4000.0))])
    assert again["of raw"] == (0.375 if ratio else 0.25), "the other runs' ratios stand"


def test_failed_run_gives_no_figures_and_says_why(contest: Any) -> None:
    drained, summary = contest("drain").Drained, contest("workloads.beside").summary

    assert summary([(drained(rate=9e9, problems=["no job ran"]), drained(rate=1.0))]) == {"remarks": "no job ran"}
