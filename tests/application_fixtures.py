"""Fixtures of tests through the whole application. A conftest imports them by name."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from crm_sync.hubspot import HubSpotClient
from crm_sync.push import PropertyNames, setup_properties
from hubspot_emulator import EmulatorServer
from tests.application import Contacts


@pytest.fixture(scope="session")
def _hubspot() -> Iterator[EmulatorServer]:
    with EmulatorServer(tier="unlimited") as server:
        yield server


@pytest.fixture
def hubspot(_hubspot: EmulatorServer) -> EmulatorServer:
    """An account as new, with the custom properties that `crm-sync push setup` makes, and no limits."""
    _hubspot.reset()
    asyncio.run(_set_up(_hubspot))
    return _hubspot


@pytest.fixture
async def contacts(migrated_engine: AsyncEngine) -> Contacts:
    return Contacts(migrated_engine)


async def _set_up(hubspot: EmulatorServer) -> None:
    async with HubSpotClient(hubspot.url, hubspot.token) as client:
        await setup_properties(client, PropertyNames())
