"""Event-loop lag: how long something kept the loop from running anything else, lease renewals included."""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import timedelta

from jobloop.report import CycleReport

log = logging.getLogger("jobloop")

_EVERY_SECONDS = 1.0


async def watch_lag(report: CycleReport, lease: timedelta) -> None:
    """Keep `report.max_lag_seconds`, and warn when a renewal may come too late; for ever, cancel to stop."""
    too_long_seconds = lease.total_seconds() / 3
    while True:
        before = time.monotonic()
        await asyncio.sleep(_EVERY_SECONDS)
        lag_seconds = time.monotonic() - before - _EVERY_SECONDS
        report.max_lag_seconds = max(report.max_lag_seconds, lag_seconds)
        if lag_seconds > too_long_seconds:
            log.warning(
                "%s: the event loop was blocked for %.1f s, leases last %s: run blocking handlers with threaded(fn)",
                report.queue,
                lag_seconds,
                lease,
            )
