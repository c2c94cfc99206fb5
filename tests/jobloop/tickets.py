"""A user's table with two queues on one row, and the means to look at it with plain SQL."""

from __future__ import annotations

import enum
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from jobloop import JobQueue, RetryPolicy, Statuses, pauses_table, queue_columns, queue_indexes


class Status(enum.Enum):
    Queued = "Queued"
    Processing = "Processing"
    Complete = "Complete"
    Error = "Error"
    Skipped = "Skipped"


STATUSES = Statuses(Status.Queued, Status.Processing, Status.Complete, Status.Error)


class Base(DeclarativeBase):
    type_annotation_map = {datetime: sa.DateTime(timezone=True), str: sa.Text()}


class Ticket(Base, queue_columns("crm_"), queue_columns("mail_")):
    """A row with a queue for a CRM and another for mail."""

    __tablename__ = "tickets"
    __table_args__ = (
        *queue_indexes("tickets", status="crm_status", order=["created_at"]),
        *queue_indexes("tickets", status="mail_status", order=["created_at"]),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=sa.text("gen_random_uuid()"))
    number: Mapped[int] = mapped_column(sa.Integer, index=True)
    title: Mapped[str | None]
    external_id: Mapped[str | None]
    crm_status: Mapped[Status | None] = mapped_column(sa.Enum(Status, name="ticket_status"))
    mail_status: Mapped[Status | None] = mapped_column(sa.Enum(Status, name="ticket_status"))
    created_at: Mapped[datetime] = mapped_column(server_default=sa.func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=sa.func.now(), onupdate=sa.func.now())


class Effect(Base):
    """What handlers did, written over a connection of their own: the oracle."""

    __tablename__ = "effects"

    id: Mapped[int] = mapped_column(sa.BigInteger, sa.Identity(), primary_key=True)
    number: Mapped[int]
    token: Mapped[UUID | None]
    started: Mapped[datetime] = mapped_column(server_default=sa.func.clock_timestamp())
    ended: Mapped[datetime | None]


PAUSES = pauses_table(Base.metadata)


class Desk:
    """Plain SQL on the tickets, as a user with any client would run it."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine
        self.sessions = async_sessionmaker(engine, expire_on_commit=False)

    async def sql(self, text: str, /, **binds: Any) -> list[Any]:
        async with self.engine.connect() as connection:
            await connection.execution_options(isolation_level="AUTOCOMMIT")
            result = await connection.execute(sa.text(text), binds)
            return list(result.all()) if result.returns_rows else []

    async def queue(self, count: int, *, first: int = 1, status: str | None = "Queued", of: str = "crm_status") -> None:
        """Insert tickets numbered from `first`, an increasing created_at with their number."""
        await self.sql(
            f"INSERT INTO tickets (number, title, {of}, created_at) "
            f"SELECT i, 'ticket ' || i, CAST(:status AS ticket_status), now() - interval '1 day' + i * interval '1 ms' "
            f"FROM generate_series(CAST(:first AS int), CAST(:first AS int) + CAST(:count AS int) - 1) i",
            status=status,
            first=first,
            count=count,
        )

    async def ticket(self, number: int = 1) -> Any:
        (row,) = await self.sql("SELECT * FROM tickets WHERE number = :number", number=number)
        return row

    async def statuses(self, of: str = "crm_status") -> dict[str | None, int]:
        rows = await self.sql(f"SELECT {of}::text, count(*) FROM tickets GROUP BY 1")
        return {row[0]: row[1] for row in rows}

    async def due_now(self) -> None:
        """Let all waiting retries be due, as time would."""
        await self.sql("UPDATE tickets SET crm_next_retry_at = now() WHERE crm_next_retry_at IS NOT NULL")

    async def expire_leases(self) -> None:
        """Let every lease be over, as time would."""
        await self.sql(
            "UPDATE tickets SET crm_lease_expires_at = now() - interval '1 s' WHERE crm_claim_token IS NOT NULL"
        )


def make_queue(**changes: Any) -> JobQueue:
    """The CRM queue of the tickets: oldest first, retries after 5, 10, 20 minutes."""
    declared: dict[str, Any] = {
        "status_field_name": "crm_status",
        "order_by": [Ticket.created_at],
        "retry": RetryPolicy(max_retries=3, base_delay=timedelta(minutes=5)),
        **changes,
    }
    return JobQueue(Ticket, STATUSES, **declared)
