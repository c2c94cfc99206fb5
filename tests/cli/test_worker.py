"""`crm-sync worker` as a process: woken by an UPDATE, stopped in good order, and without loss when killed."""

from __future__ import annotations

import signal
import subprocess

import pytest

from hubspot_emulator import EmulatorServer
from tests.application import Contacts
from tests.cli.shell import Shell, failed


@pytest.fixture
def working(shell: Shell, migrated_url: str, hubspot: EmulatorServer) -> Shell:
    shell.environment = {
        "DATABASE_URL": migrated_url,
        "HUBSPOT_API_BASE_URL": hubspot.url,
        "HUBSPOT_API_KEY": hubspot.token,
    }
    return shell


def until_said(process: subprocess.Popen[str], words: str) -> None:
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if words in line:
            return
    raise AssertionError(said)


async def test_worker_is_woken_by_an_update_and_stops_on_sigterm(working: Shell, contacts: Contacts) -> None:
    working.environment["WORKER_POLL_SECONDS"] = "3600"
    process = working.start("worker")
    until_said(process, "working: contacts")
    await contacts.add(250)
    await contacts.all_in("Complete")
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=30)

    assert process.returncode == 0
    assert "contacts: 250 completed, 0 failed, 0 to retry" in said


async def test_two_workers_share_the_queue(working: Shell, contacts: Contacts, hubspot: EmulatorServer) -> None:
    processes = [working.start("worker") for _ in range(2)]
    for process in processes:
        until_said(process, "working: contacts")
    await contacts.add(1500)
    await contacts.all_in("Complete")
    for process in processes:
        process.send_signal(signal.SIGINT)
    said = [process.communicate(timeout=30)[0] for process in processes]

    assert [process.returncode for process in processes] == [0, 0]
    completed = [int(text.partition("contacts: ")[2].split()[0]) for text in said]
    assert sum(completed) == 1500
    assert len(hubspot.records("contacts")) == 1500
    assert hubspot.counts()["objects.batch_upsert contacts"] <= 1500 / 100 + 2, "each contact once"


async def test_killed_worker_loses_nothing(working: Shell, contacts: Contacts, hubspot: EmulatorServer) -> None:
    hubspot.fault("slow", seconds=10.0)
    process = working.start("worker")
    until_said(process, "working: contacts")
    await contacts.add(50)
    await contacts.all_in("Processing")
    process.kill()
    process.wait(timeout=30)
    await contacts.execute("UPDATE contacts SET hubspot_lease_expires_at = now()")

    heir = working.start("worker")
    await contacts.all_in("Complete")
    heir.send_signal(signal.SIGTERM)
    heir.communicate(timeout=30)
    assert heir.returncode == 0


async def test_second_signal_stops_at_once_and_puts_the_contacts_back(
    working: Shell, contacts: Contacts, hubspot: EmulatorServer
) -> None:
    hubspot.fault("slow", seconds=10.0)
    working.environment["WORKER_GRACE_SECONDS"] = "3600"
    process = working.start("worker")
    until_said(process, "working: contacts")
    await contacts.add(50)
    await contacts.all_in("Processing")
    process.send_signal(signal.SIGTERM)
    until_said(process, "told to stop: what runs may end")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)

    assert process.returncode == 0
    await contacts.all_in("Queued")


def test_worker_without_a_token_says_so(shell: Shell, migrated_url: str) -> None:
    shell.environment = {"DATABASE_URL": migrated_url}
    assert "Set HUBSPOT_API_KEY" in failed(shell.run("worker"), 2)
