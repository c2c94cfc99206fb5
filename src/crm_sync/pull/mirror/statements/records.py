"""Statements on a mirror: write a page, mark what is missing, take out what is gone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.sql.dml import ReturningDelete

from crm_sync.pull.mirror.statements.parts import any_of_ids, page_of, values_of

NEVER: sa.ColumnElement[Any] = sa.literal_column("'-infinity'::timestamptz")
_READ_AT = sa.bindparam("page_read_at", type_=sa.DateTime(timezone=True))


def upsert_records(table: sa.Table) -> sa.Select[int, int, int]:
    """Write a page, read at :page_read_at, to a mirror: one row back, with the counts inserted, updated and archived.

    What is not newer than the row, or is the same, leaves the row as it is.
    """
    types = _written(table)
    page = page_of(types)
    statement = insert(table).from_select(
        [*types, "read_at"], sa.select(*values_of(page, types), _READ_AT).select_from(page)
    )
    new = statement.excluded
    written = (
        statement.on_conflict_do_update(
            index_elements=[table.c.hubspot_id],
            set_={
                **{name: new[name] for name in (*types, "read_at") if name != "hubspot_id"},
                "missing_since": sa.null(),
                "synced_at": sa.func.now(),
            },
            where=_replaces(table, {name: new[name] for name in types}, new.read_at),
        )
        .returning(sa.literal_column("xmax = 0", sa.Boolean()).label("is_new"), table.c.archived)
        .cte("written")
    )
    return sa.select(
        sa.func.count().filter(written.c.is_new).label("inserted"),
        sa.func.count().filter(sa.not_(written.c.is_new)).label("updated"),
        sa.func.count().filter(written.c.archived).label("archived"),
    ).select_from(written)


def compare_records(table: sa.Table) -> sa.Select[int, int, int]:
    """What `upsert_records` would count, without writing."""
    types = _written(table)
    page = page_of(types)
    values = dict(zip(types, values_of(page, types), strict=True))
    is_new = table.c.hubspot_id.is_(None)
    is_changed = sa.and_(sa.not_(is_new), _replaces(table, values, _READ_AT))
    return sa.select(
        sa.func.count().filter(is_new).label("inserted"),
        sa.func.count().filter(is_changed).label("updated"),
        sa.func.count().filter(sa.and_(sa.or_(is_new, is_changed), page.c.archived)).label("archived"),
    ).select_from(page.outerjoin(table, table.c.hubspot_id == page.c.hubspot_id))


def _written(table: sa.Table) -> dict[str, sa.types.TypeEngine[Any]]:
    """The columns that a page brings, by name."""
    left_out = {"read_at", "missing_since", "synced_at"}
    return {column.name: column.type for column in table.columns if column.name not in left_out}


def _replaces(
    table: sa.Table, new: Mapping[str, sa.ColumnElement[Any]], read_at: sa.ColumnElement[Any]
) -> sa.ColumnElement[bool]:
    """Whether the new values are newer than the row, and not the same."""
    c = table.c
    is_newer = sa.tuple_(sa.func.coalesce(new["updated_at"], NEVER), read_at) >= sa.tuple_(
        sa.func.coalesce(c.updated_at, NEVER), c.read_at
    )
    names = [name for name in new if name != "hubspot_id"]
    is_other = sa.tuple_(*(c[name] for name in names)).is_distinct_from(sa.tuple_(*(new[name] for name in names)))
    return sa.and_(is_newer, sa.or_(is_other, c.missing_since.is_not(None)))


def mark_missing(table: sa.Table) -> sa.Update:
    """Mark what a listing should have shown: ids over :after up to :upto that are not among :ids, of the live records
    or (:archived) of the recycle bin, and that were not read since."""
    c = table.c
    return (
        sa.update(table)
        .where(
            c.hubspot_id > sa.bindparam("after", type_=sa.BigInteger()),
            c.hubspot_id <= sa.bindparam("upto", type_=sa.BigInteger()),
            c.archived == sa.bindparam("of_archived", type_=sa.Boolean()),
            c.missing_since.is_(None),
            c.read_at < _READ_AT,
            c.hubspot_id != sa.func.all(sa.bindparam("ids", type_=ARRAY(sa.BigInteger()))),
        )
        .values(missing_since=_READ_AT)
    )


def missing_ids(table: sa.Table) -> sa.Select[Any]:
    """Up to :most ids over :after that are marked, ascending."""
    c = table.c
    return (
        sa.select(c.hubspot_id)
        .where(c.missing_since.is_not(None), c.hubspot_id > sa.bindparam("after", type_=sa.BigInteger()))
        .order_by(c.hubspot_id)
        .limit(sa.bindparam("most", type_=sa.Integer()))
    )


def live_ids(table: sa.Table) -> sa.Select[Any]:
    """Up to :most ids over :after of records that are not archived, ascending."""
    c = table.c
    return (
        sa.select(c.hubspot_id)
        .where(sa.not_(c.archived), c.hubspot_id > sa.bindparam("after", type_=sa.BigInteger()))
        .order_by(c.hubspot_id)
        .limit(sa.bindparam("most", type_=sa.Integer()))
    )


def drop_records(table: sa.Table) -> ReturningDelete[Any]:
    """Take :ids out of a mirror; returns those that it had."""
    return sa.delete(table).where(table.c.hubspot_id == any_of_ids()).returning(table.c.hubspot_id)
