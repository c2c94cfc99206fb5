"""Whatever HubSpot sends, PostgreSQL takes the page and gives the same values back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from crm_sync.database import create_engine
from crm_sync.pull.mirror.page import MirrorPage
from crm_sync.pull.mirror.transform import Transform
from tests.pull.mirrored import DEFINITIONS, PETS, WRITTEN, record

_TYPES = {"hubspot_id": "bigint", "properties": "text"} | {
    column.name: column.type.compile() if column.type.compile() != "DATETIME" else "timestamptz"
    for column in PETS.columns
    if column.name not in ("hubspot_id", "properties", "read_at")
}
_INSERT = text(
    f"INSERT INTO pets ({', '.join(WRITTEN)}) "
    f"SELECT {', '.join('properties::jsonb' if name == 'properties' else name for name in WRITTEN)} "
    f"FROM unnest({', '.join(f'CAST(:{name} AS {_TYPES[name]}[])' for name in WRITTEN)}) AS page ({', '.join(WRITTEN)})"
)

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=20)
LIKELY = st.one_of(
    st.decimals(allow_nan=True).map(str),
    st.floats().map(str),
    st.integers().map(str),
    st.integers(-(2**65), 2**65).map(str),
    st.integers(-70_000_000_000_000, 260_000_000_000_000).map(str),
    st.dates().map(str),
    st.datetimes(timezones=st.none() | st.timezones()).map(lambda at: at.isoformat()),
    st.sampled_from(["1e131071", "1e131072", "-1e-16383", "1e400000", "9" * 131_072, "0." + "1" * 16_382]),
    st.sampled_from(
        ["9999-12-31", "0001-01-01", "9999-12-31T23:59:59.999999", "٣", "²", "true", "FALSE", ";;", "red;"]
    ),
    st.sampled_from(["\0", "\\u0000", "\\\0", "\ud83d", "\ud83d\ude00", "1\0", "2025-01-31\ud800", "", "CAT", "null"]),
)
NAMES = st.sampled_from([column.info["property"] for column in PETS.columns if column.info]) | ANY_TEXT
RECORDS = st.lists(
    st.builds(
        record,
        st.integers(0, 2**63 - 1).map(str),
        st.dictionaries(NAMES, ANY_TEXT | LIKELY | st.none(), max_size=12),
        created_at=st.none() | st.datetimes(timezones=st.none() | st.timezones()),
        updated_at=st.none() | st.datetimes(timezones=st.none() | st.timezones()),
    ),
    max_size=5,
)


@asynccontextmanager
async def table_of_pets(database_url: str) -> AsyncIterator[AsyncConnection]:
    engine = create_engine(database_url)
    try:
        async with engine.connect() as connection:
            await connection.run_sync(PETS.create)
            yield connection
    finally:
        await engine.dispose()


async def stored(connection: AsyncConnection, page: MirrorPage) -> list[Any]:
    """The page as rows of PostgreSQL, which are gone again."""
    async with connection.begin_nested() as savepoint:
        await connection.execute(_INSERT, dict(page.columns))
        rows = (await connection.execute(select(PETS).order_by(PETS.c.hubspot_id))).all()
        await savepoint.rollback()
    return list(rows)


def test_every_value_comes_back_from_postgresql(database_url: str) -> None:
    transform = Transform(PETS, DEFINITIONS)
    with asyncio.Runner() as runner:
        context = table_of_pets(database_url)
        connection = runner.run(context.__aenter__())

        @settings(max_examples=100, deadline=None)
        @given(RECORDS)
        def check(records: list[Any]) -> None:
            page = transform.page(records)
            rows = runner.run(stored(connection, page))
            assert [row.hubspot_id for row in rows] == page.ids == sorted({int(record.id) for record in records})
            for at, row in enumerate(rows):
                for name in WRITTEN:
                    given = page.columns[name][at]
                    assert getattr(row, name) == (json.loads(given) if name == "properties" else given), name
                assert row.weight is None or row.weight.is_finite()
            said = [words for issue in page.issues for words in (issue.property, issue.value, issue.reason)]
            assert runner.run(connection.scalar(text("SELECT CAST(:said AS text[])"), {"said": said})) == said

        try:
            check()
        finally:
            runner.run(context.__aexit__(None, None, None))
