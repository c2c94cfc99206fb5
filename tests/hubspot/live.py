"""The emulator, and clients of it that do not wait between their attempts.

The first half of a test puts something there, without HTTP: `add`, `associate`, `define`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from crm_sync.hubspot import HubSpotClient, RetryRules
from hubspot_emulator import EmulatorServer
from hubspot_emulator.definitions import define_property


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


@pytest.fixture(params=["v3", "2026-03"])
async def hubspot(request: pytest.FixtureRequest, emulator: EmulatorServer) -> AsyncIterator[HubSpotClient]:
    """As `client`, once for each family of addresses."""
    async with HubSpotClient(
        emulator.url, emulator.token, api_version=request.param, retries=RetryRules(scale=0)
    ) as client:
        yield client


def add(emulator: EmulatorServer, object_type: str, **properties: str) -> str:
    """A record's id."""
    portal = emulator.portal
    with emulator.account.lock:
        return str(portal.create(portal.table(object_type), properties).id)


def associate(emulator: EmulatorServer, from_type: str, from_id: str, to_type: str, to_id: str, *labels: str) -> None:
    """Under labels of the account's own, which are made when they are new."""
    relations = emulator.portal.relations
    with emulator.account.lock:
        origin, target = emulator.portal.table(from_type), emulator.portal.table(to_type)
        known = {one.label: one for one in relations.store.types.between(origin.type, target.type).values()}
        for label in set(labels) - set(known):
            name = label.lower().replace(" ", "_")
            known[label] = relations.store.types.add_label(origin.type, target.type, name, label, None)[0]
        record, other = relations.live(origin, from_id), relations.live(target, to_id)
        relations.associate(origin, record, target, other, [known[label] for label in labels])


def define(emulator: EmulatorServer, object_type: str, *names: str) -> None:
    """Text properties."""
    with emulator.account.lock:
        table = emulator.portal.table(object_type)
        group = next(iter(table.groups))
        for name in names:
            body = {"name": name, "label": name, "type": "string", "fieldType": "text", "groupName": group}
            define_property(table, body, emulator.clock)
