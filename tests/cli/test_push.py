"""`crm-sync push`: one contact by hand, and the set-up of the account."""

from __future__ import annotations

import json
from uuid import uuid4

import pytest

from hubspot_emulator import EmulatorServer
from tests.application import Contacts
from tests.cli.shell import Shell, failed


@pytest.fixture
def shell(shell: Shell, migrated_url: str, hubspot: EmulatorServer) -> Shell:
    shell.environment = {
        "DATABASE_URL": migrated_url,
        "HUBSPOT_API_BASE_URL": hubspot.url,
        "HUBSPOT_API_KEY": hubspot.token,
    }
    return shell


async def test_push_contact_shows_settings_before_after_and_hubspot_s_answer(
    shell: Shell, contacts: Contacts, hubspot: EmulatorServer
) -> None:
    await contacts.add(2, queued=False)
    first, second = await contacts.rows()
    done = shell.run("push", "contact", str(first["id"]))
    assert done.returncode == 0, done.stderr
    (held,) = hubspot.records("contacts")
    for words in (hubspot.url, "5, 10, 20 minutes", "before", "after", held["hs_object_id"], "Complete", "Number0"):
        assert words in done.stdout
    assert hubspot.token not in done.stdout + done.stderr
    rows = await contacts.rows()
    assert [row["hubspot_processing_status"] for row in rows] == ["Complete", None]
    assert rows[0]["hubspot_contact_id"] == held["hs_object_id"]
    assert rows[0]["updated_at"] == first["updated_at"]
    assert rows[1] | {"now": None} == second | {"now": None}


async def test_push_contact_as_json(shell: Shell, contacts: Contacts) -> None:
    await contacts.add(1, queued=False)
    row = await contacts.only()
    said = json.loads(shell.run("push", "contact", str(row["id"]), "--json").stdout)
    assert said["complete"] is True
    assert said["before"]["hubspot_processing_status"] is None
    assert said["after"]["hubspot_processing_status"] == "Complete"
    assert said["hubspot"]["properties"]["email"] == row["email"]


async def test_a_contact_that_hubspot_refuses_is_exit_code_4_with_its_words(shell: Shell, contacts: Contacts) -> None:
    await contacts.add(1, queued=False)
    await contacts.execute("UPDATE contacts SET email = 'nobody'")
    row = await contacts.only()
    done = shell.run("push", "contact", str(row["id"]))
    assert done.returncode == 4
    assert "Not pushed, Error: The contact's e-mail address is not one" in done.stdout


async def test_a_token_that_is_refused_leaves_the_contact_queued_for_a_retry(
    shell: Shell, contacts: Contacts, hubspot: EmulatorServer
) -> None:
    await contacts.add(1, queued=False)
    hubspot.add_token("pat-na1-revoked", status="revoked")
    row = await contacts.only()
    done = shell.run("push", "contact", str(row["id"]), HUBSPOT_API_KEY="pat-na1-revoked")
    assert done.returncode == 4
    assert "It stays Queued and is tried again at" in done.stdout
    assert "401" in done.stdout
    row = await contacts.only()
    assert (row["hubspot_processing_status"], row["retry_count"]) == ("Queued", 1)


async def test_a_contact_that_a_worker_holds_is_left_alone(
    shell: Shell, contacts: Contacts, hubspot: EmulatorServer
) -> None:
    await contacts.add(1)
    await contacts.execute(
        "UPDATE contacts SET hubspot_processing_status = 'Processing', hubspot_claim_token = gen_random_uuid(), "
        "hubspot_lease_expires_at = now() + interval '1 minute'"
    )
    before = await contacts.only()
    words = failed(shell.run("push", "contact", str(before["id"])), 6)
    assert "is being pushed by a worker right now" in words
    assert await contacts.only() | {"now": None} == before | {"now": None}
    assert not hubspot.calls("objects.batch_upsert")


def test_a_bad_uuid_an_unknown_contact_and_a_missing_token_are_told_apart(shell: Shell) -> None:
    unknown = str(uuid4())
    assert "'17' is not a UUID" in failed(shell.run("push", "contact", "17"), 2)
    assert f"There is no contact {unknown}" in failed(shell.run("push", "contact", unknown), 5)
    del shell.environment["HUBSPOT_API_KEY"]
    assert "Set HUBSPOT_API_KEY" in failed(shell.run("push", "contact", unknown), 2)
    assert "Set HUBSPOT_API_KEY" in failed(shell.run("push", "setup"), 2)


def test_push_setup_creates_the_properties_once(shell: Shell, hubspot: EmulatorServer) -> None:
    shell.environment["HUBSPOT_CUSTOM_PROPERTY_PAGE_ID"] = "our_page"
    first, second = shell.run("push", "setup"), shell.run("push", "setup")
    assert (first.returncode, second.returncode) == (0, 0), first.stderr
    assert "created  property our_page" in first.stdout
    assert "created" not in second.stdout
    assert second.stdout.count("exists") == 4


def test_push_setup_with_a_wrong_token_says_what_to_do(shell: Shell) -> None:
    words = failed(shell.run("push", "setup", HUBSPOT_API_KEY="pat-na1-unknown-to-it"), 4)
    assert "401" in words
    assert "Check HUBSPOT_API_KEY" in words


async def test_a_table_that_lacks_a_column_is_a_sentence_with_the_line_that_adds_it(
    shell: Shell, contacts: Contacts
) -> None:
    await contacts.add(1, queued=False)
    row = await contacts.only()
    await contacts.execute("ALTER TABLE contacts DROP COLUMN hubspot_rescue_count")
    words = failed(shell.run("push", "contact", str(row["id"])), 3)
    assert "no column 'hubspot_rescue_count'" in words
    assert "op.add_column('contacts', sa.Column('hubspot_rescue_count'" in words
    assert words.startswith("table 'contacts' cannot be used as a queue")


async def test_a_paused_queue_is_left_alone_and_said(shell: Shell, contacts: Contacts) -> None:
    await contacts.add(1, queued=False)
    contact = await contacts.only()
    await contacts.execute(
        "INSERT INTO jobloop_pauses (queue, reason, paused_by) VALUES ('contacts', 'month end.', 'operator')"
    )
    words = failed(shell.run("push", "contact", str(contact["id"])), 6)
    assert "The queue is paused since" in words
    assert "(operator): month end. Nothing was changed. `crm-sync queue resume` lets it run again." in words
    assert (await contacts.only())["hubspot_processing_status"] is None
