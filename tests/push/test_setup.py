"""The account learns the custom properties, once."""

from __future__ import annotations

from crm_sync.hubspot import HubSpotClient
from crm_sync.hubspot.properties import PropertyDefinition, PropertyGroup
from crm_sync.push import ContactPushService, PropertyNames, setup_properties
from crm_sync.push.setup import State
from jobloop.outcome import Complete
from tests.push.contact_rows import Row

NAMES = PropertyNames()


async def test_what_is_missing_is_created_and_a_second_run_changes_nothing(client: HubSpotClient) -> None:
    first = await setup_properties(client, NAMES)
    assert [(step.kind, step.name, step.state) for step in first] == [
        ("group", "scrapersky", State.CREATED),
        ("property", "scrapersky_domain_id", State.CREATED),
        ("property", "scrapersky_page_id", State.CREATED),
        ("property", "scrapersky_sync_date", State.CREATED),
    ]
    second = await setup_properties(client, NAMES)
    assert {step.state for step in second} == {State.EXISTS}
    assert client.counts.by_operation["contacts.properties.create"] == 3


async def test_after_setup_a_contact_can_be_pushed(client: HubSpotClient) -> None:
    await setup_properties(client, NAMES)
    assert isinstance((await ContactPushService(client, NAMES).push_one(Row())).outcome, Complete)


async def test_a_run_that_was_broken_off_is_gone_on_with(client: HubSpotClient) -> None:
    await client.create_property_group("contacts", PropertyGroup("scrapersky", "ScraperSky"))
    await client.create_property(
        "contacts", PropertyDefinition("scrapersky_domain_id", "x", "string", "text", "scrapersky")
    )
    states = [step.state for step in await setup_properties(client, NAMES)]
    assert states == [State.EXISTS, State.EXISTS, State.CREATED, State.CREATED]


async def test_a_property_of_another_type_is_reported_and_left_alone(client: HubSpotClient) -> None:
    await client.create_property(
        "contacts", PropertyDefinition(NAMES.sync_date, "x", "string", "text", "contactinformation")
    )
    *_, step = await setup_properties(client, NAMES)
    assert (step.name, step.state) == (NAMES.sync_date, State.DIFFERS)
    assert step.note == "it is of type string, the push writes date"
