"""The service that the queue and the commands use, against the emulator."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from crm_sync.hubspot import HubSpotClient, RetryRules
from crm_sync.hubspot.properties import PropertyDefinition
from crm_sync.push import ContactPushService, PropertyNames
from hubspot_emulator import EmulatorServer
from jobloop.outcome import Complete, Fail, Retry
from tests.push.contact_rows import Row

NAMES = PropertyNames(domain_id="my_domain", page_id="my_page", sync_date="my_date")


async def define(client: HubSpotClient) -> None:
    for name, kind, field in (
        ("my_domain", "string", "text"),
        ("my_page", "string", "text"),
        ("my_date", "date", "date"),
    ):
        await client.create_property("contacts", PropertyDefinition(name, name, kind, field, "contactinformation"))


async def test_a_batch_has_an_outcome_for_every_row(client: HubSpotClient) -> None:
    await define(client)
    rows = [Row("ann@x.com"), Row("no address"), Row("bob@x.com")]
    outcomes = await ContactPushService(client, NAMES).process_batch(rows)
    assert [type(outcomes[row.id]) for row in rows] == [Complete, Fail, Complete]


async def test_one_contact_is_pushed_and_read_back(client: HubSpotClient) -> None:
    await define(client)
    domain_id, page_id = UUID(int=1), UUID(int=2)
    row = Row("  ANN@x.com", name="Ann Lee", phone_number=" 0123 ", domain_id=domain_id, page_id=page_id)
    pushed = await ContactPushService(client, NAMES).push_one(row)
    assert isinstance(pushed.outcome, Complete)
    assert pushed.record is not None
    assert pushed.outcome.values == {"hubspot_contact_id": pushed.record.id}
    held = {name: pushed.record.properties[name] for name in pushed.sent}
    today = datetime.now(UTC).date().isoformat()
    assert held == dict(pushed.sent)
    assert held == {
        "email": "ann@x.com",
        "firstname": "Ann",
        "lastname": "Lee",
        "phone": "0123",
        "my_domain": str(domain_id),
        "my_page": str(page_id),
        "my_date": today,
    }


async def test_one_contact_that_cannot_be_pushed_says_why(client: HubSpotClient, emulator: EmulatorServer) -> None:
    pushed = await ContactPushService(client).push_one(Row(None))
    assert isinstance(pushed.outcome, Fail)
    assert (dict(pushed.sent), pushed.record) == ({}, None)
    assert emulator.calls() == []


async def test_one_contact_refused_by_hubspot_keeps_its_message(client: HubSpotClient) -> None:
    pushed = await ContactPushService(client).push_one(Row("ann@x.com"))
    assert isinstance(pushed.outcome, Fail)
    assert "scrapersky_sync_date" in pushed.outcome.error
    assert pushed.sent["email"] == "ann@x.com"


async def test_a_push_stands_also_when_it_cannot_be_read_back(client: HubSpotClient, emulator: EmulatorServer) -> None:
    await define(client)
    emulator.fault("503", method="GET", path="*/contacts/*", times=0)
    pushed = await ContactPushService(client, NAMES).push_one(Row("ann@x.com"))
    assert isinstance(pushed.outcome, Complete)
    assert pushed.record is None


async def test_the_date_of_a_push_is_the_day_it_runs(client: HubSpotClient, emulator: EmulatorServer) -> None:
    await define(client)
    days = iter([datetime(2026, 11, 21, tzinfo=UTC).date(), datetime(2026, 11, 22, tzinfo=UTC).date()])
    service = ContactPushService(client, NAMES, today=lambda: next(days))
    for day in ("2026-11-21", "2026-11-22"):
        await service.process_batch([Row("ann@x.com")])
        assert emulator.records("contacts")[0]["my_date"] == day


async def test_an_unreachable_hubspot_sends_every_row_back() -> None:
    async with HubSpotClient("http://127.0.0.1:1", "pat-any", retries=RetryRules(scale=0)) as client:
        rows = [Row("ann@x.com"), Row("bob@x.com", "7")]
        outcomes = await ContactPushService(client).process_batch(rows)
    assert all(isinstance(outcome, Retry) for outcome in outcomes.values())
