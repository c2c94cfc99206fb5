"""Associations: what came in line is used, the rest is read in batches, and changes of theirs are found."""

from __future__ import annotations

import pytest

from crm_sync.pull.streams import GROUPS
from crm_sync.pull.wish import Wants
from tests.hubspot.live import add, associate
from tests.pull.pulling import Pulls
from tests.pull.test_full import SMALL

ENGAGEMENTS = GROUPS["engagements"]


@pytest.mark.parametrize("count", [100, 101, 501, 1_203])
async def test_association_paging_and_labels(either: Pulls, count: int) -> None:
    """In line, HubSpot shows a hundred; in a batch five hundred a page."""
    emulator = either.emulator
    contact = add(emulator, "contacts", email="a@example.com")
    for n in range(count):
        company = add(emulator, "companies", name=f"Company {n}")
        associate(emulator, "contacts", contact, "companies", company, *(["Employer"] if n % 3 == 0 else []))
    report = await either.pull("contacts")
    await either.assert_equal("contacts")
    labels = -(-count // 3)
    assert report.associations == count + labels + 1  # and the primary one
    found = await either.sql("SELECT label, count(*) FROM hubspot.associations GROUP BY 1 ORDER BY 1")
    assert [tuple(row) for row in found] == [("Employer", labels), ("Primary", 1), (None, count)]


async def test_labels_of_the_account_cost_two_calls_a_day(pulls: Pulls) -> None:
    company = add(pulls.emulator, "companies", name="A")
    for n in range(150):
        contact = add(pulls.emulator, "contacts", email=f"a{n}@example.com")
        associate(pulls.emulator, "contacts", contact, "companies", company, "Employer", "Board member")
    await pulls.full("contacts")
    await pulls.assert_equal("contacts")
    cold = pulls.emulator.counts()
    assert sum(number for route, number in cold.items() if "abel" in route or "types" in route) == 2
    assert not any("associations.batch_read" in route for route in cold)
    await pulls.full("contacts")
    warm = pulls.emulator.counts()
    assert {route for route in warm if warm[route] != cold.get(route)} <= {
        "objects.list contacts", "account.details ", "objects.search contacts"
    }  # fmt: skip


async def test_association_change_without_modified_date(pulls: Pulls) -> None:
    """Found when the associations are read again: once a day, or when asked to."""
    emulator = pulls.emulator
    deals = [add(emulator, "deals", dealname=f"Deal {n}") for n in range(3)]
    companies = [add(emulator, "companies", name=f"Company {n}") for n in range(3)]
    contact = add(emulator, "contacts", email="a@example.com")
    for deal in deals:
        associate(emulator, "deals", deal, "companies", companies[0])
    await pulls.full("deals")
    await pulls.let_time_pass(600)
    await pulls.changes("deals")
    store, portal = emulator.portal.relations.store, emulator.portal
    types = [portal.table(name).type for name in ("deals", "companies")]
    store.separate(*types, int(deals[0]), int(companies[0]))
    associate(emulator, "deals", deals[1], "companies", companies[1], "Payer")
    associate(emulator, "deals", deals[2], "contacts", contact)

    await pulls.let_time_pass(600)
    report = (await pulls.changes("deals"))["deals"]
    assert report.associations == 0
    assert len(await pulls.differences("deals")) > 3
    report = (await pulls.changes("deals", catch_up=True))["deals"]
    await pulls.assert_equal("deals")
    assert report.fetched == 0

    store.separate(*types, int(deals[1]), int(companies[1]))
    await pulls.let_time_pass(86_400)
    await pulls.pull("deals")
    await pulls.assert_equal("deals")


async def test_associations_to_what_was_archived_go(pulls: Pulls) -> None:
    contact = add(pulls.emulator, "contacts", email="a@example.com")
    deal = add(pulls.emulator, "deals", dealname="A")
    associate(pulls.emulator, "deals", deal, "contacts", contact)
    await pulls.full("contacts", "deals")
    assert await pulls.sql("SELECT * FROM hubspot.associations WHERE from_type = 'deals'")
    table = pulls.emulator.portal.table("contacts")
    pulls.emulator.portal.archive(table, table.records[int(contact)])
    await pulls.changes("contacts", catch_up=True)
    assert not await pulls.sql("SELECT * FROM hubspot.associations WHERE from_type = 'deals'")
    await pulls.assert_equal("contacts", "deals")


async def test_associations_alone_to_any_stream(pulls: Pulls) -> None:
    contact = add(pulls.emulator, "contacts", email="a@example.com")
    deal = add(pulls.emulator, "deals", dealname="A")
    associate(pulls.emulator, "deals", deal, "contacts", contact)
    await pulls.full("contacts", "deals")
    report = await pulls.pull("contacts", Wants.ASSOCIATIONS, targets=("deals",))
    assert (report.associations, report.fetched) == (1, 0)
    ((type_id, to_id),) = await pulls.sql(
        "SELECT type_id, to_id FROM hubspot.associations WHERE from_type = 'contacts'"
    )
    assert (type_id, to_id) == (4, int(deal))
    await pulls.assert_equal("contacts", "deals")


async def test_engagements_of_a_busy_deal_take_few_calls(either: Pulls) -> None:
    """263 of them: one call each, and one for the deal, were the 264 of a reading record by record."""
    sizes = {
        **SMALL,
        "deals": 1,
        "busy_deal_activities": 263,
        "crowded_associations": 0,
        "contacts": 20,
        "companies": 3,
    }
    either.emulator.seed(4, **sizes)
    cold = await either.full(*ENGAGEMENTS)
    await either.assert_equal(*ENGAGEMENTS)
    assert sum(report.inserted for report in cold.values()) == 263
    # For each: its properties, once a day; its list, with all associations; its recycle bin, once an hour.
    assert sum(report.calls for report in cold.values()) == 5 + 5 + 5

    await either.sql("UPDATE hubspot.properties SET synced_at = now()")
    before = len(either.emulator.calls())
    warm = await either.full(*ENGAGEMENTS)
    assert len(either.emulator.calls()) - before == sum(report.calls for report in warm.values()) == 5
    changed = await either.changes(*ENGAGEMENTS)
    assert sum(report.calls for report in changed.values()) == 5
