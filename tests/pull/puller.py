"""A pull in a process of its own, to be killed: DATABASE_URL HUBSPOT_URL TOKEN STREAM WANTS are its arguments."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable

from crm_sync.database import create_engine
from crm_sync.hubspot import HubSpotClient, RetryRules
from crm_sync.pull.service import PullService
from crm_sync.pull.wish import Wants, Wish
from tests.pull.pulling import Pulls

_WITHIN_SECONDS = 60


async def main(database_url: str, hubspot_url: str, token: str, stream: str, wants: str) -> None:
    engine = create_engine(database_url, pool_size=20)
    async with HubSpotClient(hubspot_url, token, retries=RetryRules(scale=0)) as client:
        await PullService(lambda _: client, engine).run(stream, Wish(Wants(wants)))
    await engine.dispose()


async def killed_when(pulls: Pulls, stream: str, wants: Wants, enough: Callable[[], Awaitable[bool]]) -> None:
    """Start a pull and kill it with SIGKILL as soon as `enough` says so; then its holds run out."""
    url = pulls.engine.url.render_as_string(hide_password=False)
    arguments = (url, pulls.emulator.url, pulls.emulator.token, stream, wants.value)
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "tests.pull.puller", *arguments)
    try:
        async with asyncio.timeout(_WITHIN_SECONDS):
            while not await enough():
                assert process.returncode is None, "it ended before it was killed"
                await asyncio.sleep(0.005)
    finally:
        if process.returncode is None:
            process.kill()
        assert await process.wait() == -9
    await pulls.release()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
