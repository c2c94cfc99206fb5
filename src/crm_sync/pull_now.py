"""Pull streams now, by hand, without ever running beside a worker on the same one.

Each stream's pull is a row of `sync_runs` that a loop claims which sees no other row. So a worker that has the stream
keeps it and is waited for, a worker that was quicker with the row is followed, and a crash here leaves a run that the
next worker takes up. A dry run is no run: it leaves no row.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from crm_sync.database import database_errors
from crm_sync.errors import QueuePausedError, StreamBusyError
from crm_sync.hubspot.errors import HubSpotError, Unauthorized, Unreachable
from crm_sync.models import SyncRunStatus
from crm_sync.pull.cursor_rows import CursorRows
from crm_sync.pull.report import Observer, StreamReport
from crm_sync.pull.runs.outcome import sentence
from crm_sync.pull.runs.rows import RESERVED, RunRow
from crm_sync.pull.runs.runs import Runs, pulls_queue
from crm_sync.pull.wish import Wish
from crm_sync.runtime import Runtime
from jobloop import Control

logger = logging.getLogger(__name__)

_POLL_SECONDS = 0.5


class State(StrEnum):
    DONE = "done"
    FAILED = "failed"
    WAITING = "waiting"  # did not end well, and a worker tries again later
    SKIPPED = "skipped"  # the account has no such object
    STOPPED = "stopped"  # by Ctrl-C; the next pull goes on from there


@dataclass(frozen=True, slots=True)
class Pulled:
    """What became of one stream. `run_id` None: a dry run, or none was begun. `goes_on_at` is for WAITING."""

    stream: str
    state: State
    report: StreamReport
    error: str | None = None
    goes_on_at: datetime | None = None
    run_id: int | None = None


class PullNow:
    """One invocation: several streams side by side, as many as HUBSPOT_PULL_CONCURRENCY allows.

    `say` is told in words what is waited for. When HubSpot refuses the general token, streams that would use it and
    have not begun are not begun. When it cannot be reached from the first, they are not tried either: their runs are
    left in the queue, beside those of the streams that were.
    """

    def __init__(self, runtime: Runtime, observe: Observer, say: Callable[[str], None] = lambda _words: None) -> None:
        self._say = say
        self._refusal: str | None = None  # what HubSpot said of the general token
        self._silence: str | None = None  # why no answer ever came
        self._runtime = runtime
        self._observe = observe
        self._rows = runtime.pulls.rows
        self._cursors = CursorRows(runtime.engine)
        self._gate = asyncio.Semaphore(runtime.settings.HUBSPOT_PULL_CONCURRENCY)
        self._reports: dict[str, StreamReport] = {}
        self._ours: dict[str, int] = {}  # runs that this process works on now, and nobody else

    async def absent(self, streams: Sequence[str]) -> Mapping[str, str]:
        """Those streams that are not to be pulled, as the account lacks them or nobody knows → why."""
        try:
            return await self._runtime.pull.absent(*streams)
        except Unreachable as exc:  # a run of one that is not there would wait only to fail
            self._learn(exc)
            why = "not pulled this time, as nobody knows whether the account has it."
            return dict.fromkeys((name for name in self._runtime.pull.custom_names if name in streams), why)
        except HubSpotError:  # then each stream says what is the matter
            return {}

    async def pull(self, wishes: Mapping[str, Wish]) -> list[Pulled]:
        """Every stream's end, in the given order. A cancellation stops all of them, and is answered like an end.

        Raises QueuePausedError, DatabaseError.
        """
        if not wishes:
            return []
        if not all(wish.dry_run for wish in wishes.values()):
            await self._refuse_pause()
            await self._forget()
        tasks = {stream: asyncio.create_task(self._one(stream, wish), name=stream) for stream, wish in wishes.items()}
        try:
            await asyncio.wait(tasks.values(), return_when=asyncio.FIRST_EXCEPTION)
        except asyncio.CancelledError:
            await self._stop(tasks.values())
        else:
            if failed := [task for task in tasks.values() if task.done() and task.exception()]:
                await self._stop(tasks.values())
                failed[0].result()
        return [
            self._pulled(stream, State.STOPPED) if task.cancelled() else task.result() for stream, task in tasks.items()
        ]

    async def _forget(self) -> None:
        """Where pulls are only asked for by hand, nobody else deletes old runs."""
        async with database_errors(self._runtime.url):
            await self._rows.forget(timedelta(days=self._runtime.settings.HUBSPOT_PULL_RUNS_DAYS))

    async def _stop(self, tasks: Iterable[asyncio.Task[Pulled]]) -> None:
        """End our runs cleanly: they are cancelled, not left to a worker that would go on at once."""
        running = [task for task in tasks if not task.done()]
        for run_id in self._ours.values():
            await self._rows.cancel(run_id)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _one(self, stream: str, wish: Wish) -> Pulled:
        async with self._gate:
            settings = self._runtime.settings
            if self._refusal is not None and settings.api_key(stream) == settings.HUBSPOT_API_KEY:
                return self._pulled(stream, State.FAILED, self._refusal)
            if wish.dry_run:
                return await self._dry(stream, wish)
            async with database_errors(self._runtime.url):
                run_id = await self._rows.reserve(stream, wish)
                if self._silence is not None:
                    return self._pulled(
                        stream, State.WAITING, self._silence, datetime.now(UTC) + RESERVED, run_id=run_id
                    )
                pulled = None
                while pulled is None:
                    pulled = await self._attempt(stream, run_id)
                self._ours.pop(stream, None)
                return pulled

    async def _dry(self, stream: str, wish: Wish) -> Pulled:
        if self._silence is not None:
            return self._pulled(stream, State.FAILED, self._silence)
        try:
            await self._runtime.pull.run(stream, wish, self._show)
        except Exception as exc:
            logger.debug("the dry run of %s failed", stream, exc_info=exc)
            self._learn(exc)
            return self._pulled(stream, State.FAILED, self._refused(exc) or sentence(exc))
        return self._pulled(stream, State.DONE)

    async def _attempt(self, stream: str, run_id: int) -> Pulled | None:
        """Work on the run, or look how another process does; None: it has not come to its end."""
        runs = Runs(self._runtime.pull, self._runtime.engine, self._show)
        self._ours[stream] = run_id
        await self._runtime.pulls.loop(only=run_id, runs=runs).run_once()
        self._learn(runs.failure)
        row = await self._rows.read(run_id)
        if row is None:
            return self._pulled(stream, State.FAILED, error="Somebody deleted the run.")
        if not runs.worked and row.report:
            self._show(StreamReport.of(row.report))
        if row.is_over:
            return self._ended(row, self._refused(runs.failure))
        if row.next_retry_at is not None and row.next_retry_at > datetime.now(UTC):
            if not isinstance(runs.failure, StreamBusyError):
                return self._ended(row)
            await self._wait_for(stream, runs.failure.until)
            await self._rows.hurry(run_id)
            return None
        if row.status is SyncRunStatus.Processing:
            self._ours.pop(stream, None)  # a running application was quicker, and goes on without us
        else:
            await self._refuse_pause()
        await asyncio.sleep(_POLL_SECONDS)
        return None

    def _refused(self, exc: Exception | None) -> str | None:
        """The sentence, the first one for all streams, if it is the general token that HubSpot refused."""
        if isinstance(exc, Unauthorized) and self._runtime.settings.HUBSPOT_API_KEY is not None:
            self._refusal = self._refusal or sentence(exc)
            return self._refusal
        return None

    def _learn(self, exc: Exception | None) -> None:
        """Whether HubSpot is out of reach for all streams: this one's calls, repeated ones too, were the first."""
        if isinstance(exc, Unreachable) and not self._runtime.clients.counts.answered:
            self._silence = sentence(exc)

    async def _wait_for(self, stream: str, until: datetime | None) -> None:
        """Until nobody has the stream; meanwhile its run is shown. `until` is when it loses it if it is dead."""
        silent = f" If nothing more is heard of it, that is at {until.astimezone(UTC):%H:%M:%S} UTC." if until else ""
        self._say(f"Another run has {stream}; waiting for its end.{silent}")
        while await self._cursors.is_held(stream):
            other = await self._rows.under_way(stream)
            if other is not None and other.report:
                self._observe(StreamReport.of({"stream": stream, **other.report}))
            await asyncio.sleep(_POLL_SECONDS)

    def _ended(self, row: RunRow, refusal: str | None = None) -> Pulled:
        report = StreamReport.of({"stream": row.stream, **row.report})
        self._reports[row.stream] = report
        if row.status is SyncRunStatus.Complete:
            return self._pulled(row.stream, State.DONE, run_id=row.id)
        if row.status is SyncRunStatus.Queued:
            error = row.error or report.error
            return self._pulled(row.stream, State.WAITING, error, row.next_retry_at, run_id=row.id)
        error = row.error if row.status is SyncRunStatus.Error else "Somebody cancelled the run."
        return self._pulled(row.stream, State.FAILED, refusal or error, run_id=row.id)

    def _pulled(
        self,
        stream: str,
        state: State,
        error: str | None = None,
        goes_on_at: datetime | None = None,
        *,
        run_id: int | None = None,
    ) -> Pulled:
        report = self._reports.get(stream) or StreamReport(stream)
        return Pulled(stream, state, report, error, goes_on_at, run_id or self._ours.get(stream))

    def _show(self, report: StreamReport) -> None:
        self._reports[report.stream] = report
        self._observe(report)

    async def _refuse_pause(self) -> None:
        async with database_errors(self._runtime.url):
            pause = await Control(pulls_queue(), self._runtime.engine).paused()
        if pause is not None:
            raise QueuePausedError(
                f"The queue of pulls is paused since {pause.paused_at:%Y-%m-%d %H:%M %Z} ({pause.paused_by}): "
                f"{pause.reason} `crm-sync queue resume pulls` lets it run again."
            )
