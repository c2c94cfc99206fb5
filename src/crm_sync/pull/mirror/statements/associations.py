"""Statements on the associations of a stream's records."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, insert

from crm_sync.models.relations import associations
from crm_sync.pull.mirror.statements.parts import any_of_ids, page_of


def drop_associations() -> tuple[sa.Delete, sa.Delete]:
    """Those from, and those to, records :ids of :object_type."""
    c = associations.c
    object_type = sa.bindparam("object_type", type_=sa.Text())
    return (
        sa.delete(associations).where(c.from_type == object_type, c.from_id == any_of_ids()),
        sa.delete(associations).where(c.to_type == object_type, c.to_id == any_of_ids()),
    )


def move_associations() -> sa.Insert:
    """What was associated with records that were merged belongs to those that they went into, as it does in HubSpot."""
    c = associations.c
    kept = [column.name for column in associations.columns if column.name not in ("to_id", "synced_at")]
    page = page_of({"hubspot_id": c.to_id.type, "merged_into": c.to_id.type})
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
    page = page_of(types)
    object_type = sa.bindparam("object_type", type_=sa.Text())
    is_wanted = sa.exists().select_from(page).where(*(c[name] == page.c[name] for name in keyed))
    ended = (
        sa.delete(associations)
        .where(
            c.from_type == object_type,
            c.from_id == any_of_ids(),
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
