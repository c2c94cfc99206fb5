"""What several statements share. Columns are compared, locked and updated the same way everywhere."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from jobloop.queue import JobQueue
from jobloop.schema import NEVER as _NEVER_TEXT
from jobloop.status import Role

#: The time of the statement's start: for predicates, because it can bound an index scan.
NOW = sa.func.statement_timestamp()
#: The time of evaluation: for values written.
CLOCK = sa.func.clock_timestamp()
NEVER: sa.ColumnElement[Any] = sa.literal_column(_NEVER_TEXT, sa.DateTime(timezone=True))
_ONE_SECOND: sa.ColumnElement[Any] = sa.literal_column("interval '1 second'", sa.Float())


#: Binds of the statements here. SQLAlchemy takes one that is named like a column of the table for its new value.
_BINDS = re.compile(
    "batch_size|retry_share|token|lease_seconds|max_rescues|error|counted|delay_seconds|until|status|(key|value)_[0-9]+"
)


def update(queue: JobQueue, changes: dict[sa.Column[Any], Any]) -> sa.Update:
    """UPDATE of the table that leaves every column not in `changes` as it is, also those with an `onupdate`."""
    untouched = {
        column: column
        for column in queue.table.columns
        if (column.onupdate is not None or _BINDS.fullmatch(column.key)) and column not in changes
    }
    return sa.update(queue.table).values({**untouched, **changes})


def said(queue: JobQueue, **more: sa.types.TypeEngine[Any]) -> sa.TableValuedAlias:
    """The caller's rows, passed as one array bind per column: key_0…, token and whatever else is named.

    A last column, `place`, counts them from 1.
    """
    return _unnested(_said_types(queue, more))


def said_keys(queue: JobQueue) -> sa.TableValuedAlias:
    """`said`, of the keys alone."""
    return _unnested(_key_types(queue))


def array_bind(name: str, type_: sa.types.TypeEngine[Any]) -> sa.BindParameter[Any]:
    """Many values as one bind. One dimension, said so: a list inside would be taken for another one, as JSON may be."""
    return sa.bindparam(name, type_=postgresql.ARRAY(_unlimited(type_), dimensions=1))


def _unnested(types: Mapping[str, Any]) -> sa.TableValuedAlias:
    columns = [sa.column(name, _unlimited(type_)) for name, type_ in types.items()]
    arrays = [array_bind(name, type_) for name, type_ in types.items()]
    unnested = sa.func.unnest(*arrays).table_valued(*columns, with_ordinality="place", name="said")
    return unnested.render_derived()  # said(key_0, token, …, place)


def said_alone(queue: JobQueue, **more: sa.types.TypeEngine[Any]) -> dict[str, sa.BindParameter[Any]]:
    """The caller's only row, passed as one bind per column, with the names of `said`."""
    return {name: sa.bindparam(name, type_=_unlimited(type_)) for name, type_ in _said_types(queue, more).items()}


def _said_types(queue: JobQueue, more: Mapping[str, Any]) -> dict[str, Any]:
    return {**_key_types(queue), "token": sa.Uuid(), **more}


def _key_types(queue: JobQueue) -> dict[str, Any]:
    return {f"key_{i}": column.type for i, column in enumerate(queue.columns.key)}


def goes_alone(column: sa.Column[Any]) -> bool:
    """True if its values cannot be elements of an array bind: arrays, and types that wrap the bind in SQL.

    Also a type of the user's own over a text of limited length, which the cast of an array would cut without a word.
    """
    impl = getattr(column.type, "impl_instance", column.type)
    is_cut = impl is not column.type and isinstance(impl, sa.String) and impl.length is not None
    wraps = column.type.bind_expression(sa.bindparam(None, type_=column.type)) is not None
    return isinstance(impl, sa.ARRAY) or is_cut or wraps


def _unlimited(type_: Any) -> Any:
    """A text type without its length: a cast to varchar(n) cuts what an assignment refuses."""
    is_text = isinstance(type_, sa.String) and not isinstance(type_, sa.Enum)
    return sa.String() if is_text and type_.length is not None else type_


def same_key(key: tuple[sa.Column[Any], ...], other: Any) -> sa.ColumnElement[bool]:
    """Equality of the primary key; `other` has the key first, in the same order."""
    return sa.and_(*(mine == theirs for mine, theirs in zip(key, other.c, strict=False)))


def place_in(table: sa.Table) -> sa.ColumnElement[Any]:
    """Where a row's present version lies, PostgreSQL's `ctid`: the shortest way back to it, within one statement.

    Each partition counts its places from the start, so it is no key by itself.
    """
    place: sa.ColumnClause[Any] = sa.column("ctid")
    place.table = table
    return place


def materialized(cte: sa.CTE) -> sa.CTE:
    return cte.prefix_with("MATERIALIZED", dialect="postgresql")


def seconds(seconds: Any) -> sa.ColumnElement[Any]:
    """`seconds` as an interval."""
    return sa.type_coerce(seconds * _ONE_SECOND, sa.Interval())


def role_text(role: Role) -> sa.ColumnElement[str]:
    """The name of a role as a literal, for a result."""
    return sa.literal_column(f"'{role.value}'", sa.String())


def cut_to(column: sa.Column[Any], value: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    """`value`, no longer than a text column is declared to be: PostgreSQL would refuse more."""
    length = getattr(column.type, "length", None)
    return value if length is None else sa.func.left(value, sa.literal_column(str(int(length))))
