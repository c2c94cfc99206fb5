"""A push of contacts through the real queue, database and client to an emulator that fails on request."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text

from crm_sync.database import parse_database_url
from crm_sync.hubspot import DEFAULT_BUDGETS, HubSpotClient, LocalRateLimiter, RetryRules, SharedRateLimiter, Timeouts
from crm_sync.push import ContactPushService, setup_properties
from crm_sync.rate_budgets import RateBudgets
from crm_sync.runtime import Runtime
from hubspot_emulator import EmulatorServer
from jobloop import Control, CycleReport, JobLoop, JobQueue, batch
from jobloop.pause import PauseState
from jobloop.testing import let_time_pass
from tests.application import make_settings

#: How long a call waits for its answer. `slow` answers come later than that.
ANSWER_SECONDS = 2.0


@dataclass
class Push:
    """The contacts table, the queue over it and the account behind it."""

    runtime: Runtime
    queue: JobQueue
    loop: JobLoop
    hubspot: EmulatorServer

    async def sql(self, statement: str, **binds: Any) -> list[Any]:
        async with self.runtime.engine.begin() as connection:
            result = await connection.execute(text(statement), binds)
            return list(result.all()) if result.returns_rows else []

    async def enqueue(self, where: str = "true") -> None:
        await self.sql(f"UPDATE contacts SET hubspot_processing_status = 'Queued', next_retry_at = NULL WHERE {where}")

    async def drain(self) -> CycleReport:
        return await self.loop.drain()

    async def paused(self) -> PauseState | None:
        return await Control(self.queue, self.runtime.engine).paused()

    async def let_time_pass(self) -> None:
        """Retries are due, and so are probes of a paused queue."""
        await let_time_pass(self.queue, self.runtime.sessions)
        await self.sql("UPDATE jobloop_pauses SET until = now(), probing_until = NULL")

    async def until_settled(self, most_rounds: int = 60) -> int:
        """Drain, and let time pass, until no row is in the queue; returns the rounds that it took."""
        for count in range(1, most_rounds + 1):
            await self.drain()
            if not {"Queued", "Processing"} & (await self.statuses()).keys():
                return count
            await self.let_time_pass()
        raise AssertionError(f"not settled after {most_rounds} rounds: {await self.statuses()}")

    async def statuses(self) -> Counter[str]:
        rows = await self.sql("SELECT hubspot_processing_status::text, count(*) FROM contacts GROUP BY 1")
        return Counter({row[0]: row[1] for row in rows})

    def held(self) -> dict[str, dict[str, Any]]:
        """HubSpot's contacts by e-mail; fails when two have the same."""
        records = self.hubspot.records("contacts")
        by_email = {record["email"]: record for record in records}
        assert len(by_email) == len(records), "a contact is in HubSpot twice"
        return by_email


@asynccontextmanager
async def push_to(
    hubspot: EmulatorServer, url: str, *, concurrency: int = 1, max_retries: int = 3
) -> AsyncIterator[Push]:
    """Repeats within a call do not wait; everything else is as in production."""
    settings = make_settings(url, hubspot, HUBSPOT_SYNC_MAX_RETRIES=max_retries)
    runtime = Runtime(settings, parse_database_url(url))
    limiter = SharedRateLimiter(
        RateBudgets(runtime.engine, hubspot.token, DEFAULT_BUDGETS), LocalRateLimiter(DEFAULT_BUDGETS)
    )
    timeouts = Timeouts(answer_seconds=ANSWER_SECONDS, total_seconds=2 * ANSWER_SECONDS)
    async with HubSpotClient(
        hubspot.url, hubspot.token, rate_limiter=limiter, retries=RetryRules(scale=0), timeouts=timeouts
    ) as client:
        await setup_properties(client, runtime.property_names)
        service = ContactPushService(client, runtime.property_names)

        async def push(rows: list[Any]) -> Any:
            return await service.process_batch(rows)

        queue = runtime.contact_queue()
        loop = JobLoop(queue, batch(push), session_factory=runtime.sessions, concurrency=concurrency)
        try:
            yield Push(runtime, queue, loop, hubspot)
        finally:
            await runtime.aclose()
