"""Alembic operations that turn an existing table into a queue. Import this module once, in env.py or the migration.

    op.add_queue_columns("orders", status="billing_status")
    with op.get_context().autocommit_block():
        op.create_queue_indexes("orders", status="billing_status", order=["created_at"])
    op.create_queue_notify_trigger("orders", status="billing_status")

Locks: the columns are nullable or have a constant default, so adding them rewrites nothing and holds ACCESS EXCLUSIVE
for an instant; the indexes are built CONCURRENTLY and block no writer; a trigger takes SHARE ROW EXCLUSIVE for an
instant. Set lock_timeout in env.py, so that none of them queues behind a long transaction and blocks the table.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from alembic.operations import MigrateOperation, Operations

from jobloop.schema import BOOKKEEPING, notify_trigger, prefix_of, queue_indexes, quote


class _QueueOperation(MigrateOperation):
    """A table, its status column, and what else the operation is told."""

    def __init__(self, table: str, *, status: str = "status", schema: str | None = None, **more: Any) -> None:
        self.table = table
        self.status = status
        self.schema = schema
        self.more = more

    @property
    def qualified(self) -> str:
        return f"{quote(self.schema)}.{quote(self.table)}" if self.schema else str(quote(self.table))

    @property
    def trigger(self) -> str:
        return f"{self.table}_{self.status}_wake"


@Operations.register_operation("add_queue_columns")
class AddQueueColumns(_QueueOperation):
    """Add every bookkeeping column of the queue on `status`, named {prefix}{role}."""

    @classmethod
    def add_queue_columns(
        cls, operations: Operations, table: str, *, status: str = "status", schema: str | None = None
    ) -> None:
        operations.invoke(cls(table, status=status, schema=schema))

    def reverse(self) -> DropQueueColumns:
        return DropQueueColumns(self.table, status=self.status, schema=self.schema)


@Operations.register_operation("drop_queue_columns")
class DropQueueColumns(_QueueOperation):
    """Drop what `add_queue_columns` added."""

    @classmethod
    def drop_queue_columns(
        cls, operations: Operations, table: str, *, status: str = "status", schema: str | None = None
    ) -> None:
        operations.invoke(cls(table, status=status, schema=schema))


@Operations.register_operation("create_queue_indexes")
class CreateQueueIndexes(_QueueOperation):
    """Create the two partial indexes, CONCURRENTLY unless told otherwise; arguments as `jobloop.queue_indexes`."""

    @classmethod
    def create_queue_indexes(
        cls,
        operations: Operations,
        table: str,
        *,
        status: str = "status",
        schema: str | None = None,
        queued: str = "Queued",
        processing: str = "Processing",
        next_retry_at: str | None = None,
        order: Sequence[str] = (),
        concurrently: bool = True,
    ) -> None:
        operations.invoke(
            cls(
                table,
                status=status,
                schema=schema,
                queued=queued,
                processing=processing,
                next_retry_at=next_retry_at,
                order=order,
                concurrently=concurrently,
            )
        )


@Operations.register_operation("drop_queue_indexes")
class DropQueueIndexes(_QueueOperation):
    """Drop what `create_queue_indexes` created."""

    @classmethod
    def drop_queue_indexes(
        cls,
        operations: Operations,
        table: str,
        *,
        status: str = "status",
        schema: str | None = None,
        concurrently: bool = True,
    ) -> None:
        operations.invoke(cls(table, status=status, schema=schema, concurrently=concurrently))


@Operations.register_operation("create_queue_notify_trigger")
class CreateQueueNotifyTrigger(_QueueOperation):
    """Let an enqueue wake listening workers: NOTIFY on channel `jobloop`, payload "{table}.{status column}".

    Optional: without it workers poll. PostgreSQL takes a global lock at the commit of a transaction that notified.
    """

    @classmethod
    def create_queue_notify_trigger(
        cls,
        operations: Operations,
        table: str,
        *,
        status: str = "status",
        schema: str | None = None,
        queued: str = "Queued",
        next_retry_at: str | None = None,
    ) -> None:
        operations.invoke(cls(table, status=status, schema=schema, queued=queued, next_retry_at=next_retry_at))


@Operations.register_operation("drop_queue_notify_trigger")
class DropQueueNotifyTrigger(_QueueOperation):
    """Drop what `create_queue_notify_trigger` created."""

    @classmethod
    def drop_queue_notify_trigger(
        cls, operations: Operations, table: str, *, status: str = "status", schema: str | None = None
    ) -> None:
        operations.invoke(cls(table, status=status, schema=schema))


@Operations.implementation_for(AddQueueColumns)
def _add_columns(operations: Operations, operation: AddQueueColumns) -> None:
    prefix = prefix_of(operation.status)
    for spec in BOOKKEEPING.values():
        operations.add_column(operation.table, spec.column(f"{prefix}{spec.role}"), schema=operation.schema)


@Operations.implementation_for(DropQueueColumns)
def _drop_columns(operations: Operations, operation: DropQueueColumns) -> None:
    prefix = prefix_of(operation.status)
    for role in BOOKKEEPING:
        operations.drop_column(operation.table, f"{prefix}{role}", schema=operation.schema)


@Operations.implementation_for(CreateQueueIndexes)
def _create_indexes(operations: Operations, operation: CreateQueueIndexes) -> None:
    arguments = dict(operation.more)
    concurrently = arguments.pop("concurrently")
    for index in queue_indexes(operation.table, status=operation.status, **arguments):
        operations.create_index(
            index.name,
            operation.table,
            list(index.expressions),
            schema=operation.schema,
            if_not_exists=True,
            postgresql_where=index.dialect_options["postgresql"]["where"],
            postgresql_concurrently=concurrently,
        )


@Operations.implementation_for(DropQueueIndexes)
def _drop_indexes(operations: Operations, operation: DropQueueIndexes) -> None:
    for index in queue_indexes(operation.table, status=operation.status):
        operations.drop_index(
            str(index.name),
            operation.table,
            schema=operation.schema,
            if_exists=True,
            postgresql_concurrently=operation.more["concurrently"],
        )


@Operations.implementation_for(CreateQueueNotifyTrigger)
def _create_trigger(operations: Operations, operation: CreateQueueNotifyTrigger) -> None:
    for statement in notify_trigger(
        operation.table, status=operation.status, schema=operation.schema, **operation.more
    ):
        operations.execute(statement)


@Operations.implementation_for(DropQueueNotifyTrigger)
def _drop_trigger(operations: Operations, operation: DropQueueNotifyTrigger) -> None:
    operations.execute(f"DROP TRIGGER IF EXISTS {quote(operation.trigger)} ON {operation.qualified}")
    operations.execute(
        "DO $$ BEGIN DROP FUNCTION IF EXISTS jobloop_wake(); "
        "EXCEPTION WHEN dependent_objects_still_exist THEN NULL; END $$"  # another table's trigger uses it
    )


__all__ = [
    "AddQueueColumns",
    "CreateQueueIndexes",
    "CreateQueueNotifyTrigger",
    "DropQueueColumns",
    "DropQueueIndexes",
    "DropQueueNotifyTrigger",
]
