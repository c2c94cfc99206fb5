"""The oracle: replays what happened to every row, and says which promise was broken.

    1  at the end no row is Processing, and nothing that is due waits
    2  nobody settles a claim but the worker that made it, and only while the row's token is still the claim's
    3  every enqueue is followed by a start later than it, on data at least as new, unless the user took it back
    4  retry_count is the number of failed attempts of the present request
    5  two runs of one row overlap only if the first, in the order of their claims, lost its lease, and then the first
       settles nothing; no run outlives its own settle

The replay is strict: a change by a worker that is not one of claim, renew, settle and rescue, exactly as the state
diagram has them, is a violation. It knows nothing of jobloop's code.

Of the forms with a session it knows two things more. A failure of the session itself is a failed attempt, whatever the
handler answered. And in a batch with a session, rows whose own writes were rolled back because another claim of the
batch was lost are let go, uncounted; and rows whose transaction the database refused may be run again within their
claim, after that run ended. Own writes are there exactly once, in the very transaction of their settle.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import timedelta
from typing import Any
from uuid import UUID

from tests.faults.jobs import SESSION_FORMS, Table
from tests.faults.runs import Attempt, Verdict, check_let_go, check_runs

#: What handlers recorded, by job, token and worker.
Effects = dict[tuple[int, UUID, str], list[Any]]

_USERS_OWN = ("revision", "created_at")
_FAILURES = ("Retry", "Fail")


async def judge(table: Table, *, workers: str = "worker", form: str = "each") -> Verdict:
    """Judge everything that is recorded. Application names that begin with `workers` are workers."""
    verdict = Verdict()
    effects: Effects = defaultdict(list)
    for effect in await table.sql("SELECT * FROM effects ORDER BY started"):
        effects[effect["job_id"], effect["token"], effect["worker"]].append(effect)
    histories: dict[int, list[Any]] = defaultdict(list)
    for entry in await table.sql("SELECT *, xmin::text AS xid FROM journal ORDER BY id"):
        histories[entry["job_id"]].append(entry)
    attempts: list[Attempt] = []
    for job_id, history in histories.items():
        attempts += _Replay(job_id, history, effects, verdict, workers, form).run()
    known = {(attempt.job_id, attempt.token, attempt.worker) for attempt in attempts}
    for job_id, token, worker in effects.keys() - known:
        verdict.violations.append(f"5: job {job_id}: {worker} ran with token {token}, which it never claimed with")
    check_runs(attempts, verdict, may_repeat=form == "batch session")
    check_let_go(attempts, verdict)
    for row in await table.sql("SELECT *, lease_expires_at > now() AS is_live FROM jobs"):
        if row["status"] in ("Processing", "Queued"):
            verdict.violations.append(f"1: job {row['id']} is {row['status']} at the end: {dict(row)}")
        if row["is_live"]:
            verdict.violations.append(f"1: job {row['id']} still has a live claim at the end: {dict(row)}")
    if form in SESSION_FORMS:
        await _check_own_writes(table, attempts, verdict)
    return verdict


class _Replay:
    """The life of one row, change by change."""

    def __init__(
        self,
        job_id: int,
        history: list[Any],
        effects: Effects,
        verdict: Verdict,
        workers: str,
        form: str,
    ) -> None:
        self.job_id = job_id
        self.history = history
        self.effects = effects
        self.verdict = verdict
        self.workers = workers
        self.form = form
        self.attempts: list[Attempt] = []
        self.live: Attempt | None = None
        self.enqueued: Any = None  # the last enqueue that was not taken back and not yet served

    def run(self) -> list[Attempt]:
        for entry in self.history:
            before, after = entry["before"], entry["after"]
            if entry["who"].startswith(self.workers):
                self._worker(entry, before, after)
            else:
                self._user(entry, before, after)
        if self.enqueued is not None:
            self._broken(3, f"the enqueue at {self.enqueued['at']} was never served")
        return self.attempts

    def _user(self, entry: Any, before: Any, after: Any) -> None:
        if entry["op"] == "DELETE":
            self._count("deletes")
            self._close("deleted", entry)
            self.enqueued = None
            return
        if entry["op"] == "UPDATE" and before["status"] == after["status"] and after["status"] != "Queued":
            self._count("edits")
            return
        if after["status"] == "Queued":
            is_new = entry["op"] == "INSERT" or before["status"] != "Queued"
            self._count("enqueues" if is_new else "enqueues again")
            self.enqueued = entry
        else:
            self._count("cancels")
            self.enqueued = None

    def _worker(self, entry: Any, before: Any, after: Any) -> None:
        if entry["op"] != "UPDATE":
            self._broken(2, f"a worker did {entry['op']}")
            return
        changed = {name for name in after.keys() if before[name] != after[name]}  # noqa: SIM118
        if changed & set(_USERS_OWN):
            self._broken(2, f"a worker changed the user's columns {changed & set(_USERS_OWN)}")
        if after["claim_token"] is not None and after["claim_token"] != before["claim_token"]:
            self._claim(entry, before, after)
        elif before["claim_token"] is not None and after["claim_token"] is None:
            if after["rescue_count"] == before["rescue_count"] + 1:
                self._rescue(entry, before, after)
            else:
                self._settle(entry, before, after)
        elif changed <= {"lease_expires_at"}:
            self._count("renewals")
            if before["claim_token"] is None or self._owner(before) != entry["who"]:
                self._broken(2, f"{entry['who']} renewed a lease that is not its own")
        else:
            self._broken(2, f"{entry['who']} changed {changed}, which is no claim, renewal, settle or rescue")

    def _claim(self, entry: Any, before: Any, after: Any) -> None:
        self._count("claims")
        if before["status"] != "Queued" or after["status"] != "Processing":
            self._broken(5, f"claimed from {before['status']} to {after['status']}")
        if before["next_retry_at"] is not None and before["next_retry_at"] > entry["at"]:
            self._broken(4, f"claimed {before['next_retry_at'] - entry['at']} before its retry was due")
        if self.live is not None:
            if before["lease_expires_at"] is None or before["lease_expires_at"] > entry["at"]:
                self._broken(5, f"claimed by {entry['who']} while {self.live.worker} held a live lease")
            self._close("taken over", entry)
        if after["lease_expires_at"] is None or after["lease_expires_at"] <= entry["at"] - timedelta(seconds=1):
            self._broken(5, "claimed without a lease")
        if after["next_retry_at"] is not None:
            self._broken(4, "the claim left next_retry_at")
        fresh = before["next_retry_at"] is None
        for counter in ("retry_count", "rescue_count"):
            expected = 0 if fresh else before[counter]
            if after[counter] != expected:
                self._broken(4, f"{counter} is {after[counter]} after the claim, not {expected}")
        token = after["claim_token"]
        worker = entry["who"]
        effects = self.effects.get((self.job_id, token, worker), [])
        self.live = Attempt(self.job_id, token, worker, entry["at"], effects)
        self.attempts.append(self.live)

    def _settle(self, entry: Any, before: Any, after: Any) -> None:
        attempt = self.live
        if attempt is None or attempt.token != before["claim_token"]:
            self._broken(2, f"{entry['who']} settled a claim that nobody holds")
            return
        if attempt.worker != entry["who"]:
            self._broken(2, f"{entry['who']} settled the claim of {attempt.worker}")
        if after["lease_expires_at"] is not None:
            self._broken(2, "the settle left a lease")
        attempt.settled_in = entry["xid"]
        counted = after["retry_count"] - before["retry_count"]
        if before["status"] != "Processing":
            self._count("settles that kept the user's word")
            kept = ("status", "error", "next_retry_at", "retry_count", "rescue_count")
            if any(before[name] != after[name] for name in kept):
                self._broken(3, f"a settle overwrote the user's word {before['status']} with {after['status']}")
        else:
            self._count(f"settled {after['status']}")
            answer = attempt.answer
            # A failure of the session itself, such as a connection that was cut, is a failed attempt too.
            own_failure = self.form in SESSION_FORMS and counted == 1 and after["error"] not in (None, before["error"])
            untouched = ("error", "retry_count", "rescue_count", "seen_revision")
            attempt.let_go = (
                self.form == "batch session"
                and answer in ("Complete", *_FAILURES)
                and after["status"] == "Queued"
                and all(before[name] == after[name] for name in untouched)
            )
            excused = own_failure or attempt.let_go
            if counted != (answer in _FAILURES) and not excused:
                self._broken(4, f"the handler answered {answer}, and {counted} was counted")
            if answer == "Complete" and after["status"] != "Complete" and not excused:
                self._broken(2, f"the handler answered Complete and the row became {after['status']}")
            attempt.completed = after["status"] == "Complete"
            if after["status"] == "Complete" and answer != "Complete":
                self._broken(2, f"Complete, but the handler answered {answer}")
            if (after["status"] == "Queued") != (after["next_retry_at"] is not None):
                self._broken(4, f"{after['status']} with next_retry_at {after['next_retry_at']}")
            if after["status"] not in ("Complete", "Error", "Queued"):
                self._broken(2, f"settled to {after['status']}")
            if answer is not None and not attempt.let_go:
                self._served(attempt)
        self._close("settled", entry)

    def _rescue(self, entry: Any, before: Any, after: Any) -> None:
        self._count("rescues")
        if before["status"] != "Processing":
            self._broken(3, f"rescued from {before['status']}")
        if before["lease_expires_at"] is None or before["lease_expires_at"] > entry["at"]:
            self._broken(5, "rescued although the lease was alive")
        if after["retry_count"] != before["retry_count"]:
            self._broken(4, "the rescue counted an attempt")
        if after["status"] == "Queued" and after["next_retry_at"] is None:
            self._broken(4, "rescued as a fresh request")
        if after["status"] == "Error":
            self._count("poison rows")
            self.enqueued = None
        self._close("rescued", entry)

    def _served(self, attempt: Attempt) -> None:
        """The open enqueue, if it came before this attempt, was served by it."""
        if self.enqueued is None:
            return
        if self.enqueued["at"] < attempt.claimed and any(
            effect["started"] > self.enqueued["at"] and effect["revision"] >= self.enqueued["after"]["revision"]
            for effect in attempt.effects[-1:]
        ):
            self.enqueued = None

    def _owner(self, row: Any) -> str | None:
        return self.live.worker if self.live is not None and self.live.token == row["claim_token"] else None

    def _close(self, end: str, entry: Any) -> None:
        if self.live is not None:
            self.live.end, self.live.ended = end, entry["at"]
            self.live = None

    def _count(self, what: str) -> None:
        self.verdict.counts[what] += 1

    def _broken(self, number: int, words: str) -> None:
        self.verdict.violations.append(f"{number}: job {self.job_id}: {words}")


async def _check_own_writes(table: Table, attempts: list[Attempt], verdict: Verdict) -> None:
    """The forms with a session: a handler's own writes are there exactly when its settle is."""
    rows = await table.sql("SELECT job_id, token, xmin::text AS xid FROM own_writes")
    written = Counter((row["job_id"], row["token"]) for row in rows)
    by_claim = {(attempt.job_id, attempt.token): attempt for attempt in attempts}
    for claim, count in written.items():
        attempt = by_claim.get(claim)
        if count > 1:
            verdict.violations.append(f"5: job {claim[0]}: own writes committed {count} times")
        if attempt is None or attempt.end != "settled":
            end = attempt.end if attempt else "unknown"
            verdict.violations.append(f"5: job {claim[0]}: own writes committed, but its claim was {end}")
    for row in rows:
        attempt = by_claim.get((row["job_id"], row["token"]))
        if attempt is not None and attempt.end == "settled" and attempt.settled_in != row["xid"]:
            verdict.violations.append(f"5: job {row['job_id']}: own writes committed apart from the settle")
    for claim, attempt in by_claim.items():
        if attempt.completed and claim not in written:
            verdict.violations.append(f"5: job {claim[0]}: settled Complete without its own writes")
