"""procrastinate, with a table of its own. It fetches one job a query, so more concurrency than 20 brings nothing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from procrastinate import App, PsycopgConnector

from contest.player import Contender, play

_AT_ONCE = 5_000
_UNFINISHED = "SELECT count(*) AS unfinished FROM procrastinate_jobs WHERE status IN ('todo', 'doing')"


class OnProcrastinate(Contender):
    packages = ("procrastinate", "psycopg")
    counts_sql = """
        SELECT count(*) FILTER (WHERE status IN ('todo', 'doing')), count(*) FILTER (WHERE status = 'succeeded')
        FROM procrastinate_jobs
    """
    handle: Callable[[int], Awaitable[None]]

    async def open(self) -> None:
        logging.getLogger("procrastinate").setLevel(logging.CRITICAL)
        self.app = App(connector=PsycopgConnector(conninfo=self.dsn, min_size=2, max_size=20))

        @self.app.task(name="job")
        async def run(number: int) -> None:
            await self.handle(number)

        self.task: Any = run
        await self.app.open_async()

    async def install(self) -> None:
        await self.open()
        await self.app.schema_manager.apply_schema_async()

    async def fill(self, jobs: int) -> None:
        await self.open()
        for first in range(0, jobs, _AT_ONCE):
            numbers = range(first, min(jobs, first + _AT_ONCE))
            await self.task.batch_defer_async(*({"number": number} for number in numbers))

    async def enqueue(self, job: int) -> None:
        await self.task.defer_async(number=job)

    async def unfinished(self) -> int:
        row = await self.app.connector.execute_query_one_async(_UNFINISHED)
        return int(row["unfinished"])

    async def work(
        self, mark: Callable[[int], None], job: Callable[[int], Awaitable[None]], stop: asyncio.Event
    ) -> None:
        self.handle = job
        await self.open()
        worker = asyncio.create_task(
            self.app.run_worker_async(concurrency=self.options.concurrency, install_signal_handlers=False)
        )
        await stop.wait()
        worker.cancel()
        await asyncio.wait([worker], timeout=10)


if __name__ == "__main__":
    play(OnProcrastinate)
