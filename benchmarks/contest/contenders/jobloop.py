"""jobloop on the contacts, tokens, leases and renewals on; --form says how its handler is written."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Container, Sequence
from contextlib import AsyncExitStack
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase

import jobloop.migrations  # noqa: F401 - registers the operations
from contest import contacts
from contest.contenders.raw import OnContacts
from contest.player import play
from jobloop import Complete, JobLoop, JobQueue, Listener, Outcome, Statuses, batch, each, queue_columns

S = contacts.Status


class Base(DeclarativeBase):
    type_annotation_map = contacts.TYPES


class Contact(contacts.Person, queue_columns(), Base):
    """The user's row with the queue's own columns beside it."""


def queue_of(*, order: bool, columns: Sequence[str] | None = None) -> JobQueue:
    return JobQueue(
        Contact,
        Statuses(S.Queued, S.Processing, S.Complete, S.Error),
        order_by=[Contact.created_at] if order else [],
        columns=columns,
    )


class OnJobloop(OnContacts):
    packages = ("jobloop", "sqlalchemy", "asyncpg")
    light: Container[str] = ("light",)
    with_session = False
    #: Finished means: the claim is given up too, and nothing counted as a failure.
    counts_sql = contacts.COUNTS.replace(
        "status = 'Complete'", "status = 'Complete' AND claim_token IS NULL AND retry_count = 0"
    )

    def create(self, connection: sa.Connection) -> None:
        Base.metadata.create_all(connection)
        operations: Any = Operations(MigrationContext.configure(connection))
        order = ["created_at"] if self.options.order else []
        operations.create_queue_indexes("contacts", order=order, concurrently=False)
        if self.options.notify:
            operations.create_queue_notify_trigger("contacts")

    async def work(
        self, mark: Callable[[int], None], job: Callable[[int], Awaitable[None]], stop: asyncio.Event
    ) -> None:
        options = self.options
        queue = queue_of(order=options.order, columns=["id", "seq"] if options.form in self.light else None)
        async with AsyncExitStack() as stack:
            more: dict[str, Any] = {}
            if options.notify:
                listener = await stack.enter_async_context(Listener(self.dsn))
                more["wake"] = listener.wake_event(queue)
            with_session = options.concurrency if self.with_session else 0
            url = self.dsn.replace("postgresql:", "postgresql+asyncpg:")
            engine = create_async_engine(url, pool_size=with_session + 5)
            stack.push_async_callback(engine.dispose)
            loop = JobLoop(
                queue,
                self.handler(mark, job),
                session_factory=async_sessionmaker(engine, expire_on_commit=False),
                batch_size=options.batch,
                concurrency=options.concurrency,
                **more,
            )
            await loop.run(stop)

    def handler(self, mark: Callable[[int], None], job: Callable[[int], Awaitable[None]]) -> Any:
        async def one(row: Any) -> None:
            await job(row.seq)

        done = Complete()

        async def many(rows: list[Any]) -> dict[UUID, Outcome]:
            for row in rows:
                mark(row.seq)
            return dict.fromkeys([row.id for row in rows], done)

        return {
            "each": each(one),
            "light": each(one),
            "each-entities": each(one, entities=True),
            "batch": batch(many),
            "batch-entities": batch(many, entities=True),
        }[self.options.form]


if __name__ == "__main__":
    play(OnJobloop)
