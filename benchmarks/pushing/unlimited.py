"""As fast as the application can: `crm-sync serve` against an account without limits."""

from __future__ import annotations

import asyncio
import subprocess
import time
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncEngine

from pushing import stage

_PATIENCE_SECONDS = 180


@dataclass
class Unlimited:
    """`first_call_after_ready_seconds` is below 0 when contacts were claimed before the first request was answered."""

    contacts: int
    statuses: dict[str, int]
    batch_calls: int
    other_calls: int
    seconds: float
    contacts_per_second: float
    peak_memory_mb: float
    start_to_ready_seconds: float
    first_call_after_ready_seconds: float
    machine: str

    @property
    def is_right(self) -> bool:
        return self.statuses == {"Complete": self.contacts}


async def measure(contacts: int) -> Unlimited:
    async with stage.postgres_with(contacts) as (database_url, engine):
        with stage.HubSpot.at("unlimited") as hubspot:
            await hubspot.set_up()
            started_at = time.time()
            with stage.application(
                "serve --port 0", database_url, hubspot, HUBSPOT_REQUESTS_PER_10_SECONDS="10000"
            ) as process:
                ready_at = await asyncio.to_thread(_ready_at, process)
                seconds = await _until_settled(engine, started_at)
                peak_mb = stage.peak_mb(process.pid)
            calls, statuses = hubspot.calls(), await stage.statuses(engine)
    batches = [call for call in calls if call["route"] == "objects.batch_upsert"]
    first_call_at = stage.time_of(batches[0])
    busy_seconds = seconds - (first_call_at - started_at)
    return Unlimited(
        contacts=contacts,
        statuses=dict(statuses),
        batch_calls=len(batches),
        other_calls=len(calls) - len(batches),
        seconds=round(busy_seconds, 2),
        contacts_per_second=round(contacts / busy_seconds, 1),
        peak_memory_mb=round(peak_mb, 1),
        start_to_ready_seconds=round(ready_at - started_at, 2),
        first_call_after_ready_seconds=round(first_call_at - ready_at, 3),
        machine=stage.machine(),
    )


def _ready_at(application: subprocess.Popen[str]) -> float:
    assert application.stderr is not None
    for line in application.stderr:
        if "ready: http" in line:
            return time.time()
    raise RuntimeError(f"the application ended with {application.wait()}")


async def _until_settled(engine: AsyncEngine, since: float) -> float:
    while not await stage.is_settled(engine):
        if time.time() - since > _PATIENCE_SECONDS:
            raise TimeoutError(f"not done within {_PATIENCE_SECONDS} s: {dict(await stage.statuses(engine))}")
        await asyncio.sleep(0.1)
    return time.time() - since
