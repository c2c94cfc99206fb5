"""The fixtures keep their word: real, fresh, migrated, gone afterwards."""

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine


@pytest.mark.parametrize("_turn", [1, 2])
async def test_each_test_has_a_database_of_its_own(engine: AsyncEngine, _turn: int) -> None:
    async with engine.begin() as connection:
        await connection.execute(text("CREATE TABLE only_here (id int)"))


@pytest.mark.parametrize("_turn", [1, 2])
async def test_each_migrated_database_starts_empty(migrated_engine: AsyncEngine, _turn: int) -> None:
    async with migrated_engine.begin() as connection:
        assert await connection.scalar(text("SELECT count(*) FROM contacts")) == 0
        await connection.execute(text("INSERT INTO contacts (email) VALUES ('a@example.com')"))
