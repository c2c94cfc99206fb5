"""Runs: the table `sync_runs` as the queue "pulls". A row is a wish; working it off is a pull.

    INSERT INTO sync_runs (stream) VALUES ('contacts') → a worker claims it → PullService.run → Complete, and the report

A run that a command asked for is the command's own until `reserved_until`. A run that is cut off goes back to the queue
uncounted, and whoever takes it next goes on where the stream's cursor stands.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from crm_sync.errors import PullError, StreamBusyError
from crm_sync.hubspot.errors import DailyLimit, HubSpotError
from crm_sync.models import SyncRun, SyncRunStatus, queue_pauses
from crm_sync.pull.report import Observer, StreamReport, ignore
from crm_sync.pull.runs.live_report import LiveReport
from crm_sync.pull.runs.outcome import next_midnight, outcome_of
from crm_sync.pull.service import PullService
from crm_sync.pull.wish import BATCH_SIZE, Wants, Wish
from jobloop import Complete, Fail, JobQueue, Outcome, RetryPolicy, Snooze, Statuses

logger = logging.getLogger(__name__)

PULLS: Final = "pulls"

#: A run is long and its worker is heard of all the time, so a lost one is noticed soon.
_LEASE: Final = timedelta(minutes=1)

#: Of a row, what its handler needs: the wish, and the token, by which it writes its report while the row is its own.
_COLUMNS: Final = ("id", "stream", "wants", "since", "batch_size", "catch_up", "targets", "claim_token")

#: The now() of an INSERT is the database's.
_CLOCKS_DIFFER: Final = timedelta(minutes=1)


def pulls_queue(*filters: sa.ColumnElement[bool]) -> JobQueue:
    """The queue; `filters` narrow what is claimed."""
    return JobQueue(
        SyncRun,
        Statuses(
            queued=SyncRunStatus.Queued,
            processing=SyncRunStatus.Processing,
            complete=SyncRunStatus.Complete,
            error=SyncRunStatus.Error,
        ),
        order_by=[sa.asc(SyncRun.created_at), sa.asc(SyncRun.id)],
        filters=filters,
        retry=RetryPolicy(max_retries=5, base_delay=timedelta(minutes=1), max_delay=timedelta(minutes=30), jitter=0.1),
        lease=_LEASE,
        max_rescues=10,  # of a pull that takes hours: it goes on each time
        name=PULLS,
        pauses=queue_pauses,
        columns=_COLUMNS,
    )


def is_free() -> sa.ColumnElement[bool]:
    """Runs that any worker may take."""
    return sa.or_(SyncRun.reserved_until.is_(None), SyncRun.reserved_until < sa.func.statement_timestamp())


def wish_of(row: Any) -> Wish:
    """What a row of `sync_runs` asks for. Raises PullError."""
    if row.wants not in tuple(Wants):
        raise PullError(f"A run wants one of {', '.join(Wants)}, not {row.wants!r}.")
    if row.since is not None and row.since > datetime.now(UTC) + _CLOCKS_DIFFER:
        raise PullError(f"'{row.since.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC' is yet to come.")
    return Wish(
        wants=Wants(row.wants),
        since=row.since,
        batch_size=BATCH_SIZE if row.batch_size is None else row.batch_size,
        catch_up=row.catch_up,
        targets=None if row.targets is None else tuple(row.targets),
    )


class Runs:
    """The handler of the queue: one row, one pull. `observe` is shown the reports beside the table.

    worked   rows that were taken up
    failure  what the last one ended with; None when it went well
    """

    def __init__(self, service: PullService, engine: AsyncEngine, observe: Observer = ignore) -> None:
        self._service = service
        self._engine = engine
        self._observe = observe
        self.worked = 0
        self.failure: Exception | None = None

    async def work(self, row: Any) -> Outcome:
        """Never raises but for a cancellation: then the row goes back to the queue."""
        self.worked, self.failure = self.worked + 1, None
        async with LiveReport(self._engine, row.id, row.claim_token, StreamReport(row.stream)) as live:

            def show(report: StreamReport) -> None:
                live.show(report)
                self._observe(report)

            try:
                live.report = await self._service.run(row.stream, wish_of(row), show)
            except Exception as exc:
                self.failure = exc
                outcome = outcome_of(exc, resets_at=await self._reset_after(exc, row.stream))
                live.failed(exc)
                self._observe(live.report)
                _log_failure(live.report, row.id, exc, outcome)
                return outcome
            _log_end(live.report, row.id)
            return Complete(values={"report": live.as_json(), "finished_at": live.now})

    async def _reset_after(self, exc: Exception, stream: str) -> datetime:
        """When HubSpot takes calls again; the account's midnight is not known here, so without its word it is UTC's."""
        now = datetime.now(UTC)
        if isinstance(exc, DailyLimit):
            try:
                resets_at = await self._service.resets_at(stream)
            except HubSpotError:
                resets_at = None
            if resets_at is not None and resets_at > now:
                return resets_at
        return next_midnight(now)


def _log_end(report: StreamReport, run_id: int) -> None:
    counts = (report.inserted, report.updated, report.unchanged, report.removed, report.associations)
    logger.info(
        "pulled %s (%s, run %d): %d new, %d changed, %d same, %d removed, %d associations; %d calls, %.1f s",
        *(report.stream, report.wants, run_id, *counts, report.calls, report.seconds),
    )


def _log_failure(report: StreamReport, run_id: int, exc: Exception, outcome: Outcome) -> None:
    """One that finds its stream taken looks again every few seconds: that is no news."""
    level = logging.DEBUG if isinstance(exc, StreamBusyError) else logging.WARNING
    then = (
        "for good" if isinstance(outcome, Fail) else "it waits" if isinstance(outcome, Snooze) else "it is tried again"
    )
    logger.log(
        level,
        "the pull of %s (%s, run %d) failed, %s: %s",
        *(report.stream, report.wants, run_id, then, report.error),
        exc_info=exc if logger.isEnabledFor(logging.DEBUG) else None,
    )
