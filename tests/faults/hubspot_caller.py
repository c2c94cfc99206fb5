"""A process that calls HubSpot as fast as the shared limits allow, and prints how its calls were answered."""

from __future__ import annotations

import argparse
import asyncio
import json
import time

from crm_sync.database import create_engine
from crm_sync.hubspot import DEFAULT_BUDGETS, Bucket, Budget, HubSpotClient, LocalRateLimiter, SharedRateLimiter
from crm_sync.rate_budgets import RateBudgets


async def call(options: argparse.Namespace) -> dict[str, int]:
    engine = create_engine(options.database)
    budgets = {**DEFAULT_BUDGETS, Bucket.BURST: Budget(options.calls, options.window_seconds)}
    limiter = SharedRateLimiter(RateBudgets(engine, options.token, budgets), LocalRateLimiter(budgets))
    until = time.monotonic() + options.seconds
    async with HubSpotClient(options.hubspot, options.token, rate_limiter=limiter) as hubspot:

        async def keep_calling() -> None:
            while time.monotonic() < until:
                await hubspot.list_property_groups("contacts")

        searching = [hubspot.search("contacts") for _ in range(options.searches)]
        await asyncio.gather(*(keep_calling() for _ in range(options.concurrency)), *searching)
        by_status = dict(hubspot.counts.by_status)
    await engine.dispose()
    return by_status


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
