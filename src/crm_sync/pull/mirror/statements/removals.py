"""Statements on the records that HubSpot no longer has."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.sql.dml import ReturningInsert

from crm_sync.models.relations import removed_records
from crm_sync.pull.mirror.statements.parts import any_of_ids, page_of


def note_removed() -> ReturningInsert[Any]:
    """Remember :hubspot_id records of :object_type as gone, into :merged_into; returns the ids that this is news of."""
    types = {"hubspot_id": removed_records.c.hubspot_id.type, "merged_into": removed_records.c.merged_into.type}
    page = page_of(types)
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
        c.object_type == sa.bindparam("object_type"), c.hubspot_id == any_of_ids(), c.merged_into.is_(None)
    )


def merged_among() -> sa.Select[Any]:
    """Those of records :ids of :object_type that are known to be merged into others, and into which."""
    c = removed_records.c
    return sa.select(c.hubspot_id, c.merged_into).where(
        c.object_type == sa.bindparam("object_type"), c.hubspot_id == any_of_ids(), c.merged_into.is_not(None)
    )
