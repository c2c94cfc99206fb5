"""As fast as HubSpot's smallest account allows: `crm-sync worker` against 100 calls in any 10 seconds."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

import psutil
from sqlalchemy.ext.asyncio import AsyncEngine

from pushing import stage

CALLS, WINDOW_SECONDS, BATCH = 100, 10.0, 100
_LOOK_SECONDS = 0.5
#: A machine that is not fast enough may need this much longer than HubSpot's limit asks for.
_PATIENCE = 3.0


@dataclass
class Limited:
    """The rates are of the time after the first window, whose calls nobody has to wait for.

    calls_allowed           of the free tier, in the time from the hundredth call to the last
    calls_made              in that time, those that were refused left out
    worker_share_of_a_core  from the first call to the last
    """

    contacts: int
    answer_seconds: float
    concurrency: int
    statuses: dict[str, int]
    calls: int
    calls_refused: int
    calls_allowed: float
    calls_made: int
    share_of_allowed: float
    contacts_per_second: float
    worker_share_of_a_core: float
    peak_memory_mb: float
    machine: str

    @property
    def is_right(self) -> bool:
        return self.statuses == {"Complete": self.contacts}


async def measure(contacts: int, *, answer_seconds: float = 0.0, concurrency: int = 1) -> Limited:
    """`contacts` must fill three windows, 30,000 contacts, to say anything.

    answer_seconds  how long HubSpot takes for a batch; the emulator alone takes some 10 ms
    concurrency     calls at once: HUBSPOT_SYNC_CONCURRENCY
    """
    if contacts < 3 * CALLS * BATCH:
        raise ValueError(f"too few contacts: {contacts:,}; at least {3 * CALLS * BATCH:,}")
    async with stage.postgres_with(contacts) as (database_url, engine):
        with stage.HubSpot.at("free") as hubspot:
            await hubspot.set_up()
            if answer_seconds:
                hubspot.answer_in(answer_seconds)
            await asyncio.sleep(WINDOW_SECONDS)  # what setting up took of the limit is free again
            settings = {"HUBSPOT_SYNC_CONCURRENCY": str(concurrency)}
            with stage.application("worker", database_url, hubspot, **settings) as process:
                worker = psutil.Process(process.pid)
                used = await _watch(worker, engine, contacts)
                peak_mb = stage.peak_mb(process.pid)
            calls, statuses = hubspot.calls(), await stage.statuses(engine)
    taken = [stage.time_of(call) for call in calls if call["status"] != 429]
    allowed, made = _after_the_first_window(taken)
    return Limited(
        contacts=contacts,
        answer_seconds=answer_seconds,
        concurrency=concurrency,
        statuses=dict(statuses),
        calls=len(calls),
        calls_refused=len(calls) - len(taken),
        calls_allowed=round(allowed, 1),
        calls_made=made,
        share_of_allowed=round(made / allowed, 3),
        contacts_per_second=round(made / allowed * CALLS * BATCH / WINDOW_SECONDS, 1),
        worker_share_of_a_core=round(_share(used, taken[0], taken[-1]), 3),
        peak_memory_mb=round(peak_mb, 1),
        machine=stage.machine(),
    )


async def _watch(worker: psutil.Process, engine: AsyncEngine, contacts: int) -> list[tuple[float, float]]:
    """Until everything is settled: (seconds since 1970, processor seconds that the worker used) now and then."""
    give_up_at = time.time() + _PATIENCE * contacts / BATCH / CALLS * WINDOW_SECONDS
    used = []
    while True:
        times = worker.cpu_times()
        used.append((time.time(), times.user + times.system))
        if await stage.is_settled(engine):
            return used
        if time.time() > give_up_at:
            raise TimeoutError(f"still not done: {dict(await stage.statuses(engine))}")
        await asyncio.sleep(_LOOK_SECONDS)


def _share(used: list[tuple[float, float]], first: float, last: float) -> float:
    """Of a core, between the first call and the last."""
    busy = [(at, seconds) for at, seconds in used if first <= at <= last]
    (began_at, before), (ended_at, after) = busy[0], busy[-1]
    return (after - before) / (ended_at - began_at)


def _after_the_first_window(taken: list[float]) -> tuple[float, int]:
    """(calls allowed, calls made) from the hundredth call to the last.

    The first hundred may go at once. Calls go in flocks of a hundred, so a whole number of flocks is looked at.
    """
    whole = len(taken) // CALLS * CALLS
    seconds = taken[whole - 1] - taken[CALLS - 1]
    return CALLS * seconds / WINDOW_SECONDS, whole - CALLS
