"""Answers that lack something without saying so."""

from __future__ import annotations

import asyncio

from tests.hubspot.live import add, associate, define
from tests.pull.lossy import lossy_client
from tests.pull.pulling import Pulls


async def test_associations_of_which_the_last_page_is_lost_do_not_end(pulls: Pulls) -> None:
    """association paging and labels: half an answer would end the associations of the other half."""
    note = add(pulls.emulator, "notes", hs_timestamp="1700000000000")
    for n in range(1_100):
        associate(pulls.emulator, "notes", note, "contacts", add(pulls.emulator, "contacts", email=f"a{n}@example.com"))
    async with lossy_client(pulls) as client:
        report = await pulls.pull("notes")
        await pulls.assert_equal("notes")
        assert report.associations == 1_100
        client.silent = 1
        report = (await pulls.changes("notes", catch_up=True))["notes"]
        await pulls.assert_equal("notes")
        assert (report.associations, client.silent) == (0, 0)
        client.silent = 100
        report = (await pulls.changes("notes", catch_up=True))["notes"]
        assert "did not answer" in report.notes[0]
        await pulls.assert_equal("notes")


async def test_a_page_of_a_search_whose_records_are_all_gone(pulls: Pulls) -> None:
    await pulls.full("companies")
    for n in range(500):
        add(pulls.emulator, "companies", name=f"Company {n}")
    async with lossy_client(pulls) as client:
        client.emptied = 1
        async with asyncio.timeout(30):
            report = (await pulls.changes("companies"))["companies"]
    assert report.fetched == report.inserted == 300


async def test_a_record_that_one_part_of_a_listing_lacks_is_not_lost(pulls: Pulls) -> None:
    """1,000 properties take two addresses; between the two a record is restored and moves the others by one."""
    define(pulls.emulator, "companies", *(f"property_with_a_long_name_{n:04d}" for n in range(600)))
    ids = [add(pulls.emulator, "companies", name=f"Company {n}") for n in range(250)]
    table = pulls.emulator.portal.table("companies")
    first = table.records[int(ids[0])]
    pulls.emulator.portal.archive(table, first)

    async def restore() -> None:
        while len(pulls.emulator.calls("objects.list")) < 1:
            await asyncio.sleep(0)
        table.archive.clear()
        first.archived_ms = None

    async with lossy_client(pulls) as client:
        client.before_part = restore
        await pulls.full("companies")
    assert len(await pulls.sql("SELECT 1 FROM hubspot.companies")) == 250
    await pulls.assert_equal("companies")
