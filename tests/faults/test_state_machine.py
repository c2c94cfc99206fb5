"""The queue against a pure model of it: Hypothesis draws what users, workers, operators and time do, in any order.

Every step is one statement on a real PostgreSQL; after every step each row must be what the model says. Time is an
integer of the model; in the database it passes by moving the rows' dates into the past.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from crm_sync.database import create_engine
from jobloop import Claim, Complete, Control, Fail, Outcome, Retry, RetryPolicy, Snooze
from jobloop.settlement import Settlement, decide
from jobloop.store import Store
from tests.faults import heir
from tests.faults.jobs import Base, Table, make_queue

#: The steps of time never come within ten seconds of a date: the test's own seconds do not matter.
LEASE, DELAY, STEPS = 300, 650, (140, 320, 700)
MAX_RETRIES, MAX_RESCUES = 2, 2
#: By default 40 × 50 steps, about ten seconds.
RUNS, STEPS_OF_ONE_RUN = int(os.environ.get("STATE_MACHINE_RUNS") or 40), 50
#: Whoever only wants to know whether it fails saves the minutes that a short example costs.
IS_SHRUNK = os.environ.get("STATE_MACHINE_SHRINK") != "no"
POLICY = RetryPolicy(max_retries=MAX_RETRIES, base_delay=timedelta(seconds=DELAY), exponential=False)
QUEUE = make_queue(retry=POLICY, lease=timedelta(seconds=LEASE), max_rescues=MAX_RESCUES)


@dataclass
class Row:
    """What the queue should know about one row. Dates are in seconds of the model's clock; None means null."""

    status: str | None = None
    retry_count: int = 0
    rescue_count: int = 0
    retry_at: int | None = None
    token: UUID | None = None
    lease_until: int | None = None
    has_error: bool = False
    fact: int | None = None


@dataclass
class Model:
    now: int = 0
    rows: dict[int, Row] = field(default_factory=dict)
    is_paused: bool = False

    def due(self) -> list[int]:
        """In the order of a claim: fresh rows by age, then retries, the longest due first."""
        found = [
            (row.retry_at is not None, row.retry_at or 0, number)
            for number, row in self.rows.items()
            if row.status == "Queued"
            and (row.retry_at is None or row.retry_at <= self.now)
            and (row.token is None or (row.lease_until or 0) < self.now)
        ]
        return [] if self.is_paused else [number for *_, number in sorted(found)]

    def turn(self, number: int) -> tuple[bool, int, int]:
        """What decides when a row is claimed. Retries that became due in one moment of the model have equal turns."""
        retry_at = self.rows[number].retry_at
        return (False, 0, number) if retry_at is None else (True, retry_at, 0)

    def claim(self, number: int, token: UUID) -> None:
        row = self.rows[number]
        if row.retry_at is None:
            row.retry_count = row.rescue_count = 0
        row.status, row.retry_at, row.token, row.lease_until = "Processing", None, token, self.now + LEASE

    def settle(self, claim: Claim, outcome: Outcome) -> bool:
        """Whether the claim held."""
        row = self.rows.get(claim.key)
        if row is None or row.token != claim.token:
            return False
        row.token = row.lease_until = None
        if isinstance(outcome, Complete):
            row.fact = outcome.values["seen_revision"]
        if row.status != "Processing":
            return True  # the user's word stands
        is_spent = row.retry_count + 1 > MAX_RETRIES
        if isinstance(outcome, Complete):
            row.status, row.has_error = "Complete", False
        elif isinstance(outcome, Snooze):
            row.status, row.retry_at = "Queued", self.now + DELAY
        elif isinstance(outcome, Fail) or is_spent:
            row.status, row.has_error, row.retry_count = "Error", True, row.retry_count + 1
        else:
            row.status, row.has_error, row.retry_count = "Queued", True, row.retry_count + 1
            row.retry_at = self.now + DELAY
        return True

    def rescue(self) -> None:
        for row in self.rows.values():
            if row.status == "Processing" and row.lease_until is not None and row.lease_until < self.now:
                row.rescue_count += 1
                row.token = row.lease_until = None
                if row.rescue_count >= MAX_RESCUES:
                    row.status, row.has_error = "Error", True
                else:
                    row.status, row.retry_at = "Queued", self.now


class QueueMachine(RuleBasedStateMachine):
    """Rows 1 to 4, up to a dozen open claims, some of them lost."""

    engine: Any
    run: Callable[[Coroutine[Any, Any, Any]], Any]
    claims = Bundle("claims")
    numbers = st.integers(1, 4)
    outcomes = st.sampled_from(
        [
            Complete(values={"seen_revision": 1}),
            Complete(values={"seen_revision": 2}),
            Retry("busy"),
            Fail("bad"),
            Snooze(timedelta(seconds=DELAY)),
        ]
    )

    @initialize()
    def begin(self) -> None:
        self.model = Model()
        self.store = Store(QUEUE, self.engine, retry_share=0.0)  # a share would make the order a matter of chance
        self.control = Control(QUEUE, self.engine)
        self.sql("TRUNCATE jobs, jobloop_pauses")

    # -- users, with plain SQL --------------------------------------------------------------------------------------

    @rule(number=numbers)
    def user_queues(self, number: int) -> None:
        self.sql(
            "INSERT INTO jobs (id, status, created_at) "
            "VALUES (:id, 'Queued', timestamptz '2020-01-01' + CAST(:id AS int) * interval '1 s') "
            "ON CONFLICT (id) DO UPDATE SET status = 'Queued'",
            id=number,
        )
        self.model.rows.setdefault(number, Row()).status = "Queued"

    @rule(number=numbers, word=st.sampled_from([None, "Skipped"]))
    def user_cancels(self, number: int, word: str | None) -> None:
        self.sql("UPDATE jobs SET status = :word WHERE id = :id", id=number, word=word)
        if number in self.model.rows:
            self.model.rows[number].status = word

    @rule(number=numbers)
    def user_deletes(self, number: int) -> None:
        self.sql("DELETE FROM jobs WHERE id = :id", id=number)
        self.model.rows.pop(number, None)

    @rule(number=numbers)
    def user_edits(self, number: int) -> None:
        self.sql("UPDATE jobs SET revision = revision + 1 WHERE id = :id", id=number)

    # -- workers ------------------------------------------------------------------------------------------------------

    @rule(target=claims, batch_size=st.integers(1, 4))
    def claim(self, batch_size: int) -> Any:
        due = self.model.due()
        claims = self.run(self.store.claim(batch_size))
        claimed = [claim.key for claim in claims]
        assert len(claimed) == len(set(claimed)), claimed
        assert set(claimed) <= set(due)
        assert [*map(self.model.turn, claimed)] == [*map(self.model.turn, due[:batch_size])], (claimed, due)
        for claim in claims:
            self.model.claim(claim.key, claim.token)
            assert claim.retry_count == self.model.rows[claim.key].retry_count
        return multiple(*claims)

    @rule(claim=consumes(claims), outcome=outcomes)
    def settle(self, claim: Claim, outcome: Outcome) -> None:
        settled = self.run(self.store.settle([(claim, decide(outcome, claim.retry_count, POLICY))]))
        assert (claim not in settled.lost) == self.model.settle(claim, outcome)

    @rule(claim=claims, outcome=outcomes)
    def settle_and_forget_that_it_did(self, claim: Claim, outcome: Outcome) -> None:
        """The same claim may be settled again later, as after an answer that was lost."""
        settled = self.run(self.store.settle([(claim, decide(outcome, claim.retry_count, POLICY))]))
        assert (claim not in settled.lost) == self.model.settle(claim, outcome)

    @rule(claim=consumes(claims))
    def release(self, claim: Claim) -> None:
        self.run(self.store.settle([(claim, Settlement.released())]))
        row = self.model.rows.get(claim.key)
        if row is not None and row.token == claim.token:
            row.token = row.lease_until = None
            if row.status == "Processing":
                row.status, row.retry_at = "Queued", self.model.now

    @rule(held=st.lists(claims, min_size=1, max_size=6, unique_by=id))
    def renew(self, held: list[Claim]) -> None:
        still = self.run(self.store.renew(held))
        for claim in held:
            row = self.model.rows.get(claim.key)
            is_held = row is not None and row.token == claim.token
            assert (claim in still) == is_held
            if row is not None and is_held:
                row.lease_until = self.model.now + LEASE

    @rule()
    def rescue(self) -> None:
        self.run(self.store.rescue())
        self.model.rescue()

    # -- operators and time -------------------------------------------------------------------------------------------

    @rule()
    def operator_requeues(self) -> None:
        keys = self.run(self.control.requeue())
        failed = {number for number, row in self.model.rows.items() if row.status == "Error"}
        assert set(keys) == failed
        for number in failed:
            self.model.rows[number].status, self.model.rows[number].retry_at = "Queued", None

    @rule()
    def operator_retries_now(self) -> None:
        keys = self.run(self.control.retry_now())
        waiting = {
            number
            for number, row in self.model.rows.items()
            if row.status == "Queued" and row.retry_at is not None and row.retry_at > self.model.now
        }
        assert set(keys) == waiting
        for number in waiting:
            self.model.rows[number].retry_at = self.model.now

    @rule()
    def operator_cancels(self) -> None:
        keys = self.run(self.control.cancel(status="Skipped"))
        queued = {number for number, row in self.model.rows.items() if row.status == "Queued"}
        assert set(keys) == queued
        for number in queued:
            self.model.rows[number].status, self.model.rows[number].retry_at = "Skipped", None

    @rule(is_paused=st.booleans())
    def operator_pauses_or_resumes(self, is_paused: bool) -> None:
        self.run(self.control.pause("because") if is_paused else self.control.resume())
        self.model.is_paused = is_paused

    @rule(seconds=st.sampled_from(STEPS))
    def time_passes(self, seconds: int) -> None:
        self.sql(
            "UPDATE jobs SET next_retry_at = next_retry_at - make_interval(secs => :seconds), "
            "lease_expires_at = lease_expires_at - make_interval(secs => :seconds)",
            seconds=seconds,
        )
        self.model.now += seconds

    # -- what must hold after every step ------------------------------------------------------------------------------

    @invariant()
    def every_row_is_what_the_model_says(self) -> None:
        if not hasattr(self, "model"):
            return
        rows = {
            row.id: row
            for row in self.sql(
                "SELECT *, extract(epoch FROM next_retry_at - now()) AS retry_in, "
                "extract(epoch FROM lease_expires_at - now()) AS lease_in FROM jobs"
            )
        }
        assert rows.keys() == self.model.rows.keys()
        for number, expected in self.model.rows.items():
            row = rows[number]
            found = Row(
                row.status,
                row.retry_count,
                row.rescue_count,
                self._same(row.retry_in, expected.retry_at),
                row.claim_token,
                self._same(row.lease_in, expected.lease_until),
                row.error is not None,
                row.seen_revision,
            )
            assert found == expected, number

    def _same(self, seconds_from_now: Any, expected: int | None) -> int | None:
        """The model's date if the row's is within the real time that a run takes, else the row's own."""
        if seconds_from_now is None:
            return None
        found = self.model.now + float(seconds_from_now)
        return expected if expected is not None and abs(found - expected) < LEASE / 4 else round(found)

    def sql(self, text: str, **binds: Any) -> list[Any]:
        async def execute() -> list[Any]:
            async with self.engine.connect() as connection:
                await connection.execution_options(isolation_level="AUTOCOMMIT")
                result = await connection.execute(sa.text(text), binds)
                return list(result.all()) if result.returns_rows else []

        found: list[Any] = self.run(execute())
        return found


async def test_only_queued_rows_are_claimed(jobs: Table) -> None:
    """Also where nothing else holds them back: no token, no lease and no date."""
    await jobs.sql(
        "INSERT INTO jobs (id, status) VALUES "
        "(1, NULL), (2, 'Skipped'), (3, 'Complete'), (4, 'Error'), (5, 'Processing'), (6, 'Queued')"
    )
    assert await heir.claim(jobs) == [6]


def test_queue_is_what_its_model_says_whatever_happens_in_whatever_order(database_url: str) -> None:
    with asyncio.Runner() as runner:
        engine = create_engine(database_url)

        async def make_tables() -> None:
            async with engine.begin() as connection:
                await connection.run_sync(Base.metadata.create_all)

        runner.run(make_tables())

        class Machine(QueueMachine):
            pass

        Machine.engine, Machine.run = engine, staticmethod(runner.run)  # type: ignore[assignment]
        run_state_machine_as_test(
            Machine,
            settings=settings(
                max_examples=RUNS,
                stateful_step_count=STEPS_OF_ONE_RUN,
                deadline=None,
                phases=[phase for phase in Phase if IS_SHRUNK or phase is not Phase.shrink],
                print_blob=True,
                suppress_health_check=list(HealthCheck),
            ),
        )
        runner.run(engine.dispose())
