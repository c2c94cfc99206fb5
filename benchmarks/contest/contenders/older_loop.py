"""The method of many a hand-written loop: claim entities by status, then a session and a commit for each, in turn."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

from contest.contacts import ADD_NOTE, NOTED, PlainContact, Status
from contest.contenders.raw import OnContacts
from contest.player import play

_IDLE_SECONDS = 0.01


class OlderLoop(OnContacts):
    packages = ("sqlalchemy", "asyncpg")
    counts_sql = NOTED

    async def work(
        self, mark: Callable[[int], None], job: Callable[[int], Awaitable[None]], stop: asyncio.Event
    ) -> None:
        engine = create_async_engine(self.dsn.replace("postgresql:", "postgresql+asyncpg:"))
        sessions = async_sessionmaker(engine, expire_on_commit=False)
        due = (
            sa.select(PlainContact)
            .where(PlainContact.status == Status.Queued)
            .limit(self.options.batch)
            .with_for_update(skip_locked=True)
        )
        while not stop.is_set():
            async with sessions() as session, session.begin():
                contacts = (await session.scalars(due)).all()
                for contact in contacts:
                    contact.status = Status.Processing
            if not contacts:
                await asyncio.sleep(_IDLE_SECONDS)
            for claimed in contacts:
                async with sessions() as session, session.begin():
                    contact = await session.get_one(PlainContact, claimed.id)
                    await job(contact.seq)
                    await session.execute(ADD_NOTE, {"contact_id": claimed.id, "text": "done"})
                    contact.status = Status.Complete
        await engine.dispose()


if __name__ == "__main__":
    play(OlderLoop)
