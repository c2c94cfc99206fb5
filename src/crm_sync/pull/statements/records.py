"""Statements on a mirror: write a page, mark what is missing, take out what is gone."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.sql.dml import ReturningDelete

from crm_sync.pull.statements.parts import any_of_ids, page_of, values_of

NEVER: sa.ColumnElement[Any] = sa.literal_column("'-infinity'::timestamptz")


def upsert_records(table: sa.Table) -> sa.Select[int, int, int]:
    """Write a page, read at :page_read_at, to a mirror: one row back, with the counts inserted, updated and archived.

    What is not newer than the row, or is the same, leaves the row as it is.
    """
    left_out = {"read_at", "missing_since", "synced_at"}
    types = {column.name: column.type for column in table.columns if column.name not in left_out}
    page = page_of(types)
    read_at = sa.bindparam("page_read_at", type_=sa.DateTime(timezone=True))
    statement = insert(table).from_select(
        [*types, "read_at"], sa.select(*values_of(page, types), read_at).select_from(page)
    )
    new = statement.excluded
    changeable = [name for name in types if name != "hubspot_id"]
    is_newer = sa.tuple_(sa.func.coalesce(new.updated_at, NEVER), new.read_at) >= sa.tuple_(
        sa.func.coalesce(table.c.updated_at, NEVER), table.c.read_at
    )
    is_other = sa.or_(
        sa.tuple_(*(table.c[name] for name in changeable)).is_distinct_from(
            sa.tuple_(*(new[name] for name in changeable))
        ),
        table.c.missing_since.is_not(None),
    )
    written = (
        statement.on_conflict_do_update(
            index_elements=[table.c.hubspot_id],
            set_={
                **{name: new[name] for name in (*changeable, "read_at")},
                "missing_since": sa.null(),
                "synced_at": sa.func.now(),
            },
            where=sa.and_(is_newer, is_other),
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
    left_out = {"read_at", "missing_since", "synced_at"}
    types = {column.name: column.type for column in table.columns if column.name not in left_out}
    page = page_of(types)
    read_at = sa.bindparam("page_read_at", type_=sa.DateTime(timezone=True))
    values = dict(zip(types, values_of(page, types), strict=True))
    changeable = [name for name in types if name != "hubspot_id"]
    is_new = table.c.hubspot_id.is_(None)
    is_newer = sa.tuple_(sa.func.coalesce(page.c.updated_at, NEVER), read_at) >= sa.tuple_(
        sa.func.coalesce(table.c.updated_at, NEVER), table.c.read_at
    )
    is_other = sa.or_(
        sa.tuple_(*(table.c[name] for name in changeable)).is_distinct_from(
            sa.tuple_(*(values[name] for name in changeable))
        ),
        table.c.missing_since.is_not(None),
    )
    is_changed = sa.and_(sa.not_(is_new), is_newer, is_other)
    return sa.select(
        sa.func.count().filter(is_new).label("inserted"),
        sa.func.count().filter(is_changed).label("updated"),
        sa.func.count().filter(sa.and_(sa.or_(is_new, is_changed), page.c.archived)).label("archived"),
    ).select_from(page.outerjoin(table, table.c.hubspot_id == page.c.hubspot_id))


def mark_missing(table: sa.Table) -> sa.Update:
    """Mark what a listing should have shown: ids over :after up to :upto that are not among :ids, of the live records
    or (:archived) of the recycle bin, and that were not read since."""
    c = table.c
    read_at = sa.bindparam("page_read_at", type_=sa.DateTime(timezone=True))
    return (
        sa.update(table)
        .where(
            c.hubspot_id > sa.bindparam("after", type_=sa.BigInteger()),
            c.hubspot_id <= sa.bindparam("upto", type_=sa.BigInteger()),
            c.archived == sa.bindparam("of_archived", type_=sa.Boolean()),
            c.missing_since.is_(None),
            c.read_at < read_at,
            c.hubspot_id != sa.func.all(sa.bindparam("ids", type_=ARRAY(sa.BigInteger()))),
        )
        .values(missing_since=read_at)
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
