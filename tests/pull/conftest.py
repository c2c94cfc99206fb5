from collections.abc import AsyncIterator

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from hubspot_emulator import EmulatorServer
from tests.hubspot.live import client, emulator, hubspot, running_emulator
from tests.pull.pulling import Pulls

__all__ = ["client", "emulator", "hubspot", "running_emulator"]


@pytest.fixture
async def pulls(emulator: EmulatorServer, migrated_engine: AsyncEngine) -> AsyncIterator[Pulls]:
    """An empty portal and an empty mirror of it."""
    pulls = Pulls(emulator, migrated_engine)
    async with pulls.stack:
        yield pulls


@pytest.fixture(params=["v3", "2026-03"])
async def either(request: pytest.FixtureRequest, pulls: Pulls) -> Pulls:
    """As `pulls`, once for each family of addresses."""
    pulls.api_version = request.param
    return pulls
