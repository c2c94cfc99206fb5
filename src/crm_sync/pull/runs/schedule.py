"""PullSchedule: every so often, a run for each stream that has none waiting or under way; and the loop that works them.
Old runs are deleted by the way.

A pull may take hours, so the queue of pulls is not worked in cycles: one loop stands from start to stop, and a run that
comes while others are long under way is taken at once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from crm_sync.hubspot.errors import HubSpotError
from crm_sync.pull.runs.rows import RunRows
from crm_sync.pull.service import PullService
from jobloop import CycleReport, JobLoop
from jobloop.scheduler import IntervalScheduler, ScheduledLoop

logger = logging.getLogger(__name__)

#: How often it is seen to that the loop still stands.
_LOOK_SECONDS: Final = 60


class PullSchedule:
    """`names` are those of streams and groups, or "all". Runs that are over are kept for so long. Raises
    UnknownStreamError.
    """

    def __init__(
        self, service: PullService, rows: RunRows, names: Sequence[str], wake: asyncio.Event, kept: timedelta
    ) -> None:
        self._service = service
        self._rows = rows
        self._streams = service.expand(*names)
        self._spares_absent = "all" in names
        self._wake = wake
        self._kept = kept

    async def enqueue(self) -> CycleReport:
        """One cycle. Of "all", custom objects that the account lacks are left out."""
        streams = self._streams
        if self._spares_absent:
            try:
                absent = await self._service.absent(*streams)
            except HubSpotError as exc:
                logger.warning("custom objects are not pulled this time: %s", exc.summary)
                absent = dict.fromkeys(self._service.custom_names, "")
            streams = tuple(name for name in streams if name not in absent)
        queued = await self._rows.enqueue(streams)
        logger.info("queued pulls of %s", ", ".join(queued) or "nothing: each stream's last one is not over")
        self._wake.set()
        if forgotten := await self._rows.forget(self._kept):
            logger.info("deleted %d old runs", forgotten)
        return CycleReport("scheduled pulls")


class StandingLoop(ScheduledLoop):
    """A loop that runs from the start of the scheduler to `stop`; one that failed is started again."""

    def __init__(self, loop: JobLoop) -> None:
        self._told = asyncio.Event()
        super().__init__(loop.queue.name, lambda: loop.run(self._told))

    def register(self, scheduler: IntervalScheduler) -> None:
        scheduler.add_job(
            self.run,
            "interval",
            seconds=_LOOK_SECONDS,
            id=self.name,
            name=self.name,
            max_instances=2,  # the one that runs, and the look at it
            coalesce=True,
            next_run_time=datetime.now(UTC),
            replace_existing=True,
        )

    async def run(self) -> None:
        if not self._running:
            await super().run()

    async def stop(self, grace_seconds: float = 30.0) -> None:
        self._told.set()
        await super().stop(grace_seconds)
