"""JobQueue: the declaration of one status column as a queue."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapper

from jobloop.errors import MissingColumn, QueueDeclarationError, SharedColumn
from jobloop.retry import RetryPolicy
from jobloop.schema import BOOKKEEPING, prefix_of
from jobloop.status import Role, Statuses

#: Roles of columns that a handler's row is made without, unless the queue's `columns` name them: they are the queue's
#: own, and each costs the server and the driver time. A handler that writes to the row only while it is its own, at any
#: moment of its work, names the token.
UNREAD = ("next_retry_at", "claim_token", "lease_expires_at", "rescue_count")


@dataclass(frozen=True, slots=True)
class QueueColumns:
    """The column of the table that plays each role."""

    key: tuple[sa.Column[Any], ...]
    status: sa.Column[Any]
    error: sa.Column[Any]
    retry_count: sa.Column[Any]
    next_retry_at: sa.Column[Any]
    claim_token: sa.Column[Any]
    lease_expires_at: sa.Column[Any]
    rescue_count: sa.Column[Any]
    decision: sa.Column[Any] | None


class JobQueue:
    """A status column on a mapped table, declared as a durable queue.

    model                 the mapped class whose table is the queue; any primary key, single or composite
    statuses              the user's own value for each of the four roles
    status_field_name     attribute of the status column; its prefix ("hubspot_" of "hubspot_processing_status") finds
                          the other columns: each role is looked up as {prefix}{role}, then {role}
    error_field_name      attribute of the error column; None: looked up like the others
    decision_field_name   a second status column that shows the user's decision and follows this queue to Complete
                          and to Error, in the same statement; None: there is none
    order_by              what to claim first among fresh rows; needs an index (`jobloop.schema.queue_indexes`). Rows
                          that it does not tell apart, all of them without one, are claimed as the table has them
    filters               SQL conditions that a row must meet to be claimed
    retry                 when a failed attempt is tried again
    lease                 how long a claim lives without renewal; renewed every third of it
    max_rescues           a row whose worker was lost this many times goes to Error
    pauses                the table of `jobloop.pause.pauses_table`; None: this queue cannot be paused
    columns               attributes that the handler's rows carry; None: all of the model but `UNREAD`. What an entity
                          lacks raises `DetachedInstanceError`, also from the repr of a mapped dataclass that shows it
    name                  for logs and metrics; None: "{table}.{status column}"

    Raises `MissingColumn` (with the migration line), `SharedColumn` or `QueueDeclarationError`.
    """

    def __init__(
        self,
        model: type[Any],
        statuses: Statuses,
        *,
        status_field_name: str = "status",
        error_field_name: str | None = None,
        decision_field_name: str | None = None,
        order_by: Sequence[Any] = (),
        filters: Sequence[Any] = (),
        retry: RetryPolicy | None = None,
        lease: timedelta = timedelta(minutes=5),
        max_rescues: int = 3,
        pauses: sa.Table | None = None,
        columns: Sequence[str] | None = None,
        name: str | None = None,
    ) -> None:
        if lease <= timedelta(0):
            raise QueueDeclarationError(f"lease must be longer than nothing, got {lease}")
        if max_rescues < 1:
            raise QueueDeclarationError(f"max_rescues must be 1 or more, got {max_rescues}")
        self.model = model
        self.mapper: Mapper[Any] = sa.inspect(model)
        table = self.mapper.local_table
        if not isinstance(table, sa.Table):
            raise QueueDeclarationError(f"{model.__name__} is not mapped to a table")
        self.table: sa.Table = table
        found = self.mapper.columns.get(status_field_name)
        if found is not None and found.table is not table:
            raise QueueDeclarationError(
                f"{model.__name__} is joined from several tables and its {status_field_name!r} is not in its own, "
                f"{table.name!r}: declare the queue on the class of table {found.table}"
            )
        self.statuses = statuses
        self.status_field_name = status_field_name
        self.prefix = prefix_of(status_field_name)
        self.columns = self._find_columns(error_field_name, decision_field_name)
        self.order_by = tuple(order_by)
        self.filters = (*filters, *_subclass_filter(self.mapper))
        self.retry = retry or RetryPolicy()
        self.lease = lease
        self.max_rescues = max_rescues
        self.pauses = pauses
        self.row_columns: Mapping[str, sa.Column[Any]] = self._row_columns(columns)
        self.name = name or f"{table.fullname}.{self.columns.status.name}"
        for role in Role:
            self.literal(role)
        self._refuse_shared_columns()

    def __repr__(self) -> str:
        return f"<JobQueue {self.name}>"

    def literal(self, role: Role, column: sa.Column[Any] | None = None) -> sa.ColumnElement[Any]:
        """The status value of a role as a literal in the SQL text, typed like `column` (default: the status).

        A literal and not a bind, because a generic plan cannot match `status = $1` to a partial index.
        """
        target = self.columns.status if column is None else column
        value = self.statuses[role]
        if isinstance(target.type, sa.Enum):
            label = _label(value, target.type)
            if label not in target.type.enums:
                known = ", ".join(target.type.enums)
                raise QueueDeclarationError(f"{value!r} is not a value of column {target.name!r} (one of {known})")
        else:
            label = str(value.value if isinstance(value, enum.Enum) else value)
        quoted = label.replace("'", "''")
        return sa.literal_column(f"'{quoted}'", target.type)

    def key_of(self, row: Any) -> Any:
        """The primary key in `row`, a sequence that begins with its columns: the value, or a tuple if composite."""
        width = len(self.columns.key)
        return row[0] if width == 1 else tuple(row[:width])

    def key_values(self, key: Any) -> tuple[Any, ...]:
        """`key` as one value per primary-key column."""
        return (key,) if len(self.columns.key) == 1 else tuple(key)

    def column_named(self, attribute: str) -> sa.Column[Any]:
        """The column behind an attribute of the model; raises `QueueDeclarationError` if there is none."""
        column = self._lookup(attribute)
        if column is None:
            raise QueueDeclarationError(f"{self.model.__name__} has no column {attribute!r}")
        return column

    def value_column(self, attribute: str) -> sa.Column[Any]:
        """The column behind an attribute that a handler may write; raises `QueueDeclarationError` if it may not."""
        column = self.column_named(attribute)
        if column in (*self.columns.key, *(getattr(self.columns, role) for role in ("status", *BOOKKEEPING))):
            raise QueueDeclarationError(
                f"Complete(values=…) must not write {attribute!r}: it is the queue's own, or a key"
            )
        return column

    # -- reading the model ------------------------------------------------------------------------------------------

    def _lookup(self, attribute: str) -> sa.Column[Any] | None:
        column = self.mapper.columns.get(attribute)
        if column is None:
            column = self.table.columns.get(attribute)
        return column if isinstance(column, sa.Column) and column.table is self.table else None

    def _find(self, role: str, attribute: str | None = None) -> sa.Column[Any]:
        candidates = (attribute,) if attribute else BOOKKEEPING[role].names(self.prefix)
        for candidate in candidates:
            column = self._lookup(candidate)
            if column is not None:
                BOOKKEEPING[role].check(self.table.name, column)
                return column
        spec = BOOKKEEPING[role]
        raise MissingColumn(self.model.__name__, role, candidates, spec.migration(self.table, self.prefix, attribute))

    def _find_columns(self, error_field_name: str | None, decision_field_name: str | None) -> QueueColumns:
        status = self._lookup(self.status_field_name)
        if status is None:
            raise MissingColumn(
                self.model.__name__,
                "status",
                (self.status_field_name,),
                f"op.add_column({self.table.name!r}, sa.Column({self.status_field_name!r}, <your enum>))",
            )
        return QueueColumns(
            key=tuple(self.table.primary_key.columns),
            status=status,
            error=self._find("error", error_field_name),
            retry_count=self._find("retry_count"),
            next_retry_at=self._find("next_retry_at"),
            claim_token=self._find("claim_token"),
            lease_expires_at=self._find("lease_expires_at"),
            rescue_count=self._find("rescue_count"),
            decision=self.column_named(decision_field_name) if decision_field_name else None,
        )

    def _row_columns(self, wanted: Sequence[str] | None) -> dict[str, sa.Column[Any]]:
        if wanted is not None:
            return {name: self.column_named(name) for name in wanted}
        unread = [getattr(self.columns, role) for role in UNREAD]
        return {
            name: column
            for name, column in self.mapper.columns.items()
            if isinstance(column, sa.Column) and column.table is self.table and column not in unread
        }

    def _refuse_shared_columns(self) -> None:
        """Two status columns on one table must not share bookkeeping; the same one may be declared many times."""
        declared: dict[str, dict[str, str]] = self.table.info.setdefault("jobloop_columns", {})
        mine = {getattr(self.columns, role).name: role for role in BOOKKEEPING}
        for other, theirs in declared.items():
            if other == self.columns.status.name:
                continue
            for column, role in mine.items():
                if column in theirs:
                    raise SharedColumn(self.table.fullname, column, role, (other, self.columns.status.name))
        declared[self.columns.status.name] = mine


def _label(value: Any, type_: sa.Enum) -> str:
    """The label under which an enum column stores `value`: a member of its own enum, of another one, or a label."""
    if type_.enum_class is not None and isinstance(value, type_.enum_class):
        return dict(zip(type_.enum_class, type_.enums, strict=False))[value]
    return str(value.value if isinstance(value, enum.Enum) else value)


def _subclass_filter(mapper: Mapper[Any]) -> list[sa.ColumnElement[bool]]:
    """A class mapped into its parent's table owns only the rows with its discriminator."""
    if not mapper.single or mapper.polymorphic_on is None:
        return []
    return [mapper.polymorphic_on.in_([each.polymorphic_identity for each in mapper.self_and_descendants])]
