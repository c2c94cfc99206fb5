"""What a table needs to be a queue: the columns, as a mixin, and the partial indexes.

The Alembic operations that create the same things on an existing table are in `jobloop.migrations`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.orm import declared_attr

from jobloop.errors import QueueDeclarationError

#: An identifier as PostgreSQL needs it: quoted only where it must be, and no % of it doubled.
quote = PGDialect_asyncpg().identifier_preparer.quote  # type: ignore[no-untyped-call]

#: A fresh request has no next_retry_at; this stands for it in the index, and sorts before every due retry.
NEVER = "'-infinity'::timestamptz"


@dataclass(frozen=True, slots=True)
class Bookkeeping:
    """One column that jobloop writes: its role, its type and how a migration adds it."""

    role: str
    type_: sa.types.TypeEngine[Any]
    source: str
    counter: bool = False
    aliases: tuple[str, ...] = ()

    def names(self, prefix: str) -> tuple[str, ...]:
        """The column names that play this role, first match wins."""
        roles = (*self.aliases, self.role)
        return tuple(dict.fromkeys([f"{prefix}{role}" for role in roles] + list(roles)))

    def column(self, name: str) -> sa.Column[Any]:
        """A new column; counters are not null and start at 0, so adding one rewrites no row."""
        if self.counter:
            return sa.Column(name, self.type_, nullable=False, default=0, server_default=sa.text("0"))
        return sa.Column(name, self.type_, nullable=True)

    def migration(self, table: sa.Table, prefix: str, name: str | None) -> str:
        """The Alembic line that adds the column."""
        rest = "nullable=False, server_default='0'" if self.counter else "nullable=True"
        schema = f", schema={table.schema!r}" if table.schema else ""
        column = name or f"{prefix}{self.role}"
        return f"op.add_column({table.name!r}, sa.Column({column!r}, {self.source}, {rest}){schema})"

    def check(self, table: str, column: sa.Column[Any]) -> None:
        """Raise `QueueDeclarationError` if `column` cannot hold what this role needs."""
        if isinstance(self.type_, sa.DateTime) and not getattr(column.type, "timezone", True):
            raise QueueDeclarationError(
                f"{table}.{column.name} must be timestamptz: map it with DateTime(timezone=True)"
            )
        if self.counter and column.nullable:
            raise QueueDeclarationError(f"{table}.{column.name} must be NOT NULL with a default of 0")


#: The columns beside the status, by role. Nothing but jobloop writes them.
BOOKKEEPING: dict[str, Bookkeeping] = {
    spec.role: spec
    for spec in (
        Bookkeeping("error", sa.Text(), "sa.Text()", aliases=("processing_error",)),
        Bookkeeping("retry_count", sa.Integer(), "sa.Integer()", counter=True),
        Bookkeeping("next_retry_at", sa.DateTime(timezone=True), "sa.DateTime(timezone=True)"),
        Bookkeeping("claim_token", sa.Uuid(), "sa.Uuid()"),
        Bookkeeping("lease_expires_at", sa.DateTime(timezone=True), "sa.DateTime(timezone=True)"),
        Bookkeeping("rescue_count", sa.Integer(), "sa.Integer()", counter=True),
    )
}


def prefix_of(status_field_name: str) -> str:
    """The prefix shared by a queue's columns: "hubspot_" of "hubspot_processing_status", "" of "status"."""
    for suffix in ("processing_status", "status"):
        if status_field_name.endswith(suffix):
            return status_field_name.removesuffix(suffix)
    return f"{status_field_name}_"


def queue_columns(prefix: str = "") -> type[Any]:
    """A mixin that adds a queue's columns to a declarative model, each named {prefix}{role}.

    The status column itself is the user's own and is not added:

        class Order(Base, queue_columns("billing_")):
            __tablename__ = "orders"
            id: Mapped[int] = mapped_column(primary_key=True)
            billing_status: Mapped[BillingStatus | None]
    """

    def attribute(spec: Bookkeeping, name: str) -> Any:
        return declared_attr(lambda cls: spec.column(name))

    names = {f"{prefix}{spec.role}": spec for spec in BOOKKEEPING.values()}
    return type(
        f"{prefix.title().replace('_', '')}QueueColumns",
        (),
        {name: attribute(spec, name) for name, spec in names.items()},
    )


def queue_indexes(
    table: str,
    *,
    status: str = "status",
    queued: str = "Queued",
    processing: str = "Processing",
    next_retry_at: str | None = None,
    order: Sequence[str] = (),
) -> tuple[sa.Index, sa.Index]:
    """The two partial indexes of a queue, for `__table_args__` or a migration.

    The first serves the claim: fresh rows in the queue's order, then due retries. The second serves the rescue.
    `order` is what the queue declares as `order_by`: column names, or SQL such as "priority DESC". No index names the
    token or the lease, so a lease renewal stays a heap-only update. Nor the primary key: entries that are equal stand
    in the order of the table, close together, where random keys are spread over the whole index.
    """
    prefix = prefix_of(status)
    retry_at = next_retry_at or f"{prefix}next_retry_at"
    stem = f"ix_{table}_{prefix}"

    def is_status(label: str) -> sa.TextClause:
        escaped = label.replace("'", "''")
        return sa.text(f"{quote(status)} = '{escaped}'")

    due = sa.text(f"coalesce({quote(retry_at)}, {NEVER})")
    ordered = [sa.text(term) if " " in term else term for term in order]
    return (
        sa.Index(f"{stem}due", due, *ordered, postgresql_where=is_status(queued)),
        sa.Index(f"{stem}processing", status, postgresql_where=is_status(processing)),
    )


def notify_trigger(
    table: str,
    *,
    status: str = "status",
    schema: str | None = None,
    queued: str = "Queued",
    next_retry_at: str | None = None,
) -> tuple[str, str]:
    """The DDL that lets an enqueue wake listening workers: a function, and the trigger that calls it.

    It notifies channel `jobloop` with payload "{table}.{status column}". Rows that jobloop itself re-queues have a
    next_retry_at and wake nobody. Equal payloads of one transaction are delivered once, so a bulk enqueue is one
    notification. Optional: PostgreSQL takes a global lock at the commit of a transaction that notified.
    """
    retry_at = quote(next_retry_at or f"{prefix_of(status)}next_retry_at")
    label, payload = (text.replace("'", "''") for text in (queued, f"{table}.{status}"))
    on = f"{quote(schema)}.{quote(table)}" if schema else quote(table)
    function = (
        "CREATE OR REPLACE FUNCTION jobloop_wake() RETURNS trigger LANGUAGE plpgsql AS $$ "
        "BEGIN PERFORM pg_notify('jobloop', TG_ARGV[0]); RETURN NULL; END $$"
    )
    trigger = (
        f"CREATE TRIGGER {quote(f'{table}_{status}_wake')} AFTER INSERT OR UPDATE OF {quote(status)} ON {on} "
        f"FOR EACH ROW WHEN (NEW.{quote(status)} = '{label}' AND NEW.{retry_at} IS NULL) "
        f"EXECUTE FUNCTION jobloop_wake('{payload}')"
    )
    return function, trigger


def notify_on_enqueue(
    model: type[Any], *, status: str = "status", queued: str = "Queued", next_retry_at: str | None = None
) -> None:
    """Let `metadata.create_all` create the trigger with the model's table; an existing table is migrated."""
    table: sa.Table = model.__table__
    for statement in notify_trigger(
        table.name, status=status, schema=table.schema, queued=queued, next_retry_at=next_retry_at
    ):
        ddl = sa.DDL(statement.replace("%", "%%"))  # type: ignore[no-untyped-call]
        sa.event.listen(table, "after_create", ddl)
