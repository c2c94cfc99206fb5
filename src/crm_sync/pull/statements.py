"""Every SQL statement of the pull, one function each. Pages travel as arrays, one for each column, and are unnested."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, insert
from sqlalchemy.sql.dml import ReturningDelete, ReturningInsert, ReturningUpdate
from sqlalchemy.sql.selectable import TableValuedAlias

from crm_sync.models import SyncCursor, SyncIssue
from crm_sync.models.relations import associations, property_history, removed_records

NEVER: sa.ColumnElement[Any] = sa.literal_column("'-infinity'::timestamptz")


def _page(types: Mapping[str, sa.types.TypeEngine[Any]], name: str = "page") -> TableValuedAlias:
    """Bound arrays as a table. JSON travels as text: it is encoded once, by the transform."""
    arrays = [
        sa.bindparam(column, type_=ARRAY(sa.Text() if isinstance(type_, JSONB) else type_))
        for column, type_ in types.items()
    ]
    columns = [sa.column(column, type_) for column, type_ in types.items()]
    return sa.func.unnest(*arrays).table_valued(*columns).render_derived(name=name)


def _values(page: TableValuedAlias, types: Mapping[str, sa.types.TypeEngine[Any]]) -> list[sa.ColumnElement[Any]]:
    return [
        sa.cast(sa.type_coerce(page.c[column], sa.Text()), JSONB) if isinstance(type_, JSONB) else page.c[column]
        for column, type_ in types.items()
    ]


def upsert_records(table: sa.Table) -> sa.Select[int, int, int]:
    """Write a page, read at :page_read_at, to a mirror: one row back, with the counts inserted, updated and archived.

    What is not newer than the row, or is the same, leaves the row as it is.
    """
    left_out = {"read_at", "missing_since", "synced_at"}
    types = {column.name: column.type for column in table.columns if column.name not in left_out}
    page = _page(types)
    read_at = sa.bindparam("page_read_at", type_=sa.DateTime(timezone=True))
    statement = insert(table).from_select(
        [*types, "read_at"], sa.select(*_values(page, types), read_at).select_from(page)
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
    page = _page(types)
    read_at = sa.bindparam("page_read_at", type_=sa.DateTime(timezone=True))
    values = dict(zip(types, _values(page, types), strict=True))
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


def note_removed() -> ReturningInsert[Any]:
    """Remember :hubspot_id records of :object_type as gone, into :merged_into; returns the ids that this is news of."""
    types = {"hubspot_id": removed_records.c.hubspot_id.type, "merged_into": removed_records.c.merged_into.type}
    page = _page(types)
    object_type = sa.bindparam("object_type", type_=sa.Text())
    statement = insert(removed_records).from_select(
        ["object_type", *types], sa.select(object_type, page.c.hubspot_id, page.c.merged_into).select_from(page)
    )
    new = statement.excluded
    return statement.on_conflict_do_update(
        index_elements=["object_type", "hubspot_id"],
        set_={"merged_into": new.merged_into, "noticed_at": sa.func.now()},
        where=sa.and_(new.merged_into.is_not(None), removed_records.c.merged_into.is_distinct_from(new.merged_into)),
    ).returning(removed_records.c.hubspot_id)


def forget_removed() -> sa.Delete:
    """Records :ids of :object_type are there again, or were never gone."""
    c = removed_records.c
    return sa.delete(removed_records).where(
        c.object_type == sa.bindparam("object_type"), c.hubspot_id == _any_of_ids(), c.merged_into.is_(None)
    )


def merged_among() -> sa.Select[Any]:
    """Those of records :ids of :object_type that are known to be merged into others, and into which."""
    c = removed_records.c
    return sa.select(c.hubspot_id, c.merged_into).where(
        c.object_type == sa.bindparam("object_type"), c.hubspot_id == _any_of_ids(), c.merged_into.is_not(None)
    )


def drop_records(table: sa.Table) -> ReturningDelete[Any]:
    """Take :ids out of a mirror; returns those that it had."""
    return sa.delete(table).where(table.c.hubspot_id == _any_of_ids()).returning(table.c.hubspot_id)


def drop_history() -> sa.Delete:
    c = property_history.c
    return sa.delete(property_history).where(
        c.object_type == sa.bindparam("object_type"), c.hubspot_id == _any_of_ids()
    )


def drop_issues() -> sa.Delete:
    return sa.delete(SyncIssue).where(SyncIssue.stream == sa.bindparam("stream"), SyncIssue.record_id == _any_of_ids())


def drop_associations() -> tuple[sa.Delete, sa.Delete]:
    """Those from, and those to, records :ids of :object_type."""
    c = associations.c
    object_type = sa.bindparam("object_type", type_=sa.Text())
    return (
        sa.delete(associations).where(c.from_type == object_type, c.from_id == _any_of_ids()),
        sa.delete(associations).where(c.to_type == object_type, c.to_id == _any_of_ids()),
    )


def move_associations() -> sa.Insert:
    """What was associated with records that were merged belongs to those that they went into, as it does in HubSpot."""
    c = associations.c
    kept = [column.name for column in associations.columns if column.name not in ("to_id", "synced_at")]
    page = _page({"hubspot_id": c.to_id.type, "merged_into": c.to_id.type})
    moved = sa.select(*(c[name] for name in kept), page.c.merged_into).select_from(
        associations.join(
            page,
            sa.and_(
                c.to_type == sa.bindparam("object_type", type_=sa.Text()),
                c.to_id == page.c.hubspot_id,
                page.c.merged_into.is_not(None),
            ),
        )
    )
    return insert(associations).from_select([*kept, "to_id"], moved).on_conflict_do_nothing()


def replace_associations() -> sa.Select[Any]:
    """Make the associations of :ids of :object_type to :targets those of the page; returns how many were written and
    how many ended."""
    c = associations.c
    keyed = ("from_id", "to_type", "to_id", "category", "type_id")
    types = {name: c[name].type for name in (*keyed, "label")}
    page = _page(types)
    object_type = sa.bindparam("object_type", type_=sa.Text())
    is_wanted = sa.exists().select_from(page).where(*(c[name] == page.c[name] for name in keyed))
    ended = (
        sa.delete(associations)
        .where(
            c.from_type == object_type,
            c.from_id == _any_of_ids(),
            c.to_type == sa.func.any(sa.bindparam("targets", type_=ARRAY(sa.Text()))),
            sa.not_(is_wanted),
        )
        .returning(c.from_id)
        .cte("ended")
    )
    statement = insert(associations).from_select(
        ["from_type", *types], sa.select(object_type, *(page.c[name] for name in types)).select_from(page)
    )
    written = (
        statement.on_conflict_do_update(
            index_elements=["from_type", *keyed],
            set_={"label": statement.excluded.label, "synced_at": sa.func.now()},
            where=c.label.is_distinct_from(statement.excluded.label),
        )
        .returning(c.from_id)
        .cte("written")
    )
    return sa.select(
        sa.select(sa.func.count()).select_from(written).scalar_subquery().label("written"),
        sa.select(sa.func.count()).select_from(ended).scalar_subquery().label("ended"),
    )


def insert_history() -> sa.Insert:
    names = ("hubspot_id", "property", "changed_at", "position", "value", "source_type", "source_id")
    types = {name: property_history.c[name].type for name in names}
    page = _page(types)
    object_type = sa.bindparam("object_type", type_=sa.Text())
    return insert(property_history).from_select(
        ["object_type", *names], sa.select(object_type, *(page.c[name] for name in names)).select_from(page)
    )


def insert_issues() -> sa.Insert:
    names = ("record_id", "property", "value", "reason")
    table = SyncIssue.__table__
    page = _page({name: table.c[name].type for name in names})
    stream = sa.bindparam("stream", type_=sa.Text())
    statement = insert(SyncIssue).from_select(
        ["stream", *names], sa.select(stream, *(page.c[name] for name in names)).select_from(page)
    )
    new = statement.excluded  # of a record that was taken out of the mirror by hand
    return statement.on_conflict_do_update(
        index_elements=["stream", "record_id", "property"],
        set_={"value": new.value, "reason": new.reason, "noticed_at": sa.func.now()},
    )


def take_cursor() -> ReturningInsert[Any]:
    """Hold :stream for :holder during :seconds, unless another holds it; returns the cursor, or no row."""
    held_until = sa.func.clock_timestamp() + seconds(sa.bindparam("seconds", type_=sa.Float()))
    statement = insert(SyncCursor).values(
        stream=sa.bindparam("stream"), holder=sa.bindparam("holder", type_=sa.Uuid()), held_until=held_until
    )
    return statement.on_conflict_do_update(
        index_elements=["stream"],
        set_={"holder": statement.excluded.holder, "held_until": statement.excluded.held_until},
        where=sa.or_(SyncCursor.holder.is_(None), SyncCursor.held_until < sa.func.statement_timestamp()),
    ).returning(*SyncCursor.__table__.columns, _timed_out())


def hold_cursor(changes: Sequence[str] = ()) -> ReturningUpdate[Any]:
    """Hold :of_stream for :seconds more, and set what `changes` name; no row where :of_holder holds it no more.

    The row is locked until the transaction ends, and a process frozen in the midst of it would keep the stream for
    ever. So it is with taking it and letting it go: PostgreSQL ends what says nothing for as long as the hold.
    """
    table = SyncCursor.__table__
    return (
        sa.update(SyncCursor)
        .where(
            SyncCursor.stream == sa.bindparam("of_stream"),
            SyncCursor.holder == sa.bindparam("of_holder", type_=sa.Uuid()),
        )
        .values(
            held_until=sa.func.clock_timestamp() + seconds(sa.bindparam("seconds", type_=sa.Float())),
            updated_at=sa.func.now(),
            **{name: sa.bindparam(f"new_{name}", type_=table.c[name].type) for name in changes},
        )
        .returning(_timed_out())
    )


def release_cursor() -> ReturningUpdate[Any]:
    return (
        sa.update(SyncCursor)
        .where(
            SyncCursor.stream == sa.bindparam("of_stream"),
            SyncCursor.holder == sa.bindparam("of_holder", type_=sa.Uuid()),
        )
        .values(holder=sa.null(), held_until=sa.null())
        .returning(_timed_out())
    )


def _timed_out() -> sa.ColumnElement[Any]:
    """Set, for this transaction, the timeouts that this server has; `transaction_timeout` came with PostgreSQL 17.

    A client that is frozen between two statements leaves its transaction idle; within one, whose parameters the server
    waits for, it leaves a statement that does not end.
    """
    name = sa.column("name", sa.Text())
    timeout_ms = sa.bindparam("timeout_ms", type_=sa.Text())
    return (
        sa.select(sa.func.count(sa.func.set_config(name, timeout_ms, sa.true())))
        .select_from(sa.table("pg_settings"))
        .where(name.in_(("idle_in_transaction_session_timeout", "statement_timeout", "transaction_timeout")))
        .scalar_subquery()
        .label("timeouts")
    )


def seconds(value: sa.ColumnElement[float]) -> sa.ColumnElement[Any]:
    return sa.func.make_interval(0, 0, 0, 0, 0, 0, value)


def _any_of_ids() -> sa.ColumnElement[Any]:
    return sa.func.any(sa.bindparam("ids", type_=ARRAY(sa.BigInteger())))
