"""The emulator, and a client of it that does not wait between its attempts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from crm_sync.hubspot import HubSpotClient, RetryRules
from hubspot_emulator import EmulatorServer


@pytest.fixture(scope="session")
def running_emulator() -> Iterator[EmulatorServer]:
    with EmulatorServer(tier="unlimited") as server:
        yield server


@pytest.fixture
def emulator(running_emulator: EmulatorServer) -> EmulatorServer:
    """As new for each test, without limits."""
    running_emulator.reset()
    return running_emulator


@pytest.fixture
async def client(emulator: EmulatorServer) -> AsyncIterator[HubSpotClient]:
    async with HubSpotClient(emulator.url, emulator.token, retries=RetryRules(scale=0)) as hubspot:
        yield hubspot
