"""The queue that the fault tests break, and the three records from which the oracle judges.

journal        written by a trigger in the transaction of every change of a job: what happened to the row. Its ids
               are drawn while the row is locked, so they order the versions of one row as they really followed.
effects        written by handlers over an autocommit connection of their own: which attempts really ran, when,
               on which data, and what they answered.
own_writes     written by handlers of the two forms with a session, in the session they are given: what was committed
               with the settle. Its xmin is that of the journal's entry exactly if one transaction wrote both.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import asyncpg
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from crm_sync.database import parse_database_url
from jobloop import JobQueue, RetryPolicy, Statuses, pauses_table, queue_columns, queue_indexes

#: The forms of a handler (`tests.faults.worker`), and those of them whose own writes commit with the settle.
FORMS = ("each", "batch", "session", "each session", "batch session")
SESSION_FORMS = ("session", "each session", "batch session")

STATUSES = Statuses("Queued", "Processing", "Complete", "Error")


class Base(DeclarativeBase):
    type_annotation_map = {datetime: sa.DateTime(timezone=True), str: sa.Text()}


class Job(Base, queue_columns()):
    """A row whose status is plain text. `revision` is the data: each edit by a user adds 1."""

    __tablename__ = "jobs"
    __table_args__ = queue_indexes("jobs", order=["created_at"])

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    revision: Mapped[int] = mapped_column(server_default="0")
    status: Mapped[str | None]
    seen_revision: Mapped[int | None]
    created_at: Mapped[datetime] = mapped_column(server_default=sa.func.now())


PAUSES = pauses_table(Base.metadata)

_RECORDS = (
    """
    CREATE TABLE journal (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, job_id int NOT NULL, who text NOT NULL, op text NOT NULL,
        at timestamptz NOT NULL DEFAULT clock_timestamp(), before jobs, after jobs)
    """,
    """
    CREATE TABLE effects (
        id uuid PRIMARY KEY, job_id int NOT NULL, token uuid, worker text NOT NULL, revision int NOT NULL,
        started timestamptz NOT NULL DEFAULT clock_timestamp(), ended timestamptz, answer text)
    """,
    "CREATE TABLE own_writes (job_id int NOT NULL, token uuid NOT NULL)",
    # Whoever holds this lock makes every COMMIT of own writes wait.
    """
    CREATE FUNCTION wait_at_commit() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN NULL; END $$
    """,
    """
    CREATE CONSTRAINT TRIGGER wait_at_commit AFTER INSERT ON own_writes DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION wait_at_commit()
    """,
    """
    CREATE FUNCTION write_journal() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO journal (job_id, who, op, before, after)
        VALUES (coalesce(NEW.id, OLD.id), current_setting('application_name'), TG_OP, OLD, NEW);
        RETURN NULL;
    END $$
    """,
    "CREATE TRIGGER journal AFTER INSERT OR UPDATE OR DELETE ON jobs FOR EACH ROW EXECUTE FUNCTION write_journal()",
    """
    CREATE FUNCTION wake() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN PERFORM pg_notify('jobloop', 'jobs.status'); RETURN NULL; END $$
    """,
    """
    CREATE TRIGGER wake AFTER INSERT OR UPDATE OF status ON jobs FOR EACH ROW
    WHEN (NEW.status = 'Queued' AND NEW.next_retry_at IS NULL) EXECUTE FUNCTION wake()
    """,
)


def make_queue(**changes: Any) -> JobQueue:
    declared: dict[str, Any] = {
        "order_by": [Job.created_at],
        "retry": RetryPolicy(max_retries=3, base_delay=timedelta(minutes=5)),
        "lease": timedelta(minutes=5),
        "pauses": PAUSES,
        "columns": ["id", "revision", "claim_token"],
        **changes,
    }
    return JobQueue(Job, STATUSES, **declared)


#: What a client sees when the server goes away. asyncpg's InternalClientError: it was ended between two messages.
BROKEN = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)


class Table:
    """Plain SQL on the jobs, as a user with any client would run it. Every call is a transaction of its own.

    A broken connection is replaced with the next call; `again` also runs the statement again.
    """

    def __init__(self, url: str, *, who: str = "user") -> None:
        self.url = url
        self._who = who
        self._connection: asyncpg.Connection | None = None

    @classmethod
    async def create(cls, url: str) -> Table:
        """Make the tables and triggers in the empty database at `url`."""
        engine = create_async_engine(parse_database_url(url))
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
            for statement in _RECORDS:
                await connection.execute(sa.text(statement))
        await engine.dispose()
        return cls(url)

    async def sql(self, text: str, *binds: Any) -> list[Any]:
        if self._connection is None or self._connection.is_closed():
            self._connection = await connect(self.url, who=self._who)
        try:
            return await self._connection.fetch(text, *binds)
        except BROKEN:
            self._connection.terminate()
            self._connection = None
            raise

    async def value(self, text: str, *binds: Any) -> Any:
        rows = await self.sql(text, *binds)
        return rows[0][0] if rows else None

    async def close(self) -> None:
        if self._connection is not None:
            self._connection.terminate()

    async def enqueue(self, count: int = 1, *, first: int = 1) -> None:
        await self.sql(
            "INSERT INTO jobs (id, status, created_at) SELECT i, 'Queued', now() + i * interval '1 ms' "
            "FROM generate_series($1::int, $1::int + $2::int - 1) i",
            first,
            count,
        )

    async def job(self, job_id: int = 1) -> Any:
        (row,) = await self.sql("SELECT * FROM jobs WHERE id = $1", job_id)
        return row

    async def statuses(self) -> dict[str | None, int]:
        return {row[0]: row[1] for row in await self.sql("SELECT status, count(*) FROM jobs GROUP BY 1")}

    async def expire_leases(self) -> None:
        """Let every lease be over, as time would."""
        await self.sql("UPDATE jobs SET lease_expires_at = now() - interval '1 s' WHERE lease_expires_at IS NOT NULL")


async def connect(url: str, *, who: str) -> asyncpg.Connection:
    """A connection of a user or of the oracle: it may write even where the workers' may not."""
    dsn = parse_database_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    settings = {"application_name": who, "default_transaction_read_only": "off"}
    return await asyncpg.connect(dsn, timeout=10, server_settings=settings)
