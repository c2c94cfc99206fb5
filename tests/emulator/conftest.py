"""One emulator a session, as new for each test.

emulator    the server, reset: empty portal, no rate limits unless the test sets a tier
api         an HTTP client with the emulator's address and token, on a reset emulator
"""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from hubspot_emulator import EmulatorServer
from tests.emulator.openapi_documents import DIRECTORY, Watch, documents_of


@pytest.fixture(scope="session")
def running_emulator() -> Iterator[EmulatorServer]:
    with EmulatorServer(tier="unlimited") as hubspot:
        yield hubspot


@pytest.fixture
def emulator(running_emulator: EmulatorServer) -> EmulatorServer:
    running_emulator.reset()
    return running_emulator


@pytest.fixture(scope="session")
def _watch() -> Watch | None:
    return Watch(documents_of(DIRECTORY)) if DIRECTORY else None


@pytest.fixture(scope="session")
def _http(running_emulator: EmulatorServer, _watch: Watch | None) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {running_emulator.token}"}
    hooks = {"response": [_watch]} if _watch is not None else {}
    with httpx.Client(base_url=running_emulator.url, headers=headers, timeout=10, event_hooks=hooks) as client:
        yield client


@pytest.fixture
def api(emulator: EmulatorServer, _http: httpx.Client, _watch: Watch | None) -> Iterator[httpx.Client]:
    yield _http
    if _watch is not None:
        problems, _watch.problems = _watch.problems, []
        assert problems == []
