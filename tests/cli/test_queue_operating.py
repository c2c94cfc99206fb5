"""`crm-sync queue cancel, adopt, pause, resume, doctor`: the operator's hands on a queue."""

from __future__ import annotations

import json

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from crm_sync.models import queue_pauses
from tests.application import Contacts
from tests.cli.shell import Shell, failed


@pytest.fixture
def shell(shell: Shell, migrated_url: str) -> Shell:
    shell.environment = {"DATABASE_URL": migrated_url}
    return shell


async def statuses(contacts: Contacts) -> list[str | None]:
    return [row["hubspot_processing_status"] for row in await contacts.rows()]


async def test_cancel_takes_out_what_was_named_and_nothing_unasked(shell: Shell, contacts: Contacts) -> None:
    await contacts.add(3)
    first = (await contacts.rows())[0]

    assert "say which rows" in failed(shell.run("queue", "cancel"), 2)
    assert "1 row left the queue." in shell.run("queue", "cancel", "--id", str(first["id"])).stdout
    assert sorted(map(str, await statuses(contacts))) == ["None", "Queued", "Queued"]
    assert json.loads(shell.run("queue", "cancel", "--all", "--json").stdout) == {"queue": "contacts", "cancelled": 2}


async def test_adopt_takes_over_rows_that_are_old_enough(shell: Shell, contacts: Contacts) -> None:
    await contacts.add(3)
    await contacts.execute(
        "UPDATE contacts SET hubspot_processing_status = 'Processing', updated_at = now() - CASE "
        "WHEN email LIKE 'person0@%' THEN interval '5 min' ELSE interval '2 h' END"
    )

    assert "Missing option '--older-than'" in failed(shell.run("queue", "adopt"), 2)
    assert "'soon' is no duration" in failed(shell.run("queue", "adopt", "--older-than", "soon"), 2)
    words = failed(shell.run("queue", "adopt", "--older-than", "1h", "--by", "email"), 2)
    assert "'email' is TEXT, the age of a row needs a timestamp." in words
    assert "2 rows Queued again." in shell.run("queue", "adopt", "--older-than", "1h30m").stdout
    assert sorted(map(str, await statuses(contacts))) == ["Processing", "Queued", "Queued"]


async def test_pause_and_resume(shell: Shell, migrated_engine: AsyncEngine) -> None:
    paused = shell.run("queue", "pause", "--reason", "HubSpot moves house")
    assert "contacts is paused until `crm-sync queue resume contacts`: HubSpot moves house" in paused.stdout
    async with migrated_engine.connect() as connection:
        pauses = await connection.execute(sa.select(queue_pauses.c["queue", "reason", "paused_by", "until"]))
        assert [tuple(row) for row in pauses] == [("contacts", "HubSpot moves house", "operator", None)]

    state = json.loads(shell.run("queue", "pause", "--for", "2h", "--json").stdout)
    assert state["until"] is not None

    assert "contacts runs again" in shell.run("queue", "resume").stdout
    assert "contacts was not paused." in shell.run("queue", "resume").stdout


async def test_status_says_that_a_queue_is_paused_and_why(shell: Shell) -> None:
    shell.run("queue", "pause", "--reason", "month end", "--for", "2h")

    assert "contacts is paused since" in (said := shell.run("queue", "status").stdout)
    assert "by operator, probed at" in said
    assert said.rstrip().endswith(": month end")
    queue, _pulls = json.loads(shell.run("queue", "status", "--json").stdout)["queues"]
    assert (queue["paused"]["reason"], queue["paused"]["by"]) == ("month end", "operator")
    shell.run("queue", "resume")
    assert "paused" not in shell.run("queue", "status").stdout


async def test_doctor_finds_the_shipped_table_healthy(shell: Shell, contacts: Contacts) -> None:
    await contacts.add(3)

    done = shell.run("queue", "doctor")
    assert (done.returncode, done.stdout.strip()) == (0, "contacts: healthy\npulls: healthy")
    done = shell.run("queue", "doctor", "contacts", "--json")
    assert json.loads(done.stdout) == {"queues": [{"queue": "contacts", "findings": []}]}


async def test_doctor_reports_what_is_wrong_with_the_sql_that_mends_it(shell: Shell, contacts: Contacts) -> None:
    await contacts.execute("DROP INDEX ix_contacts_hubspot_due")
    await contacts.execute("ALTER TABLE contacts RESET (fillfactor)")

    done = shell.run("queue", "doctor")

    assert (done.returncode, done.stderr) == (1, "")
    assert "contacts: 1 problem, 1 suggestion" in done.stdout
    assert "No index serves the claim" in done.stdout
    (line,) = [line.strip() for line in done.stdout.splitlines() if "CREATE INDEX" in line]
    assert line == (
        "CREATE INDEX CONCURRENTLY ix_contacts_hubspot_due ON contacts "
        "((COALESCE(next_retry_at, '-infinity'::timestamptz)), updated_at) "
        "WHERE hubspot_processing_status = 'Queued';"
    )
    report = json.loads(shell.run("queue", "doctor", "--json").stdout)["queues"][0]["findings"]
    assert [(finding["severity"], finding["code"]) for finding in report] == [
        ("problem", "index.claim.missing"),
        ("advice", "storage.fillfactor"),
    ]
