"""For the tests of an application that has queues: run what is due now, without a worker and without waiting.

await enqueue(queue, contact_id, session_factory=sessions)
report = await work(queue, handler, session_factory=sessions)     # every due row, then stop
await let_time_pass(queue, sessions)                              # waiting retries become due, leases expire
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from jobloop.binding import sessions_of
from jobloop.handler import Form
from jobloop.loop import JobLoop
from jobloop.queue import JobQueue
from jobloop.report import CycleReport
from jobloop.session_forms import SessionFunction
from jobloop.status import Role


async def enqueue(queue: JobQueue, *keys: Any, session_factory: async_sessionmaker[AsyncSession] | None = None) -> int:
    """Queue the rows with these primary keys, as a user's UPDATE would; returns how many there were."""
    async with sessions_of(queue.model, session_factory).begin() as session:
        rows = await session.execute(
            sa.update(queue.table)
            .where(sa.tuple_(*queue.columns.key).in_([queue.key_values(key) for key in keys]))
            .values({queue.columns.status: queue.literal(Role.QUEUED), queue.columns.next_retry_at: None})
            .returning(*queue.columns.key)
        )
        return len(rows.all())


async def work(
    queue: JobQueue,
    handler: Form | SessionFunction,
    *,
    session_factory: async_sessionmaker[AsyncSession] | None = None,
    **options: Any,
) -> CycleReport:
    """Process everything that is due and return the report; options are those of `JobLoop`."""
    return await JobLoop(queue, handler, session_factory=session_factory, **options).drain()


async def let_time_pass(queue: JobQueue, session_factory: async_sessionmaker[AsyncSession] | None = None) -> None:
    """Make every waiting retry due and every lease expired, as time would."""
    c = queue.columns
    async with sessions_of(queue.model, session_factory).begin() as session:
        past = sa.func.now() - sa.literal_column("interval '1 second'")
        for column in (c.next_retry_at, c.lease_expires_at):
            await session.execute(sa.update(queue.table).where(column.is_not(None)).values({column: past}))
