"""A worker inside the test's own process: whoever works on after another worker was lost."""

from __future__ import annotations

from typing import Any

from sqlalchemy.ext.asyncio import async_sessionmaker

from crm_sync.database import create_engine
from jobloop import CycleReport, JobLoop
from tests.faults.jobs import Table, make_queue
from tests.faults.worker import Handlers, Orders


async def drain(jobs: Table, form: str = "each", **changes: Any) -> CycleReport:
    """Rescue, then work until nothing is due, as `worker heir`; every answer is Complete."""
    orders = Orders(name="worker heir", url=jobs.url, oracle_url=jobs.url, form=form)
    engine = create_engine(jobs.url, application_name=orders.name)
    handlers = Handlers(orders)
    loop = JobLoop(
        make_queue(**changes), handlers.in_form(form), session_factory=async_sessionmaker(engine), concurrency=1
    )
    try:
        return await loop.drain()
    finally:
        await handlers.close()
        await engine.dispose()
