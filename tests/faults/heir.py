"""A worker inside the test's own process: whoever works on after another worker was lost."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker

from crm_sync.database import create_engine
from jobloop import CycleReport, JobLoop
from jobloop.store import Store
from tests.faults.jobs import Table, make_queue
from tests.faults.worker import Handlers, Orders

NAME = "worker heir"


async def drain(jobs: Table, form: str = "each", **changes: Any) -> CycleReport:
    """Rescue, then work until nothing is due; every answer is Complete."""
    handlers = Handlers(Orders(name=NAME, url=jobs.url, oracle_url=jobs.url, form=form))
    async with _engine(jobs) as engine:
        loop = JobLoop(
            make_queue(**changes), handlers.in_form(form), session_factory=async_sessionmaker(engine), concurrency=1
        )
        try:
            return await loop.drain()
        finally:
            await handlers.close()


async def rescue(jobs: Table) -> None:
    """Rescue only: what it puts back is left to whoever claims it."""
    async with _engine(jobs) as engine:
        await Store(make_queue(), engine).rescue()


async def claim(jobs: Table) -> list[int]:
    """Claim only; returns whose rows it took."""
    async with _engine(jobs) as engine:
        return [claim.key for claim in await Store(make_queue(), engine).claim(100)]


@asynccontextmanager
async def _engine(jobs: Table) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(jobs.url, application_name=NAME)
    try:
        yield engine
    finally:
        await engine.dispose()
