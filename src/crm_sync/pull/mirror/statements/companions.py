"""Statements on what comes with a record: the history of its properties, and values that did not fit."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from crm_sync.models import SyncIssue
from crm_sync.models.relations import property_history
from crm_sync.pull.mirror.statements.parts import any_of_ids, page_of


def drop_history() -> sa.Delete:
    c = property_history.c
    return sa.delete(property_history).where(c.object_type == sa.bindparam("object_type"), c.hubspot_id == any_of_ids())


def insert_history() -> sa.Insert:
    names = ("hubspot_id", "property", "changed_at", "position", "value", "source_type", "source_id")
    types = {name: property_history.c[name].type for name in names}
    page = page_of(types)
    object_type = sa.bindparam("object_type", type_=sa.Text())
    return insert(property_history).from_select(
        ["object_type", *names], sa.select(object_type, *(page.c[name] for name in names)).select_from(page)
    )


def drop_issues() -> sa.Delete:
    return sa.delete(SyncIssue).where(SyncIssue.stream == sa.bindparam("stream"), SyncIssue.record_id == any_of_ids())


def insert_issues() -> sa.Insert:
    names = ("record_id", "property", "value", "reason")
    table = SyncIssue.__table__
    page = page_of({name: table.c[name].type for name in names})
    stream = sa.bindparam("stream", type_=sa.Text())
    statement = insert(SyncIssue).from_select(
        ["stream", *names], sa.select(stream, *(page.c[name] for name in names)).select_from(page)
    )
    new = statement.excluded  # of a record that was taken out of the mirror by hand
    return statement.on_conflict_do_update(
        index_elements=["stream", "record_id", "property"],
        set_={"value": new.value, "reason": new.reason, "noticed_at": sa.func.now()},
    )
