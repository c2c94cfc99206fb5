"""Pieces of the pull's statements. Pages travel as arrays, one for each column, and are unnested."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.sql.selectable import TableValuedAlias


def page_of(types: Mapping[str, sa.types.TypeEngine[Any]], name: str = "page") -> TableValuedAlias:
    """Bound arrays as a table. JSON travels as text: it is encoded once, by the transform."""
    arrays = [
        sa.bindparam(column, type_=ARRAY(sa.Text() if isinstance(type_, JSONB) else type_))
        for column, type_ in types.items()
    ]
    columns = [sa.column(column, type_) for column, type_ in types.items()]
    return sa.func.unnest(*arrays).table_valued(*columns).render_derived(name=name)


def values_of(page: TableValuedAlias, types: Mapping[str, sa.types.TypeEngine[Any]]) -> list[sa.ColumnElement[Any]]:
    return [
        sa.cast(sa.type_coerce(page.c[column], sa.Text()), JSONB) if isinstance(type_, JSONB) else page.c[column]
        for column, type_ in types.items()
    ]


def any_of_ids() -> sa.ColumnElement[Any]:
    return sa.func.any(sa.bindparam("ids", type_=ARRAY(sa.BigInteger())))
