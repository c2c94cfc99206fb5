"""The Alembic operations turn an existing table into a queue, and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

import jobloop.migrations
from jobloop import Complete, JobLoop, JobQueue, Statuses, each, queue_columns, queue_indexes


class Base(DeclarativeBase):
    pass


class Order(Base, queue_columns("billing_")):
    __tablename__ = "orders"
    __table_args__ = queue_indexes("orders", status="billing_status", order=["placed_on", "priority DESC"])

    id: Mapped[int] = mapped_column(primary_key=True)
    placed_on: Mapped[str] = mapped_column(sa.Text)
    priority: Mapped[int]
    billing_status: Mapped[str | None] = mapped_column(sa.Text)


async def migrate(engine: AsyncEngine, *steps: Callable[[Any], None]) -> None:
    def run(connection: sa.Connection) -> None:
        context = MigrationContext.configure(connection)
        operations = Operations(context)
        for step in steps:
            step(operations)

    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.run_sync(run)


async def user_table(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await connection.execute(
            sa.text(
                "CREATE TABLE orders (id int PRIMARY KEY GENERATED ALWAYS AS IDENTITY, placed_on text NOT NULL, "
                "priority int NOT NULL, billing_status text)"
            )
        )
        await connection.execute(
            sa.text("INSERT INTO orders (placed_on, priority) SELECT '2026', i FROM generate_series(1, 10) i")
        )


async def test_existing_table_becomes_a_queue_that_works(engine: AsyncEngine) -> None:
    await user_table(engine)
    await migrate(
        engine,
        lambda op: op.add_queue_columns("orders", status="billing_status"),
        lambda op: op.create_queue_indexes(
            "orders", status="billing_status", order=["placed_on", "priority DESC"], concurrently=True
        ),
    )
    async with engine.begin() as connection:
        await connection.execute(sa.text("UPDATE orders SET billing_status = 'Queued'"))
    seen: list[int] = []

    async def bill(row: Any) -> Complete:
        seen.append(row.priority)
        return Complete()

    queue = JobQueue(
        Order,
        Statuses("Queued", "Processing", "Complete", "Error"),
        status_field_name="billing_status",
        order_by=[Order.placed_on, Order.priority.desc()],
    )
    report = await JobLoop(queue, each(bill), session_factory=async_sessionmaker(engine), concurrency=1).run_once()

    assert report.completed == 10
    assert seen == list(range(10, 0, -1))


async def test_operations_make_what_the_models_say_and_take_it_back(engine: AsyncEngine) -> None:
    from alembic.autogenerate import compare_metadata

    await user_table(engine)

    def difference(connection: sa.Connection) -> list[Any]:
        return compare_metadata(MigrationContext.configure(connection), Base.metadata)

    async def differences() -> list[Any]:
        async with engine.connect() as connection:
            return await connection.run_sync(difference)

    before = await differences()
    await migrate(
        engine,
        lambda op: op.add_queue_columns("orders", status="billing_status"),
        lambda op: op.create_queue_indexes("orders", status="billing_status", order=["placed_on", "priority DESC"]),
    )
    assert await differences() == []
    await migrate(
        engine,
        lambda op: op.drop_queue_indexes("orders", status="billing_status"),
        lambda op: op.drop_queue_columns("orders", status="billing_status"),
    )
    after = await differences()

    assert len(before) == 8
    assert [change[0] for change in after] == [change[0] for change in before]


async def test_notify_trigger_tells_of_fresh_requests_once_a_transaction(engine: AsyncEngine) -> None:
    await user_table(engine)
    await migrate(
        engine,
        lambda op: op.add_queue_columns("orders", status="billing_status"),
        lambda op: op.create_queue_notify_trigger("orders", status="billing_status"),
    )
    heard: list[str] = []
    async with engine.connect() as listening:
        driver = (await listening.get_raw_connection()).driver_connection
        assert driver is not None
        await driver.add_listener("jobloop", lambda *event: heard.append(event[3]))
        async with engine.begin() as connection:
            await connection.execute(sa.text("UPDATE orders SET billing_status = 'Queued'"))
        async with engine.begin() as connection:  # what jobloop's own re-queue looks like
            await connection.execute(
                sa.text("UPDATE orders SET billing_status = 'Queued', billing_next_retry_at = now()")
            )
        await driver.fetchval("SELECT 1")  # notifications come before the answer

    assert heard == ["orders.billing_status"]
    await migrate(engine, lambda op: op.drop_queue_notify_trigger("orders", status="billing_status"))


def test_module_registers_every_operation_it_names() -> None:
    for name in jobloop.migrations.__all__:
        operation = getattr(jobloop.migrations, name)
        assert any(hasattr(Operations, attribute) for attribute in vars(operation)), name
