"""A queue that cannot work is refused when it is declared, in a sentence that names the column and the mend."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from jobloop import (
    Complete,
    JobLoop,
    JobQueue,
    MissingColumn,
    NotBound,
    QueueDeclarationError,
    SharedColumn,
    Statuses,
    TableUnfit,
    batch,
    each,
    queue_columns,
    queue_indexes,
)
from tests.jobloop.tickets import STATUSES, Desk, Status, Ticket, make_queue

TEXT = Statuses("Queued", "Processing", "Complete", "Error")


def fresh_base() -> type[DeclarativeBase]:
    class Base(DeclarativeBase):
        pass

    return Base


async def complete(row: Any) -> Complete:
    return Complete()


def test_model_without_a_column_is_refused_with_the_migration_line() -> None:
    class Order(fresh_base()):  # type: ignore[misc]
        __tablename__ = "orders"
        id: Mapped[int] = mapped_column(primary_key=True)
        billing_status: Mapped[str | None]
        billing_error: Mapped[str | None]
        retry_count: Mapped[int]
        next_retry_at: Mapped[Any] = mapped_column(sa.DateTime(timezone=True))

    with pytest.raises(MissingColumn) as refusal:
        JobQueue(Order, TEXT, status_field_name="billing_status")

    assert refusal.value.role == "claim_token"
    assert (
        refusal.value.migration == "op.add_column('orders', sa.Column('billing_claim_token', sa.Uuid(), nullable=True))"
    )
    assert refusal.value.migration in str(refusal.value)


def test_prefixed_columns_win_over_plain_ones() -> None:
    class Order(fresh_base(), queue_columns("billing_"), queue_columns("")):  # type: ignore[misc]
        __tablename__ = "orders"
        id: Mapped[int] = mapped_column(primary_key=True)
        billing_status: Mapped[str | None]

    queue = JobQueue(Order, TEXT, status_field_name="billing_status")

    assert queue.columns.retry_count.name == "billing_retry_count"


@pytest.mark.parametrize("shared", ["retry_count", "next_retry_at", "claim_token", "lease_expires_at", "rescue_count"])
def test_two_queues_that_share_a_column_are_refused(shared: str) -> None:
    base = fresh_base()
    prefixes = {"a_": queue_columns("a_"), "b_": queue_columns("b_"), "": queue_columns("")}
    model: Any = type(
        "Lead",
        (base, *prefixes.values()),
        {
            "__tablename__": "leads",
            "id": mapped_column(sa.Integer, primary_key=True),
            "a_status": mapped_column(sa.Text),
            "b_status": mapped_column(sa.Text),
            f"a_{shared}": None,
            f"b_{shared}": None,
        },
    )
    JobQueue(model, TEXT, status_field_name="a_status")

    with pytest.raises(SharedColumn) as refusal:
        JobQueue(model, TEXT, status_field_name="b_status")

    assert (refusal.value.column, refusal.value.role) == (shared, shared)
    assert f"b_{shared}" in str(refusal.value)


def test_same_queue_may_be_declared_again_and_with_other_filters() -> None:
    make_queue()
    make_queue(filters=[Ticket.number > 5])


def test_status_value_that_the_column_does_not_know_is_refused() -> None:
    with pytest.raises(QueueDeclarationError, match="'Nonsense' is not a value of column 'crm_status'"):
        JobQueue(Ticket, Statuses("Nonsense", *list(Status)[1:4]), status_field_name="crm_status")


def test_equal_statuses_are_refused() -> None:
    with pytest.raises(QueueDeclarationError, match="must differ"):
        Statuses("Queued", "Queued", "Complete", "Error")


def test_timestamp_without_time_zone_is_refused() -> None:
    class Order(fresh_base(), queue_columns("")):  # type: ignore[misc]
        __tablename__ = "orders"
        id: Mapped[int] = mapped_column(primary_key=True)
        status: Mapped[str | None]
        next_retry_at: Mapped[Any] = mapped_column(sa.DateTime())

    with pytest.raises(QueueDeclarationError, match=r"orders\.next_retry_at must be timestamptz"):
        JobQueue(Order, TEXT)


def test_loop_without_a_session_factory_says_how_to_give_one() -> None:
    class Order(fresh_base(), queue_columns("")):  # type: ignore[misc]
        __tablename__ = "orders"
        id: Mapped[int] = mapped_column(primary_key=True)
        status: Mapped[str | None]

    with pytest.raises(NotBound, match=r"jobloop\.bind\(Base, session_factory\)"):
        JobLoop(JobQueue(Order, TEXT), each(complete))


async def test_table_without_the_columns_is_refused_before_anything_is_claimed(desk: Desk) -> None:
    await desk.queue(1)
    await desk.sql("ALTER TABLE tickets DROP COLUMN crm_rescue_count, DROP COLUMN crm_lease_expires_at")

    with pytest.raises(TableUnfit) as refusal:
        await JobLoop(make_queue(), each(complete), session_factory=desk.sessions).run_once()

    assert len(refusal.value.problems) == 2
    assert "op.add_column('tickets', sa.Column('crm_rescue_count'" in str(refusal.value)
    assert await desk.statuses() == {"Queued": 1}


async def test_missing_table_says_run_the_migrations(engine: AsyncEngine) -> None:
    loop = JobLoop(make_queue(), each(complete), session_factory=async_sessionmaker(engine))

    with pytest.raises(TableUnfit, match="does not exist in this database: run the migrations"):
        await loop.run_once()


async def test_missing_enum_label_is_named_with_its_mend(engine: AsyncEngine) -> None:
    sessions = async_sessionmaker(engine)
    async with engine.begin() as connection:
        await connection.execute(sa.text("CREATE TYPE s AS ENUM ('Queued', 'Processing', 'Complete')"))
        await connection.execute(sa.text("CREATE TABLE orders (id int PRIMARY KEY, status s)"))
        await connection.execute(
            sa.text(
                "ALTER TABLE orders ADD error text, ADD retry_count int NOT NULL DEFAULT 0, "
                "ADD next_retry_at timestamptz, ADD claim_token uuid, ADD lease_expires_at timestamptz, "
                "ADD rescue_count int NOT NULL DEFAULT 0"
            )
        )

    class Order(fresh_base(), queue_columns("")):  # type: ignore[misc]
        __tablename__ = "orders"
        id: Mapped[int] = mapped_column(primary_key=True)
        status: Mapped[Status | None] = mapped_column(sa.Enum(Status, name="s"))

    with pytest.raises(TableUnfit, match=r"ALTER TYPE s ADD VALUE 'Error'"):
        await JobLoop(JobQueue(Order, STATUSES), each(complete), session_factory=sessions).run_once()


async def test_missing_index_is_warned_about(desk: Desk, caplog: Any) -> None:
    await desk.sql("DROP INDEX ix_tickets_crm_due, ix_tickets_crm_processing")

    await JobLoop(make_queue(), each(complete), session_factory=desk.sessions).run_once()

    assert "no index serves the claim" in caplog.text
    assert "no index serves the rescue" in caplog.text


async def test_index_that_is_not_in_the_queues_order_is_warned_about(desk: Desk, caplog: Any) -> None:
    queue = make_queue(order_by=[Ticket.created_at.desc()])

    await JobLoop(queue, each(complete), session_factory=desk.sessions).run_once()

    assert "not in the queue's order" in caplog.text


async def test_index_on_a_varchar_status_is_recognised(engine: AsyncEngine, caplog: Any) -> None:
    class Lead(fresh_base(), queue_columns("Crm_")):  # type: ignore[misc]
        __tablename__ = "Leads"
        __table_args__ = queue_indexes("Leads", status="Crm_status", order=["rank DESC"])
        id: Mapped[int] = mapped_column(primary_key=True)
        rank: Mapped[int]
        Crm_status: Mapped[str | None] = mapped_column(sa.String(20))

    async with engine.begin() as connection:
        await connection.run_sync(Lead.metadata.create_all)
    queue = JobQueue(Lead, TEXT, status_field_name="Crm_status", order_by=[sa.desc(Lead.rank)])

    await JobLoop(queue, each(complete), session_factory=async_sessionmaker(engine)).run_once()

    assert caplog.text == ""


async def test_complete_indexes_raise_no_warning(desk: Desk, caplog: Any) -> None:
    caplog.set_level(logging.WARNING)

    await JobLoop(make_queue(), each(complete), session_factory=desk.sessions).run_once()

    assert caplog.text == ""


async def test_small_pool_is_warned_about(engine: AsyncEngine, caplog: Any) -> None:
    async def session_form(row_id: Any, session: Any) -> None: ...

    JobLoop(make_queue(), session_form, session_factory=async_sessionmaker(engine), concurrency=500)

    assert "may want 503 connections at once" in caplog.text


@pytest.mark.parametrize("way", ["of the engine", "of its options"])
async def test_session_handlers_are_refused_where_nothing_can_be_undone(database_url: str, way: str) -> None:
    async def session_form(row_id: Any, session: Any) -> None: ...

    async def batch_form(rows: list[Any], session: Any) -> dict[Any, Any]:
        return {}

    if way == "of the engine":
        engine = create_async_engine(database_url, isolation_level="AUTOCOMMIT")
    else:
        engine = create_async_engine(database_url).execution_options(isolation_level="AUTOCOMMIT")
    sessions = async_sessionmaker(engine)
    for handler in (session_form, each(session_form, session=True), batch(batch_form, session=True)):
        with pytest.raises(QueueDeclarationError, match="AUTOCOMMIT"):
            JobLoop(make_queue(), handler, session_factory=sessions)
    JobLoop(make_queue(), each(complete), session_factory=sessions)
    await engine.dispose()


class TestOtherShapes:
    """Keys and statuses of other types than uuid and enum."""

    async def test_composite_text_key_in_a_schema_with_text_statuses(self, engine: AsyncEngine) -> None:
        class Line(fresh_base(), queue_columns("erp_")):  # type: ignore[misc]
            __tablename__ = "order lines"
            __table_args__ = (
                *queue_indexes("order lines", status="erp_status"),
                {"schema": "sales"},
            )
            shop: Mapped[str] = mapped_column(primary_key=True)
            line: Mapped[int] = mapped_column(primary_key=True)
            erp_status: Mapped[str | None]

        async with engine.begin() as connection:
            await connection.execute(sa.text("CREATE SCHEMA sales"))
            await connection.run_sync(Line.metadata.create_all)
            await connection.execute(
                sa.insert(Line), [{"shop": f"it's {i}", "line": i, "erp_status": "Queued"} for i in range(5)]
            )
        seen = []

        async def sync(row: Any) -> Complete:
            seen.append((row.shop, row.line))
            return Complete()

        queue = JobQueue(Line, TEXT, status_field_name="erp_status", lease=timedelta(minutes=1))
        report = await JobLoop(queue, each(sync), session_factory=async_sessionmaker(engine), concurrency=1).run_once()

        assert report.completed == 5
        assert seen == [(f"it's {i}", i) for i in range(5)]

    async def test_enum_whose_labels_are_its_values(self, engine: AsyncEngine) -> None:
        class Job(fresh_base(), queue_columns("")):  # type: ignore[misc]
            __tablename__ = "jobs"
            id: Mapped[UUID] = mapped_column(primary_key=True, server_default=sa.text("gen_random_uuid()"))
            status: Mapped[Status] = mapped_column(
                sa.Enum(Status, name="lower", values_callable=lambda enum: [m.value.lower() for m in enum])
            )

        async with engine.begin() as connection:
            await connection.run_sync(Job.metadata.create_all)
            await connection.execute(sa.text("INSERT INTO jobs (status) VALUES ('queued'), ('skipped')"))

        report = await JobLoop(
            JobQueue(Job, STATUSES), each(complete), session_factory=async_sessionmaker(engine)
        ).run_once()

        assert report.completed == 1
