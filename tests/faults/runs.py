"""Attempts and their runs: what the journal and the handlers say of one claim, and which runs of a row overlap."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from itertools import combinations, pairwise
from typing import Any
from uuid import UUID


@dataclass
class Attempt:
    """One claim of one row, from the journal, with what the handler recorded about it."""

    job_id: int
    token: UUID
    worker: str
    claimed: datetime
    effects: list[Any] = field(default_factory=list)
    end: str = "open"  # then "settled", "rescued", "taken over" or "deleted"
    ended: datetime | None = None
    settled_in: str | None = None  # the transaction of its settle
    completed: bool = False  # its settle made the row Complete
    let_go: bool = False  # settled as if it had never run, although its handler answered

    @property
    def is_lost(self) -> bool:
        return self.end in ("rescued", "taken over")

    @property
    def answer(self) -> str | None:
        """Of its last run: one before that was undone, or the oracle says so."""
        return self.effects[-1]["answer"] if self.effects else None


@dataclass
class Verdict:
    """What happened, in numbers, and every broken promise in words."""

    violations: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        counts = ", ".join(f"{name} {count}" for name, count in sorted(self.counts.items()))
        return "\n".join([counts, *self.violations[:20]])


@dataclass(frozen=True)
class Run:
    """One call of a handler for one row, as the handler recorded it."""

    attempt: Attempt
    started: datetime
    ended: datetime | None  # None: it was killed, or cancelled before it could record its end

    def overlaps(self, other: Run) -> bool:
        return self._is_live_after(other.started) and other._is_live_after(self.started)

    @property
    def outlives_its_settle(self) -> bool:
        """Whether it was seen alive after its row was settled: from then on it overlaps whatever is claimed next."""
        if self.attempt.end != "settled" or self.attempt.ended is None:
            return False
        return (self.ended or self.started) > self.attempt.ended

    def _is_live_after(self, moment: datetime) -> bool:
        if self.ended is not None:
            return self.ended > moment
        # A handler that was cancelled is over when its row is settled; what became of a killed one, nobody saw.
        return self.attempt.end != "settled" or self.attempt.ended is None or self.attempt.ended > moment

    def __str__(self) -> str:
        attempt = self.attempt
        return (
            f"{attempt.worker} claimed {attempt.claimed:%T.%f}, started {self.started:%T.%f}, "
            f"ended {_time(self.ended)}, {attempt.end} {_time(attempt.ended)}"
        )


def check_runs(attempts: list[Attempt], verdict: Verdict, *, may_repeat: bool = False) -> None:
    """Which runs of one row overlap, and what became of the first. `attempts` are in the order of their claims.

    `may_repeat`: a claim may be run again after a run that was undone, one after the other.
    """
    runs: dict[int, list[Run]] = defaultdict(list)
    for attempt in attempts:
        repeats = attempt.effects[1:]
        if may_repeat and not any(_overlap(*two) for two in pairwise(attempt.effects)):
            verdict.counts["runs repeated in their batch"] += len(repeats)
        elif repeats:
            verdict.violations.append(f"5: job {attempt.job_id}: one claim was started {len(attempt.effects)} times")
        for effect in attempt.effects:
            run = Run(attempt, effect["started"], effect["ended"])
            verdict.counts["starts"] += 1
            verdict.counts["starts whose lease was lost"] += attempt.is_lost
            runs[attempt.job_id].append(run)
            if run.outlives_its_settle:
                verdict.violations.append(f"5: job {attempt.job_id}: a run outlives its own settle: {run}")
        verdict.counts["claims lost before their start"] += attempt.is_lost and not attempt.effects
    for job_id, of_job in runs.items():
        # The first is the one that was claimed first, by the journal's order, and not the one that started first. A
        # worker that was frozen between its claim and its start, or whose start was recorded late because the server
        # was away, starts what it has lost already, while the heir runs: it settles nothing, although it started last.
        for first, second in combinations(of_job, 2):
            if not first.overlaps(second):
                continue
            if first.attempt.is_lost or first.attempt.end == "deleted":
                verdict.counts["overlaps by a lost lease"] += first.ended is not None
            else:
                verdict.violations.append(
                    f"5: job {job_id}: two runs overlap, and the first was {first.attempt.end}: {first}; {second}"
                )


def check_let_go(attempts: list[Attempt], verdict: Verdict) -> None:
    """A row is let go only because another claim of its batch, which has the same token, was lost before."""
    lost_at: dict[tuple[UUID, str], list[datetime]] = defaultdict(list)
    for attempt in attempts:
        if attempt.ended is not None and (attempt.is_lost or attempt.end == "deleted"):
            lost_at[attempt.token, attempt.worker].append(attempt.ended)
    for attempt in attempts:
        if not attempt.let_go or attempt.ended is None:
            continue
        verdict.counts["let go with a lost claim of their batch"] += 1
        if not any(lost < attempt.ended for lost in lost_at[attempt.token, attempt.worker]):
            verdict.violations.append(
                f"2: job {attempt.job_id}: the handler answered {attempt.answer} and the row was let go, "
                "but no claim of its batch was lost"
            )


def _overlap(first: Any, second: Any) -> bool:
    return first["ended"] is None or first["ended"] > second["started"]


def _time(moment: datetime | None) -> str:
    return f"{moment:%T.%f}" if moment is not None else "never"
