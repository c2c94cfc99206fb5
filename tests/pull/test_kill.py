"""A pulling process that is killed at any moment: what it wrote and where it stands agree, and the next run goes on."""

from __future__ import annotations

import asyncio
import math
import multiprocessing
import os
import random
import signal
from multiprocessing.context import ForkServerProcess
from typing import Any

import pytest

from crm_sync.database import create_engine
from crm_sync.hubspot import Bucket, Budget, HubSpotClient, LocalRateLimiter, RetryRules
from crm_sync.pull.cursor import Cursors
from crm_sync.pull.service import PullService
from crm_sync.pull.wish import Wants, Wish
from tests.pull.pulling import Pulls
from tests.pull.test_engine_faults import assert_honest, forget, populate

_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(["tests.pull.test_kill"])
_SECONDS = 60


def pull(database_url: str, hubspot_url: str, token: str, stream: str, wish: Wish, hold_seconds: float) -> None:
    """The whole life of a process."""

    async def run() -> None:
        engine = create_engine(database_url)
        limiter = LocalRateLimiter(dict.fromkeys(Bucket, Budget(100_000, 1.0)))
        async with HubSpotClient(hubspot_url, token, rate_limiter=limiter, retries=RetryRules(scale=0)) as client:
            cursors = Cursors(engine, hold_seconds=hold_seconds)
            await PullService(lambda _: client, engine, cursors=cursors).run(stream, wish)
        await engine.dispose()

    asyncio.run(run())


async def start(pulls: Pulls, stream: str, *, hold_seconds: float = 60, **wish: Any) -> ForkServerProcess:
    url = pulls.engine.url.render_as_string(hide_password=False)
    arguments = (url, pulls.emulator.url, pulls.emulator.token, stream, Wish(**wish), hold_seconds)
    process = _PROCESSES.Process(target=pull, args=arguments, name=f"pull {stream}")
    await asyncio.to_thread(process.start)
    return process


async def ends(process: ForkServerProcess) -> int:
    """Its exit code."""
    await asyncio.to_thread(process.join, _SECONDS)
    assert process.exitcode is not None
    return process.exitcode


async def calls(pulls: Pulls, count: int, process: ForkServerProcess) -> None:
    """Wait until it has made that many calls, or is done."""
    async with asyncio.timeout(_SECONDS):
        while len(pulls.emulator.calls()) < count and process.is_alive():
            await asyncio.sleep(0.001)


async def planned_ms(pulls: Pulls, stream: str) -> float:
    """When the last run began, by HubSpot's clock: what was in the recycle bin by then, it saw or will see."""
    found = await pulls.sql("SELECT window_to FROM sync_cursors WHERE stream = :stream", stream=stream)
    return found[0].window_to.timestamp() * 1_000 if found and found[0].window_to else math.inf


@pytest.mark.parametrize("stream", ["contacts", "deals"])
async def test_a_process_that_is_killed_at_any_call_is_followed_by_one_that_goes_on(pulls: Pulls, stream: str) -> None:
    """Twenty kills and more of each kind of run: at a call, and a moment after it, while it writes."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    users = populate(pulls, seed)
    killed = 0
    while killed < 24:
        if chance.random() < 0.2:
            await forget(pulls)
        users.archived_until_ms = await planned_ms(pulls, stream)
        users.act(5)
        await pulls.let_time_pass()
        before = len(pulls.emulator.calls())
        wants = Wants.FULL if chance.random() < 0.5 else Wants.CHANGES
        process = await start(pulls, stream, wants=wants, batch_size=50, catch_up=True)
        await calls(pulls, before + chance.randint(1, 12), process)
        await asyncio.sleep(chance.random() * 0.01)  # any moment will do
        process.kill()
        killed += await ends(process) == -9
        await pulls.release()
        await assert_honest(pulls, stream, goes_on=True)
    process = await start(pulls, stream, wants=Wants.CHANGES, catch_up=True)
    assert await ends(process) == 0
    if users.purged:
        await pulls.full(stream)
    await pulls.assert_equal(stream)


async def written(pulls: Pulls) -> dict[str, list[Any]]:
    """Every table but what HubSpot calls its association types: that is looked up by any run, and the same for all."""
    return {name: rows for name, rows in (await pulls.dump()).items() if name != "hubspot.association_types"}


@pytest.mark.parametrize("moment", range(4))
async def test_a_process_that_is_frozen_past_its_hold_writes_nothing_when_it_wakes(pulls: Pulls, moment: int) -> None:
    """SIGSTOP at any moment, also inside a transaction; another run takes the stream over; SIGCONT."""
    populate(pulls)
    process = await start(pulls, "contacts", hold_seconds=3, wants=Wants.FULL, batch_size=1)
    assert process.pid is not None
    await calls(pulls, 3 + moment, process)
    os.kill(process.pid, signal.SIGSTOP)
    try:
        await pulls.release()
        await pulls.pull("contacts", Wants.FULL)
        before = await written(pulls)
    finally:
        os.kill(process.pid, signal.SIGCONT)
    assert await ends(process) == 1
    assert await written(pulls) == before
    await pulls.assert_equal("contacts")
