from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.faults.jobs import Table
from tests.faults.processes import Crowd
from tests.faults.proxy import Proxy
from tests.faults.worker import Orders


@pytest.fixture
async def jobs(database_url: str) -> AsyncIterator[Table]:
    table = await Table.create(database_url)
    yield table
    await table.close()


@pytest.fixture
async def proxy(database_url: str) -> AsyncIterator[Proxy]:
    async with Proxy(database_url) as proxy:
        yield proxy


@pytest.fixture
async def crowd() -> AsyncIterator[Crowd]:
    crowd = Crowd()
    yield crowd
    await crowd.close()


def orders_for(jobs: Table, name: str = "worker 1", **changes: Any) -> Orders:
    return Orders(**{"name": name, "url": jobs.url, "oracle_url": jobs.url, **changes})
