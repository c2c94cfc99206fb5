"""jobloop with handlers that write a note in their session; --form says which form they have."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from contest import contacts
from contest.contenders.jobloop import Base, Contact, OnJobloop
from contest.player import play
from jobloop import Complete, Outcome, batch, each


class Note(contacts.Line, Base):
    pass


class InSessions(OnJobloop):
    light = ("each", "batch")
    with_session = True
    counts_sql = contacts.NOTED.replace(
        "status = 'Complete')\n", "status = 'Complete' AND claim_token IS NULL AND retry_count = 0)\n"
    )

    def handler(self, mark: Callable[[int], None], job: Callable[[int], Awaitable[None]]) -> Any:
        async def by_id(contact_id: UUID, session: AsyncSession) -> None:
            contact = await session.get_one(Contact, contact_id)
            await job(contact.seq)
            await session.execute(contacts.ADD_NOTE, {"contact_id": contact_id, "text": "done"})

        async def one(row: Any, session: AsyncSession) -> None:
            await job(row.seq)
            await session.execute(contacts.ADD_NOTE, {"contact_id": row.id, "text": "done"})

        done = Complete()

        async def many(rows: list[Any], session: AsyncSession) -> dict[UUID, Outcome]:
            for row in rows:
                mark(row.seq)
            await session.execute(contacts.ADD_NOTE, [{"contact_id": row.id, "text": "done"} for row in rows])
            return dict.fromkeys([row.id for row in rows], done)

        return {"id": by_id, "each": each(one, session=True), "batch": batch(many, session=True)}[self.options.form]


if __name__ == "__main__":
    play(InSessions)
