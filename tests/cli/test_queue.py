"""`crm-sync queue` and `crm-sync contacts`: what an operator sees and mends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.application import Contacts
from tests.cli.shell import Shell, failed


@pytest.fixture
def shell(shell: Shell, migrated_url: str) -> Shell:
    shell.environment = {"DATABASE_URL": migrated_url}
    return shell


async def troubled(contacts: Contacts) -> None:
    """Two in Error for one reason, one for another, one waiting for its retry, one due, one done."""
    await contacts.add(6, queued=False)
    for email, status, error, retry in (
        ("person0", "Error", "no such domain", None),
        ("person1", "Error", "no such domain", None),
        ("person2", "Error", "refused [50%]", None),
        ("person3", "Queued", "503 busy", "10 minutes"),
        ("person4", "Queued", None, None),
        ("person5", "Complete", None, None),
    ):
        await contacts.execute(
            "UPDATE contacts SET hubspot_processing_status = CAST(:status AS crm_processing_status), "
            "hubspot_processing_error = CAST(:error AS text), retry_count = (:error IS NOT NULL)::int, "
            "next_retry_at = now() + CAST(CAST(:retry AS text) AS interval) WHERE email LIKE :email",
            status=status,
            error=error,
            retry=retry,
            email=f"{email}@%",
        )


async def test_status_counts_rows_and_tells_the_age_of_the_oldest(shell: Shell, contacts: Contacts) -> None:
    await troubled(contacts)
    await contacts.execute("UPDATE contacts SET updated_at = now() - interval '3 hours' WHERE email LIKE 'person4@%'")
    queue, _pulls = json.loads(shell.run("queue", "status", "--json").stdout)["queues"]
    counts = {name: queue[name] for name in ("queue", "due", "waiting", "processing", "complete", "error")}
    assert counts == {"queue": "contacts", "due": 1, "waiting": 1, "processing": 0, "complete": 1, "error": 3}
    assert queue["oldest_due_seconds"] >= 3 * 3600
    table = shell.run("queue", "status").stdout
    assert "3 h 00 min" in table


async def test_errors_are_grouped_the_commonest_first(shell: Shell, contacts: Contacts) -> None:
    await troubled(contacts)
    groups = json.loads(shell.run("queue", "errors", "--json").stdout)["errors"]
    assert [(group["rows"], group["state"], group["error"]) for group in groups] == [
        (2, "error", "no such domain"),
        (1, "waiting", "503 busy"),
        (1, "error", "refused [50%]"),
    ]
    assert len(groups[0]["examples"]) == 2
    assert "refused [50%]" in shell.run("queue", "errors").stdout


async def test_requeue_takes_only_the_rows_that_are_meant(shell: Shell, contacts: Contacts) -> None:
    await troubled(contacts)
    assert "2 rows Queued again." in shell.run("queue", "requeue", "--error-like", "DOMAIN").stdout
    rows = {row["email"].partition("@")[0]: row for row in await contacts.rows()}
    assert [rows[f"person{n}"]["hubspot_processing_status"] for n in range(3)] == ["Queued", "Queued", "Error"]
    done = shell.run("queue", "requeue", "--id", str(rows["person2"]["id"]), "--json")
    assert json.loads(done.stdout) == {"queue": "contacts", "requeued": 1}
    assert json.loads(shell.run("queue", "requeue", "--json").stdout)["requeued"] == 0


async def test_retry_makes_waiting_rows_due_and_keeps_their_count(shell: Shell, contacts: Contacts) -> None:
    await troubled(contacts)
    assert "1 waiting row due now." in shell.run("queue", "retry").stdout
    row = next(row for row in await contacts.rows() if row["email"].startswith("person3@"))
    assert row["next_retry_at"] <= row["now"]
    assert row["retry_count"] == 1


def test_an_unknown_queue_is_a_sentence(shell: Shell) -> None:
    words = failed(shell.run("queue", "errors", "orders"), 2)
    assert "there is no queue 'orders'; there are: contacts, pulls." in words


async def test_a_csv_is_imported_and_queued_and_its_bad_lines_are_kept(
    shell: Shell, contacts: Contacts, tmp_path: Path
) -> None:
    (tmp_path / "people.csv").write_text("Email,Name,Domain ID\na@example.com,Ada,\nb@example.com,Bo,not-a-uuid\n")
    done = shell.run("contacts", "import", "people.csv", "--queue")
    assert done.returncode == 0, done.stderr
    assert "1 contact imported and queued for HubSpot." in done.stdout
    assert "1 line rejected, to people.rejected.csv with line and reason:" in done.stdout
    assert "b@example.com" in (tmp_path / "people.rejected.csv").read_text()
    row = await contacts.only()
    assert (row["email"], row["hubspot_processing_status"]) == ("a@example.com", "Queued")


@pytest.mark.parametrize(("content", "words"), [("", "empty"), ("colour,size\nred,10\n", "column")])
async def test_a_file_that_is_no_contacts_changes_nothing(
    shell: Shell, contacts: Contacts, tmp_path: Path, content: str, words: str
) -> None:
    (tmp_path / "odd.csv").write_text(content)
    assert words in failed(shell.run("contacts", "import", "odd.csv"), 1)
    assert await contacts.rows() == []


def test_a_file_that_is_not_there_is_a_sentence(shell: Shell) -> None:
    assert "nowhere.csv" in failed(shell.run("contacts", "import", "nowhere.csv"), 1)
