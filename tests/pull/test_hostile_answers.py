"""Answers that lack something, lie, or do not fit: an error or a note, and nothing is lost."""

from __future__ import annotations

import pytest

from crm_sync.errors import PullError
from crm_sync.hubspot.objects import Record
from crm_sync.pull.mirror.transform import UnusableRecordId
from tests.hubspot.live import add, associate, define
from tests.pull.pulling import Pulls


@pytest.mark.parametrize("every", [2, 3])
async def test_silent_loss_in_a_batch(either: Pulls, every: int) -> None:
    """partial batch failure and silent loss: an answer lacks a record, which is asked for again with its history."""
    deals = [add(either.emulator, "deals", dealname=f"Deal {n}", dealstage="closedwon") for n in range(9)]
    await either.full("deals")
    either.emulator.behaviour.silent_loss_every = every
    for deal in deals:
        table = either.emulator.portal.table("deals")
        either.emulator.portal.update(table, table.records[int(deal)], {"dealstage": "closedlost"})
    await either.let_time_pass()
    assert either.hubspot is not None
    for _ in range(every - 1):  # so that the next one is the one that lacks a record
        await either.hubspot.batch_read("deals", deals[:1])
    report = await either.pull("deals")
    assert report.updated == 9
    assert "one by one" in report.notes[0]
    await either.assert_equal("deals")


async def test_a_record_that_no_batch_says_anything_about_is_an_error(pulls: Pulls) -> None:
    deals = [add(pulls.emulator, "deals", dealname=f"Deal {n}") for n in range(9)]
    await pulls.full("deals")
    pulls.emulator.behaviour.silent_loss_every = 1
    table = pulls.emulator.portal.table("deals")
    for deal in deals:
        pulls.emulator.portal.update(table, table.records[int(deal)], {"dealname": "B"})
    with pytest.raises(PullError, match="answers nothing about the record"):
        await pulls.changes("deals")
    pulls.emulator.behaviour.silent_loss_every = 0
    await pulls.pull("deals")
    await pulls.assert_equal("deals")


async def test_an_email_longer_than_an_index_entry(pulls: Pulls) -> None:
    """PostgreSQL refuses an index entry of more than 2,704 bytes, and with it would refuse the whole page."""
    wide = "".join(chr(0x4E00 + (n * 7919) % 20_000) for n in range(8_000)) + "@example.com"
    plain = add(pulls.emulator, "contacts", email="a@example.com")
    long = add(pulls.emulator, "contacts", email="b@example.com")
    pulls.emulator.portal.table("contacts").records[int(long)].properties["email"] = wide
    report = await pulls.pull("contacts")
    assert (report.inserted, report.issues) == (2, 1)
    await pulls.assert_equal("contacts")
    assert (await pulls.row("contacts", plain)).email == "a@example.com"
    row = await pulls.row("contacts", long)
    assert (row.email, row.properties["email"]) == (None, wide)
    ((record_id, name, reason),) = await pulls.sql("SELECT record_id, property, reason FROM sync_issues")
    assert (record_id, name) == (int(long), "email")
    assert "600 characters" in reason


async def test_a_record_without_a_usable_id_is_an_error(pulls: Pulls) -> None:
    ids = [add(pulls.emulator, "companies", name=f"Company {n}") for n in range(3)]
    record = pulls.emulator.portal.table("companies").records[int(ids[1])]
    record.id = "12x"  # type: ignore[assignment]
    with pytest.raises(UnusableRecordId, match="'12x'"):
        await pulls.pull("companies")
    record.id = int(ids[1])
    await pulls.pull("companies")
    await pulls.assert_equal("companies")


async def test_texts_that_postgresql_cannot_hold(pulls: Pulls) -> None:
    """NUL and halves of characters in values, in names, in definitions and in labels."""
    define(pulls.emulator, "contacts", "odd")
    contact = add(pulls.emulator, "contacts", email="a@example.com")
    company = add(pulls.emulator, "companies", name="A")
    associate(pulls.emulator, "contacts", contact, "companies", company, "Odd \0 label")
    table = pulls.emulator.portal.table("contacts")
    table.records[int(contact)].properties["odd"] = "a\0b"
    table.properties["odd"].label = "Odd \0 label"
    table.properties["odd"].description = "half \ud83d"
    await pulls.full("contacts")
    assert (await pulls.row("contacts", contact)).properties["odd"] == "a\ufffdb"
    ((label,),) = await pulls.sql("SELECT label FROM hubspot.associations WHERE label LIKE 'Odd%'")
    assert label == "Odd \ufffd label"
    ((label, words),) = await pulls.sql("SELECT label, description FROM hubspot.properties WHERE name = 'odd'")
    assert (label, words) == ("Odd \ufffd label", "half \ufffd")


async def test_what_does_not_fit_is_an_issue_until_it_is_mended(pulls: Pulls) -> None:
    deal = add(pulls.emulator, "deals", dealname="A", amount="12")
    table = pulls.emulator.portal.table("deals")
    record = table.records[int(deal)]
    record.properties |= {"amount": "a lot", "closedate": "someday", "dealtype": "surprise"}
    report = await pulls.pull("deals")
    assert report.issues == 3
    row = await pulls.row("deals", deal)
    assert (row.amount, row.close_at, row.deal_type, row.name) == (None, None, None, "A")
    assert row.properties["amount"] == "a lot"
    issues = await pulls.sql("SELECT record_id, property, value, stream FROM sync_issues ORDER BY property")
    assert [tuple(one) for one in issues] == [
        (int(deal), "amount", "a lot", "deals"),
        (int(deal), "closedate", "someday", "deals"),
        (int(deal), "dealtype", "surprise", "deals"),
    ]
    await pulls.assert_equal("deals")

    record.properties["amount"] = "NaN"
    pulls.emulator.portal.update(table, record, {"closedate": "2026-01-01T00:00:00Z", "dealtype": "newbusiness"})
    await pulls.changes("deals")
    ((name, value),) = await pulls.sql("SELECT property, value FROM sync_issues")
    assert (name, value) == ("amount", "NaN")
    pulls.emulator.portal.update(table, record, {"amount": "7.50"})
    await pulls.changes("deals")
    assert not await pulls.sql("SELECT * FROM sync_issues")
    assert str((await pulls.row("deals", deal)).amount) == "7.50"


@pytest.mark.parametrize("kind", ["html", "empty", "truncated"])
@pytest.mark.parametrize("path", ["*/search", "*/batch/read", "*associations*", "*/deals", "*/2026-03/deals*"])
async def test_a_page_that_is_none(pulls: Pulls, kind: str, path: str) -> None:
    """HTML, nothing, half of the JSON: each call repeats it, and when it lasts the run ends with an error."""
    pulls.api_version = "2026-03"
    company = add(pulls.emulator, "companies", name="A")
    for n in range(60):
        deal = add(pulls.emulator, "deals", dealname=f"Deal {n}")
        associate(pulls.emulator, "deals", deal, "companies", company)
    pulls.emulator.fault(kind, path=path, times=2)
    await pulls.full("deals")
    await pulls.assert_equal("deals")
    table = pulls.emulator.portal.table("deals")
    for record in table.records.values():
        pulls.emulator.portal.update(table, record, {"dealname": "B"})
    pulls.emulator.clear_faults()
    pulls.emulator.fault(kind, path=path, times=2)
    await pulls.changes("deals", catch_up=True)
    await pulls.assert_equal("deals")


def test_a_record_is_what_the_portal_says() -> None:
    """What is broken above is broken in the emulator, and is no client's invention."""
    assert Record.of({"id": "12x", "properties": {}}).id == "12x"
