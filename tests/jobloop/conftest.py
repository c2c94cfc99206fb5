from collections.abc import AsyncIterator

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from jobloop import JobQueue
from tests.jobloop.tickets import Base, Desk, make_queue


@pytest.fixture
async def desk(engine: AsyncEngine) -> AsyncIterator[Desk]:
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    yield Desk(engine)


@pytest.fixture
def crm_queue() -> JobQueue:
    return make_queue()
