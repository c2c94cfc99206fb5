"""pgqueuer, with a table of its own; as fast as its settings make it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgPoolDriver
from pgqueuer.queries import Queries

from contest.player import Contender, play

_AT_ONCE = 10_000


class OnPgqueuer(Contender):
    packages = ("pgqueuer", "asyncpg")
    counts_sql = """
        SELECT (SELECT count(*) FROM pgqueuer),
               (SELECT count(DISTINCT job_id) FROM pgqueuer_log WHERE status = 'successful')
    """
    pool: Any

    async def open(self) -> None:
        self.pool = await asyncpg.create_pool(self.dsn, min_size=3, max_size=5)
        self.queries = Queries(AsyncpgPoolDriver(self.pool))

    async def install(self) -> None:
        await self.open()
        await self.queries.install()

    async def fill(self, jobs: int) -> None:
        await self.open()
        for first in range(0, jobs, _AT_ONCE):
            numbers = range(first, min(jobs, first + _AT_ONCE))
            payloads: list[bytes | None] = [b"%d" % number for number in numbers]
            await self.queries.enqueue(["job"] * len(payloads), payloads, [0] * len(payloads))

    async def enqueue(self, job: int) -> None:
        await self.queries.enqueue("job", b"%d" % job)

    async def unfinished(self) -> int:
        return int(await self.pool.fetchval("SELECT count(*) FROM pgqueuer"))

    async def work(
        self, mark: Callable[[int], None], job: Callable[[int], Awaitable[None]], stop: asyncio.Event
    ) -> None:
        await self.open()
        worker = PgQueuer(self.queries.driver)

        @worker.entrypoint("job")
        async def run(one: Any) -> None:
            await job(int(one.payload))

        async def shut_down() -> None:
            await stop.wait()
            worker.qm.shutdown.set()

        stopping = asyncio.create_task(shut_down())
        at_once = self.options.concurrency
        await worker.qm.run(batch_size=max(1, at_once // 2), max_concurrent_tasks=at_once)
        await stopping


if __name__ == "__main__":
    play(OnPgqueuer)
