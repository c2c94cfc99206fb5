"""The limit: claim and complete in batches with bare asyncpg on one connection, one after the other.

No token, no lease, no retry, no fence: what is left when everything that makes a queue is taken away.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from contest import contacts
from contest.player import Contender, play

_IDLE_SECONDS = 0.005
_CLAIM = """
    UPDATE contacts SET status = 'Processing', updated_at = now()
    FROM (SELECT id FROM contacts WHERE status = 'Queued' {order} LIMIT $1 FOR UPDATE SKIP LOCKED) AS due
    WHERE contacts.id = due.id RETURNING contacts.*
"""
_COMPLETE = """
    UPDATE contacts SET status = 'Complete', updated_at = now() WHERE id = ANY($1::uuid[]) AND status = 'Processing'
"""


def claim_sql(*, ordered: bool) -> str:
    return _CLAIM.format(order="ORDER BY created_at, id" if ordered else "")


class OnContacts(Contender):
    """What contenders share whose queue is a status column of the contacts."""

    packages = ("asyncpg",)
    counts_sql = contacts.COUNTS
    connection: asyncpg.Connection[Any]

    async def install(self) -> None:
        engine = create_async_engine(self.dsn.replace("postgresql:", "postgresql+asyncpg:"))
        async with engine.begin() as connection:
            await connection.run_sync(self.create)
        await engine.dispose()

    def create(self, connection: sa.Connection) -> None:
        contacts.PlainBase.metadata.create_all(connection)
        if self.options.order:
            connection.execute(sa.text("DROP INDEX contacts_queued"))
            connection.execute(sa.text(contacts.ORDERED_INDEX))

    async def fill(self, jobs: int) -> None:
        await self.open()
        await self.connection.execute(contacts.FILL, 0, jobs - 1, timeout=900)

    async def open(self) -> None:
        self.connection = await asyncpg.connect(self.dsn)

    async def enqueue(self, job: int) -> None:
        await self.connection.execute(contacts.FILL, job, job)

    async def unfinished(self) -> int:
        return int(await self.connection.fetchval(self.counts_sql))


class Raw(OnContacts):
    async def work(
        self, mark: Callable[[int], None], job: Callable[[int], Awaitable[None]], stop: asyncio.Event
    ) -> None:
        await self.open()
        claim = await self.connection.prepare(claim_sql(ordered=self.options.order))
        complete = await self.connection.prepare(_COMPLETE)
        while not stop.is_set():
            rows = await claim.fetch(self.options.batch)
            if not rows:
                await asyncio.sleep(_IDLE_SECONDS)
                continue
            if self.options.sleep_ms or self.options.tasks:
                await asyncio.gather(*(job(row["seq"]) for row in rows))
            else:
                for row in rows:
                    mark(row["seq"])
            await complete.fetch([row["id"] for row in rows])


if __name__ == "__main__":
    play(Raw)
