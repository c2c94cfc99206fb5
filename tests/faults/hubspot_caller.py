"""A process that calls HubSpot as fast as the shared limits allow, and prints how its calls were answered.

And which of them were late: a grant allows for a way to HubSpot of so many milliseconds, and a machine with other
things to do may take longer. They are printed as [asked, answered], in seconds of the wall clock; the grant lies after
the one, the arrival before the other.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from typing import Any

from crm_sync import rate_budgets
from crm_sync.database import create_engine
from crm_sync.hubspot import DEFAULT_BUDGETS, Bucket, Budget, HubSpotClient, LocalRateLimiter, SharedRateLimiter
from crm_sync.hubspot.ratelimit import Reading, Slot
from crm_sync.rate_budgets import RateBudgets


class WatchedRateLimiter(SharedRateLimiter):
    """Keeps the calls that were longer under way, from the question for a place to the answer, than a grant allows."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.late: list[tuple[float, float]] = []
        self._asked_at: dict[int, float] = {}

    async def acquire(self, bucket: Bucket) -> Slot:
        slot = await super().acquire(bucket)
        self._asked_at[id(slot)] = self._desks[bucket].asked_at
        return slot

    async def answered(self, bucket: Bucket, slot: Slot, reading: Reading) -> None:
        seconds = self._clock() - self._asked_at.pop(id(slot))
        if seconds > (0.15 if bucket is Bucket.SEARCH else 0.25):
            now = time.time()
            self.late.append((now - seconds, now))
        await super().answered(bucket, slot, reading)


async def call(options: argparse.Namespace) -> dict[str, Any]:
    rate_budgets._TIMEOUT_SECONDS = 60.0  # a database that only is slow is not away
    engine = create_engine(options.database)
    budgets = {**DEFAULT_BUDGETS, Bucket.BURST: Budget(options.calls, options.window_seconds)}
    limiter = WatchedRateLimiter(RateBudgets(engine, options.token, budgets), LocalRateLimiter(budgets))
    until = time.monotonic() + options.seconds
    async with HubSpotClient(options.hubspot, options.token, rate_limiter=limiter) as hubspot:

        async def keep_calling() -> None:
            while time.monotonic() < until:
                await hubspot.list_property_groups("contacts")

        searching = [hubspot.search("contacts") for _ in range(options.searches)]
        await asyncio.gather(*(keep_calling() for _ in range(options.concurrency)), *searching)
        by_status = dict(hubspot.counts.by_status)
    await engine.dispose()
    return {"by_status": by_status, "late": limiter.late}


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    for name, kind in {
        "--hubspot": str,
        "--database": str,
        "--token": str,
        "--calls": int,
        "--window-seconds": float,
        "--seconds": float,
        "--concurrency": int,
        "--searches": int,
    }.items():
        parser.add_argument(name, type=kind, required=True)
    print(json.dumps(asyncio.run(call(parser.parse_args()))))
