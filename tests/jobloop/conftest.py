import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.jobloop.tickets import Base, Desk


@pytest.fixture
async def desk(engine: AsyncEngine) -> Desk:
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    return Desk(engine)
