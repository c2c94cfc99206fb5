"""`crm-sync serve` and `crm-sync emulator` as processes: they come up, they work, they stop when told."""

from __future__ import annotations

import re
import signal
import socket
import subprocess

import httpx

from hubspot_emulator import EmulatorServer
from tests.application import Contacts
from tests.cli.shell import Shell, failed


def address_in(process: subprocess.Popen[str]) -> tuple[str, str]:
    """The first address of this machine that the process names, and all that it said up to then."""
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if found := re.search(r"ready: (http://127\.0\.0\.1:\d+)", line):
            return found[1], said
    raise AssertionError(said)


def stopped(process: subprocess.Popen[str], number: signal.Signals) -> str:
    """What it says between the signal and its end."""
    process.send_signal(number)
    said, _ = process.communicate(timeout=30)
    return said


async def test_serve_pushes_what_is_queued_answers_requests_and_stops_on_sigterm(
    shell: Shell, migrated_url: str, hubspot: EmulatorServer, contacts: Contacts
) -> None:
    await contacts.add(3)
    shell.environment = {
        "DATABASE_URL": migrated_url,
        "HUBSPOT_API_BASE_URL": hubspot.url,
        "HUBSPOT_API_KEY": hubspot.token,
    }
    process = shell.start("serve", "--port", "0")
    address, said = address_in(process)
    await contacts.all_in("Complete")
    async with httpx.AsyncClient() as http:
        assert (await http.get(f"{address}/ready")).status_code == 200
    rest = stopped(process, signal.SIGTERM)
    assert process.returncode == 0
    assert "scheduler job registered: interval 0:05:00, batch size 100, max instances 1" in said
    assert "Traceback" not in said + rest
    assert hubspot.token not in said + rest


def test_serve_without_a_token_warns_once_and_serves(shell: Shell, migrated_url: str) -> None:
    shell.environment = {"DATABASE_URL": migrated_url}
    process = shell.start("serve", "--port", "0")
    address, said = address_in(process)
    assert httpx.get(f"{address}/health").status_code == 200
    rest = stopped(process, signal.SIGINT)
    assert process.returncode == 0
    assert (said + rest).count("HUBSPOT_API_KEY not configured - HubSpot sync scheduler DISABLED") == 1
    assert "Traceback" not in said + rest


def test_a_port_that_is_taken_is_a_sentence(shell: Shell, migrated_url: str) -> None:
    shell.environment = {"DATABASE_URL": migrated_url}
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        words = failed(shell.run("serve", "--port", port), 2)
        assert f"Cannot listen on 127.0.0.1:{port}: Address already in use." in words
        assert f"Cannot listen on port {port}: Address already in use." in failed(
            shell.run("emulator", "--port", port), 2
        )


def test_the_emulator_names_its_address_and_token(shell: Shell) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    process = shell.start("emulator", "--port", port)
    assert process.stdout is not None
    assert f"http://127.0.0.1:{port}" in process.stdout.readline()
    assert "HUBSPOT_API_KEY=" in process.stdout.readline()
    stopped(process, signal.SIGINT)
    assert "there is no tier 'gold'" in failed(shell.run("emulator", "--tier", "gold"), 2)
