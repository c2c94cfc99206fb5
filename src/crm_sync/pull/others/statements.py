"""Every SQL statement on what is no CRM record, one function each. Rows travel as arrays, one for each column."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, distinct_on, insert
from sqlalchemy.sql.dml import ReturningInsert
from sqlalchemy.sql.selectable import Subquery

from crm_sync.models import SyncCursor
from crm_sync.models.marketing import form_submissions
from crm_sync.models.mirror import contacts
from crm_sync.pull.cursor_statements import seconds

#: What the mirror itself decides of a row.
_OWN = frozenset({"synced_at", "contact_id"})


def written_columns(table: sa.Table) -> tuple[str, ...]:
    """The columns that a row of HubSpot's fills."""
    return tuple(column.name for column in table.columns if column.name not in _OWN)


def upsert_rows(table: sa.Table) -> sa.Select[int, int, int]:
    """Write a page: one row back, with the counts inserted, updated and archived. An equal row stays as it is.

    A submission whose e-mail changed is linked to nobody until `link_submissions`.
    """
    page, names = _page(table), written_columns(table)
    statement = insert(table).from_select([*names], sa.select(*(page.c[name] for name in names)))
    new, changes = statement.excluded, _changeable(table)
    values: dict[str, Any] = {name: new[name] for name in changes} | {"synced_at": sa.func.now()}
    if "contact_id" in table.c:
        is_same = table.c.email.is_not_distinct_from(new.email)
        values["contact_id"] = sa.case((is_same, table.c.contact_id), else_=sa.null())
    is_archived = table.c.archived if "archived" in table.c else sa.false()
    written = (
        statement.on_conflict_do_update(
            index_elements=[*table.primary_key.columns], set_=values, where=_differ(table.c, new, changes)
        )
        .returning(sa.literal_column("xmax = 0", sa.Boolean()).label("is_new"), is_archived.label("archived"))
        .cte("written")
    )
    return sa.select(
        sa.func.count().filter(written.c.is_new).label("inserted"),
        sa.func.count().filter(sa.not_(written.c.is_new)).label("updated"),
        sa.func.count().filter(written.c.archived).label("archived"),
    ).select_from(written)


def compare_rows(table: sa.Table) -> sa.Select[int, int, int]:
    """What `upsert_rows` would count, without writing."""
    page = _page(table)
    keys = [column.name for column in table.primary_key.columns]
    is_new = table.c[keys[0]].is_(None)
    is_changed = sa.and_(sa.not_(is_new), _differ(table.c, page.c, _changeable(table)))
    is_archived = page.c.archived if "archived" in table.c else sa.false()
    return sa.select(
        sa.func.count().filter(is_new).label("inserted"),
        sa.func.count().filter(is_changed).label("updated"),
        sa.func.count().filter(sa.and_(sa.or_(is_new, is_changed), is_archived)).label("archived"),
    ).select_from(page.outerjoin(table, sa.and_(*(table.c[key] == page.c[key] for key in keys))))


def other_keys(table: sa.Table) -> sa.Select[Any]:
    """The keys of a table, of one column, that are not among :kept."""
    (key,) = table.primary_key.columns
    return sa.select(key).where(key != sa.func.all(sa.bindparam("kept", type_=ARRAY(key.type)))).order_by(key)


def drop_rows(table: sa.Table) -> sa.Delete:
    (key,) = table.primary_key.columns
    return sa.delete(table).where(key == sa.func.any(sa.bindparam("keys", type_=ARRAY(key.type))))


def count_other_pipelines(table: sa.Table) -> sa.Select[int]:
    """Pipelines, or stages, of :of_types that the page has not."""
    return sa.select(sa.func.count()).select_from(table).where(_is_other_pipeline(table))


def drop_other_pipelines(table: sa.Table) -> sa.Delete:
    return sa.delete(table).where(_is_other_pipeline(table))


def link_submissions() -> sa.Update:
    """Link every submission that has no contact to the live contact of its e-mail, or else of that second e-mail."""
    s = form_submissions.c
    wanted = (
        sa.select(sa.func.lower(s.email).label("address"))
        .where(s.contact_id.is_(None), s.email.is_not(None))
        .distinct()
        .cte("wanted")
    )
    split = sa.func.unnest(sa.func.string_to_array(contacts.c.additional_emails, ";"))
    parts = split.table_valued(sa.column("email", sa.Text())).render_derived(name="parts")
    second = (
        sa.select(sa.func.lower(sa.func.btrim(parts.c.email)).label("address"), contacts.c.hubspot_id)
        .select_from(contacts.join(parts, sa.true()))
        .where(contacts.c.additional_emails.is_not(None), sa.not_(contacts.c.archived))
        .subquery("second")
    )
    by_first = (
        sa.select(wanted.c.address, contacts.c.hubspot_id, sa.literal_column("1").label("rank"))
        .join(contacts, sa.func.lower(contacts.c.email) == wanted.c.address)
        .where(sa.not_(contacts.c.archived))
    )
    by_second = sa.select(wanted.c.address, second.c.hubspot_id, sa.literal_column("2").label("rank")).join(
        second, second.c.address == wanted.c.address
    )
    found = sa.union_all(by_first, by_second).subquery("found")
    chosen = (
        sa.select(found.c.address, found.c.hubspot_id)
        .ext(distinct_on(found.c.address))
        .order_by(found.c.address, found.c.rank, found.c.hubspot_id)
        .subquery("chosen")
    )
    return (
        sa.update(form_submissions)
        .values(contact_id=chosen.c.hubspot_id)
        .where(s.contact_id.is_(None), sa.func.lower(s.email) == chosen.c.address)
    )


def unlink_submissions() -> sa.Update:
    """Let go of contacts that are in the recycle bin, were merged into another or are gone."""
    s = form_submissions.c
    live = sa.select(contacts.c.hubspot_id).where(contacts.c.hubspot_id == s.contact_id, sa.not_(contacts.c.archived))
    return sa.update(form_submissions).values(contact_id=None).where(s.contact_id.is_not(None), ~live.exists())


def take_parts() -> ReturningInsert[Any]:
    """Hold the cursors :names for :holder during :seconds, whoever held them; returns them."""
    name = sa.func.unnest(sa.bindparam("names", type_=ARRAY(sa.Text()))).column_valued("name")
    holder = sa.bindparam("holder", type_=sa.Uuid())
    held_until = sa.func.clock_timestamp() + seconds(sa.bindparam("seconds", type_=sa.Float()))
    statement = insert(SyncCursor).from_select(
        ["stream", "holder", "held_until"], sa.select(name, holder, held_until).order_by(name)
    )
    return statement.on_conflict_do_update(
        index_elements=["stream"],
        set_={"holder": statement.excluded.holder, "held_until": statement.excluded.held_until},
    ).returning(*SyncCursor.__table__.columns)


def read_parts() -> sa.Select[Any]:
    return sa.select(SyncCursor.__table__).where(SyncCursor.stream == _any_of_names())


def release_parts() -> sa.Update:
    holder = sa.bindparam("of_holder", type_=sa.Uuid())
    return (
        sa.update(SyncCursor)
        .where(SyncCursor.stream == _any_of_names(), SyncCursor.holder == holder)
        .values(holder=sa.null(), held_until=sa.null())
    )


def restart_parts() -> sa.Update:
    """As if no part whose cursor's name begins with :prefix had been read from end to end, nor half."""
    return (
        sa.update(SyncCursor)
        .where(SyncCursor.stream.startswith(sa.bindparam("prefix", type_=sa.Text()), autoescape=False))
        .values(full_at=sa.null(), passes=[], position={})
    )


def forget_parts() -> sa.Delete:
    return sa.delete(SyncCursor).where(SyncCursor.stream == _any_of_names())


def _page(table: sa.Table) -> Subquery:
    """Bound arrays as rows of the table. JSON travels as text: it is encoded once, in `lenient`."""
    types = {name: table.c[name].type for name in written_columns(table)}
    arrays = [
        sa.bindparam(name, type_=ARRAY(sa.Text() if isinstance(type_, JSONB) else type_))
        for name, type_ in types.items()
    ]
    sent = {name: sa.Text() if isinstance(type_, JSONB) else type_ for name, type_ in types.items()}
    rows = sa.func.unnest(*arrays).table_valued(*(sa.column(name, type_) for name, type_ in sent.items()))
    rows = rows.render_derived(name="sent")
    return sa.select(
        *(
            sa.cast(rows.c[name], JSONB).label(name) if isinstance(type_, JSONB) else rows.c[name]
            for name, type_ in types.items()
        )
    ).subquery("page")


def _changeable(table: sa.Table) -> list[str]:
    return [name for name in written_columns(table) if not table.c[name].primary_key]


def _differ(old: Mapping[str, Any] | Any, new: Any, names: list[str]) -> sa.ColumnElement[bool]:
    return sa.tuple_(*(old[name] for name in names)).is_distinct_from(sa.tuple_(*(new[name] for name in names)))


def _is_other_pipeline(table: sa.Table) -> sa.ColumnElement[bool]:
    page = _page(table)
    keys = [column.name for column in table.primary_key.columns]
    kept = sa.select(page.c[keys[0]]).where(*(page.c[key] == table.c[key] for key in keys))
    is_read = table.c.object_type == sa.func.any(sa.bindparam("of_types", type_=ARRAY(sa.Text())))
    return sa.and_(is_read, ~kept.correlate(table).exists())


def _any_of_names() -> sa.ColumnElement[Any]:
    return sa.func.any(sa.bindparam("names", type_=ARRAY(sa.Text())))
