"""Tables of other shapes than the tickets: keys, statuses, names, partitions. Each is a queue of five rows."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from jobloop import JobQueue, RetryPolicy, Statuses, queue_columns, queue_indexes

TEXT = Statuses("Queued", "Processing", "Complete", "Error")
ROWS = 5

#: Shapes by name; the tests run each of them through the same journey.
SHAPES: dict[str, Callable[[], Shape]] = {}


class Kind(enum.Enum):
    small = "s"
    large = "l"


class State(enum.Enum):
    Queued = 1
    Processing = 2
    Complete = 3
    Error = 4


@dataclass(frozen=True)
class Shape:
    """A queue, the rows to begin with, and SQL to run before and after its tables are made."""

    queue: JobQueue
    rows: Sequence[Mapping[str, Any]]
    before: Sequence[str] = ()
    after: Sequence[str] = ()

    async def make(self, engine: AsyncEngine) -> async_sessionmaker[Any]:
        async with engine.begin() as connection:
            for statement in self.before:
                await connection.execute(sa.text(statement))
            await connection.run_sync(self.queue.table.metadata.create_all)
            for statement in self.after:
                await connection.execute(sa.text(statement))
        sessions = async_sessionmaker(engine, expire_on_commit=False)
        async with sessions.begin() as session:
            session.add_all(self.queue.model(**row) for row in self.rows)
        return sessions


def shape(function: Callable[[], Shape]) -> Callable[[], Shape]:
    SHAPES[function.__name__] = function
    return function


def fresh_base() -> type[DeclarativeBase]:
    class Base(DeclarativeBase):
        type_annotation_map = {str: sa.Text(), datetime: sa.DateTime(timezone=True)}

    return Base


def queue_of(model: type[Any], statuses: Statuses = TEXT, **more: Any) -> JobQueue:
    return JobQueue(model, statuses, lease=timedelta(minutes=1), retry=RetryPolicy(max_retries=3), **more)


@shape
def bigint_key() -> Shape:
    class Job(fresh_base(), queue_columns("")):  # type: ignore[misc]
        __tablename__ = "jobs"
        __table_args__ = queue_indexes("jobs")
        id: Mapped[int] = mapped_column(sa.BigInteger, sa.Identity(start=2**40), primary_key=True)
        status: Mapped[str | None]

    return Shape(queue_of(Job), [{"status": "Queued"}] * ROWS)


@shape
def columns_named_like_binds() -> Shape:
    class Job(fresh_base(), queue_columns("")):  # type: ignore[misc]
        __tablename__ = "jobs"
        __table_args__ = queue_indexes("jobs")
        id: Mapped[int] = mapped_column(sa.BigInteger, sa.Identity(), primary_key=True)
        status: Mapped[str | None]
        batch_size: Mapped[int] = mapped_column(server_default=sa.text("7"))
        retry_share: Mapped[int | None]
        token: Mapped[str] = mapped_column(server_default="the user's")
        lease_seconds: Mapped[int | None]
        max_rescues: Mapped[int | None]
        counted: Mapped[bool | None]
        delay_seconds: Mapped[int | None]
        until: Mapped[date | None]
        key_0: Mapped[str | None]
        value_0: Mapped[str | None]

    return Shape(queue_of(Job), [{"status": "Queued"}] * ROWS)


class AnyCase(sa.types.TypeDecorator[str]):
    """Text that equals whatever differs from it in case alone."""

    impl = sa.Text
    cache_ok = True

    class comparator_factory(sa.types.TypeDecorator.Comparator[str]):  # noqa: N801 - SQLAlchemy's name
        def __eq__(self, other: Any) -> Any:  # type: ignore[override]
            return sa.func.lower(self.expr) == sa.func.lower(other)


@shape
def key_with_a_comparison_of_its_own() -> Shape:
    class Job(fresh_base(), queue_columns("")):  # type: ignore[misc]
        __tablename__ = "jobs"
        __table_args__ = queue_indexes("jobs")
        id: Mapped[str] = mapped_column(AnyCase, primary_key=True)
        status: Mapped[str | None]

    return Shape(queue_of(Job), [{"id": f"Job {i}", "status": "Queued"} for i in range(ROWS)])


@shape
def text_key_and_varchar_status() -> Shape:
    class Job(fresh_base(), queue_columns("")):  # type: ignore[misc]
        __tablename__ = "jobs"
        __table_args__ = queue_indexes("jobs")
        code: Mapped[str] = mapped_column(sa.String(40), primary_key=True)
        status: Mapped[str | None] = mapped_column(sa.String(20))

    return Shape(queue_of(Job), [{"code": f"it's ‹{n}› \\ \" {{}}", "status": "Queued"} for n in range(ROWS)])


@shape
def composite_key_of_many_types() -> Shape:
    class Job(fresh_base(), queue_columns("")):  # type: ignore[misc]
        __tablename__ = "jobs"
        __table_args__ = queue_indexes("jobs")
        shop: Mapped[UUID] = mapped_column(primary_key=True)
        day: Mapped[date] = mapped_column(primary_key=True)
        moment: Mapped[datetime] = mapped_column(primary_key=True)
        kind: Mapped[Kind] = mapped_column(primary_key=True)
        line: Mapped[int] = mapped_column(sa.SmallInteger, primary_key=True)
        price: Mapped[Any] = mapped_column(sa.Numeric(10, 2), primary_key=True)
        status: Mapped[str | None]

    moment = datetime(2026, 10, 25, 1, 30, 0, 123456, tzinfo=UTC)
    rows = [
        {
            "shop": uuid4(),
            "day": date(2026, 2, 28),
            "moment": moment,
            "kind": list(Kind)[n % 2],
            "line": n,
            "price": "9.90",
            "status": "Queued",
        }
        for n in range(ROWS)
    ]
    return Shape(queue_of(Job), rows)


@shape
def status_of_a_domain_over_text() -> Shape:
    class Job(fresh_base(), queue_columns("")):  # type: ignore[misc]
        __tablename__ = "jobs"
        __table_args__ = queue_indexes("jobs")
        id: Mapped[int] = mapped_column(primary_key=True)
        status: Mapped[str | None]

    domain = "CREATE DOMAIN state AS text CHECK (VALUE IN ('Queued', 'Processing', 'Complete', 'Error', 'Off'))"
    return Shape(queue_of(Job), [{"status": "Queued"}] * ROWS, [domain], ["ALTER TABLE jobs ALTER status TYPE state"])


@shape
def enum_without_a_native_type() -> Shape:
    class Job(fresh_base(), queue_columns("")):  # type: ignore[misc]
        __tablename__ = "jobs"
        __table_args__ = queue_indexes("jobs")
        id: Mapped[int] = mapped_column(primary_key=True)
        status: Mapped[State | None] = mapped_column(sa.Enum(State, native_enum=False, create_constraint=True))

    return Shape(queue_of(Job, Statuses(*State)), [{"status": State.Queued}] * ROWS)


@shape
def integer_status() -> Shape:
    class Job(fresh_base(), queue_columns("")):  # type: ignore[misc]
        __tablename__ = "jobs"
        __table_args__ = queue_indexes("jobs", queued="10", processing="20")
        id: Mapped[int] = mapped_column(primary_key=True)
        status: Mapped[int | None]

    return Shape(queue_of(Job, Statuses(10, 20, 30, 40)), [{"status": 10}] * ROWS)


@shape
def names_that_need_quotes_in_a_schema() -> Shape:
    class Job(fresh_base(), queue_columns("Crm ")):  # type: ignore[misc]
        __tablename__ = "Order Lines"
        __table_args__ = (
            *queue_indexes("Order Lines", status="Crm status", order=['"Rank %" DESC']),
            {"schema": "Sales"},
        )
        id: Mapped[int] = mapped_column("Id", primary_key=True)
        rank: Mapped[int] = mapped_column("Rank %", server_default="1")
        state: Mapped[Any] = mapped_column(
            "Crm status", sa.Enum("Queued", "Processing", "Complete", "Error", name="Line State", schema="Sales")
        )

    queue = queue_of(Job, status_field_name="Crm status", order_by=[Job.rank.desc()])
    return Shape(queue, [{"state": "Queued"}] * ROWS, ['CREATE SCHEMA "Sales"'])


@shape
def attributes_named_unlike_their_columns() -> Shape:
    class Job(fresh_base()):  # type: ignore[misc]
        __tablename__ = "jobs"
        __table_args__ = queue_indexes("jobs", status="c_state", next_retry_at="c_next")
        number: Mapped[int] = mapped_column("c_id", primary_key=True)
        crm_status: Mapped[str | None] = mapped_column("c_state")
        crm_error: Mapped[str | None] = mapped_column("c_error")
        crm_retry_count: Mapped[int] = mapped_column("c_tries", server_default="0")
        crm_next_retry_at: Mapped[datetime | None] = mapped_column("c_next")
        crm_claim_token: Mapped[UUID | None] = mapped_column("c_token")
        crm_lease_expires_at: Mapped[datetime | None] = mapped_column("c_lease")
        crm_rescue_count: Mapped[int] = mapped_column("c_lost", server_default="0")

    return Shape(queue_of(Job, status_field_name="crm_status"), [{"crm_status": "Queued"}] * ROWS)


@shape
def partitioned_by_list() -> Shape:
    class Job(fresh_base(), queue_columns("")):  # type: ignore[misc]
        __tablename__ = "jobs"
        __table_args__ = (
            *queue_indexes("jobs", order=["rank"]),
            {"postgresql_partition_by": "LIST (region)"},
        )
        id: Mapped[int] = mapped_column(primary_key=True)
        region: Mapped[str] = mapped_column(primary_key=True)
        rank: Mapped[int]
        status: Mapped[str | None]

    after = [f"CREATE TABLE jobs_{name} PARTITION OF jobs FOR VALUES IN ('{name}')" for name in ("eu", "us")]
    rows = [{"id": n, "region": ("eu", "us")[n % 2], "rank": n, "status": "Queued"} for n in range(ROWS)]
    return Shape(queue_of(Job, order_by=[Job.rank]), rows, after=after)


@shape
def partitioned_by_range_in_two_levels() -> Shape:
    class Job(fresh_base(), queue_columns("")):  # type: ignore[misc]
        __tablename__ = "jobs"
        __table_args__ = (
            *queue_indexes("jobs", order=["day"]),
            {"postgresql_partition_by": "RANGE (day)"},
        )
        id: Mapped[int] = mapped_column(primary_key=True)
        day: Mapped[date] = mapped_column(primary_key=True)
        status: Mapped[str | None]

    after = [
        "CREATE TABLE jobs_old PARTITION OF jobs FOR VALUES FROM (MINVALUE) TO ('2026-01-03') PARTITION BY HASH (id)",
        "CREATE TABLE jobs_old_0 PARTITION OF jobs_old FOR VALUES WITH (MODULUS 2, REMAINDER 0)",
        "CREATE TABLE jobs_old_1 PARTITION OF jobs_old FOR VALUES WITH (MODULUS 2, REMAINDER 1)",
        "CREATE TABLE jobs_new PARTITION OF jobs FOR VALUES FROM ('2026-01-03') TO (MAXVALUE)",
    ]
    rows = [{"id": n, "day": date(2026, 1, n + 1), "status": "Queued"} for n in range(ROWS)]
    return Shape(queue_of(Job, order_by=[Job.day]), rows, after=after)


@shape
def generated_columns() -> Shape:
    class Job(fresh_base(), queue_columns("")):  # type: ignore[misc]
        __tablename__ = "jobs"
        __table_args__ = queue_indexes("jobs")
        id: Mapped[int] = mapped_column(primary_key=True)
        status: Mapped[str | None]
        is_done: Mapped[bool] = mapped_column(sa.Computed("status = 'Complete'", persisted=True))
        label: Mapped[str] = mapped_column(sa.Computed("coalesce(status, 'none') || '!'", persisted=True))

    return Shape(queue_of(Job), [{"status": "Queued"}] * ROWS)


@shape
def short_error_column() -> Shape:
    class Job(fresh_base(), queue_columns("")):  # type: ignore[misc]
        __tablename__ = "jobs"
        __table_args__ = queue_indexes("jobs")
        id: Mapped[int] = mapped_column(primary_key=True)
        status: Mapped[str | None]
        error: Mapped[str | None] = mapped_column(sa.String(50))

    return Shape(queue_of(Job), [{"status": "Queued"}] * ROWS)


@shape
def subclass_in_the_table_of_its_parent() -> Shape:
    class Job(fresh_base(), queue_columns("")):  # type: ignore[misc]
        __tablename__ = "jobs"
        __table_args__ = queue_indexes("jobs")
        __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "plain"}
        id: Mapped[int] = mapped_column(primary_key=True)
        kind: Mapped[str]
        status: Mapped[str | None]

    class Letter(Job):  # type: ignore[misc]
        __mapper_args__ = {"polymorphic_identity": "letter"}
        address: Mapped[str | None]

    class Express(Letter):
        __mapper_args__ = {"polymorphic_identity": "express"}

    others = ["INSERT INTO jobs (id, kind, status) VALUES (1000, 'plain', 'Queued'), (1001, 'unknown', 'Queued')"]
    return Shape(queue_of(Letter), [{"status": "Queued"}] * ROWS, after=others)
