"""The server: ready when entered, gone when left, nothing shared, and a command line."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import time

import httpx
import pytest

import hubspot_emulator
from hubspot_emulator import EmulatorServer
from hubspot_emulator.__main__ import main


def test_public_names_are_sorted_and_there() -> None:
    assert hubspot_emulator.__all__ == sorted(hubspot_emulator.__all__, key=lambda name: (not name.isupper(), name))
    assert all(hasattr(hubspot_emulator, name) for name in hubspot_emulator.__all__)


def test_it_answers_as_soon_as_it_is_entered_and_not_after_it_is_left() -> None:
    with EmulatorServer() as hubspot:
        assert httpx.get(f"{hubspot.url}/_emulator").status_code == 200
        url = hubspot.url
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/_emulator")


async def test_it_is_an_async_context_manager_too() -> None:
    async with EmulatorServer() as hubspot, httpx.AsyncClient(base_url=hubspot.url) as client:
        assert (await client.get("/_emulator")).status_code == 200


def test_two_emulators_share_nothing() -> None:
    with EmulatorServer() as one, EmulatorServer() as other:
        headers = {"Authorization": f"Bearer {one.token}"}
        body = {"properties": {"email": "a@example.com"}}
        httpx.post(f"{one.url}/crm/v3/objects/contacts", headers=headers, json=body)
        other.fault("500")
        one.clock.advance(1_000)
        assert (len(one.records("contacts")), len(other.records("contacts"))) == (1, 0)
        assert (len(one.calls()), len(other.calls())) == (1, 0)
        assert httpx.get(f"{one.url}/crm/v3/objects/contacts", headers=headers).status_code == 200
        assert one.clock.now_ms() - other.clock.now_ms() > 900_000


def test_a_taken_port_is_an_error_at_the_start() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        EmulatorServer(port=taken.getsockname()[1]).start()


def test_starting_twice_is_refused() -> None:
    with EmulatorServer() as hubspot, pytest.raises(RuntimeError):
        hubspot.start()


def test_an_unknown_tier_is_refused() -> None:
    with pytest.raises(ValueError, match="royal"):
        EmulatorServer(tier="royal")


def test_a_stop_does_not_wait_for_open_connections() -> None:
    hubspot = EmulatorServer().start()
    with httpx.Client(base_url=hubspot.url) as client:
        client.get("/_emulator")
        began = time.monotonic()
        hubspot.stop()
        assert time.monotonic() - began < 5


def test_the_command_says_that_the_port_is_taken(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert main(["--port", str(taken.getsockname()[1])]) == 1
    assert "--port" in capsys.readouterr().err


def test_the_command_serves_a_seeded_portal_until_it_is_interrupted() -> None:
    command = [sys.executable, "-m", "hubspot_emulator", "--port", "0", "--seed", "1", "--tier", "professional"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        too_late = threading.Timer(30, process.kill)
        too_late.start()
        try:
            assert process.stderr is not None
            address = process.stderr.readline().split(" on ")[1].split(",")[0]
            state = httpx.get(f"{address}/_emulator").json()
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 0
            assert process.stderr.read() == ""
        finally:
            process.kill()
            too_late.cancel()
    assert state["records"]["contacts"] > 10_000
    assert state["tier"]["burst"] == 190
    assert state["behaviour"]["search_lag_seconds"] == 2.0


def test_what_a_person_starts_has_an_index_that_lags_and_a_test_has_not() -> None:
    code = "from hubspot_emulator import serve; serve(0, on_ready=lambda url: print(url, flush=True))"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        too_late = threading.Timer(30, process.kill)
        too_late.start()
        try:
            assert process.stdout is not None
            state = httpx.get(f"{process.stdout.readline().strip()}/_emulator").json()
        finally:
            process.kill()
            too_late.cancel()
    assert state["behaviour"]["search_lag_seconds"] == 2.0
    assert EmulatorServer().behaviour.search_lag_seconds == 0.0


def test_starting_takes_less_than_a_second_of_this_process() -> None:
    """Processor time, so that a busy machine does not decide."""
    began = time.process_time()
    with EmulatorServer():
        assert time.process_time() - began < 1
