"""The client against the emulator: every operation, in both families of addresses."""

from __future__ import annotations

import asyncio

import pytest

from crm_sync.hubspot import HubSpotClient, RecordInput, RetryRules
from crm_sync.hubspot.errors import (
    Conflict,
    DailyLimit,
    HubSpotError,
    Migrating,
    MissingScopes,
    NotFound,
    Unauthorized,
    ValidationFailed,
)
from crm_sync.hubspot.properties import PropertyDefinition, PropertyGroup
from hubspot_emulator import EmulatorServer

AT_ONCE = RetryRules(scale=0)


def inputs(*emails: str, traced: bool = True) -> list[RecordInput]:
    return [RecordInput(email, {"email": email}, f"trace-{email}" if traced else None) for email in emails]


async def test_a_contact_is_created_read_and_updated(hubspot: HubSpotClient) -> None:
    created = await hubspot.create("contacts", {"email": "Ann@X.com", "firstname": "Ann"})
    assert created.properties["email"] == "ann@x.com"
    assert created.created_at is not None
    assert created.created_at.tzinfo is not None
    updated = await hubspot.update("contacts", created.id, {"lastname": "Lee", "firstname": ""})
    assert updated.id == created.id
    by_id = await hubspot.get("contacts", created.id, properties=["firstname", "lastname"])
    assert (by_id.properties["firstname"], by_id.properties["lastname"]) == (None, "Lee")
    by_email = await hubspot.get("contacts", "ANN@x.com", id_property="email", properties=["email"])
    assert by_email.id == created.id


async def test_what_is_not_there_is_not_found(hubspot: HubSpotClient) -> None:
    with pytest.raises(NotFound):
        await hubspot.get("contacts", "12345")
    with pytest.raises(NotFound):
        await hubspot.update("contacts", "nobody@x.com", {"firstname": "A"}, id_property="email")


async def test_a_second_contact_with_the_same_email_is_a_conflict_that_names_the_first(hubspot: HubSpotClient) -> None:
    first = await hubspot.create("contacts", {"email": "ann@x.com"})
    with pytest.raises(Conflict) as caught:
        await hubspot.create("contacts", {"email": "ANN@X.com"})
    assert caught.value.existing_id == first.id


async def test_a_batch_upsert_creates_and_updates(hubspot: HubSpotClient) -> None:
    known = await hubspot.create("contacts", {"email": "ann@x.com"})
    result = await hubspot.batch_upsert("contacts", inputs("ann@x.com", "bob@x.com"), id_property="email")
    found = {record.trace_id: record for record in result.results}
    assert found["trace-ann@x.com"].id == known.id
    assert (found["trace-ann@x.com"].new, found["trace-bob@x.com"].new) == (False, True)
    assert (result.errors, result.num_errors) == ((), 0)


async def test_partial_batch_failure_names_the_input_and_the_property(hubspot: HubSpotClient) -> None:
    good, bad = inputs("ann@x.com", "bob@x")
    result = await hubspot.batch_upsert("contacts", [bad, good], id_property="email")
    assert [record.trace_id for record in result.results] == ["trace-ann@x.com"]
    (error,) = result.errors
    assert (error.trace_ids, error.category, result.num_errors) == (("trace-bob@x",), "VALIDATION_ERROR", 1)
    assert error.details[0].code == "INVALID_EMAIL"
    assert "bob@x" in error.summary


async def test_without_trace_ids_one_bad_input_refuses_all(hubspot: HubSpotClient, emulator: EmulatorServer) -> None:
    with pytest.raises(ValidationFailed, match="INVALID_EMAIL"):
        await hubspot.batch_upsert("contacts", inputs("ann@x.com", "bob@x", traced=False), id_property="email")
    assert emulator.records("contacts") == []


async def test_duplicate_inside_a_batch_refuses_all(hubspot: HubSpotClient) -> None:
    with pytest.raises(ValidationFailed, match="Duplicate"):
        await hubspot.batch_upsert("contacts", inputs("ann@x.com", "ANN@x.com"), id_property="email")


async def test_a_batch_update_goes_by_record_id(hubspot: HubSpotClient) -> None:
    ann = await hubspot.create("contacts", {"email": "ann@x.com"})
    update = RecordInput(ann.id, {"firstname": "Ann"}, "a")
    missing = RecordInput("404404", {"firstname": "Bob"}, "b")
    result = await hubspot.batch_update("contacts", [missing, update])
    assert [record.id for record in result.results] == [ann.id]
    assert [(error.category, error.trace_ids) for error in result.errors] == [("OBJECT_NOT_FOUND", ("b",))]


async def test_a_batch_read_finds_what_is_there(hubspot: HubSpotClient) -> None:
    ann = await hubspot.create("contacts", {"email": "ann@x.com", "firstname": "Ann"})
    result = await hubspot.batch_read(
        "contacts", ["ann@x.com", "bob@x.com"], properties=["firstname"], id_property="email"
    )
    assert [(record.id, record.properties["firstname"]) for record in result.results] == [(ann.id, "Ann")]
    assert result.errors[0].ids == ("bob@x.com",)


async def test_a_search_pages_through_its_matches(hubspot: HubSpotClient) -> None:
    for number in range(3):
        await hubspot.create("contacts", {"email": f"c{number}@x.com", "lastname": "Lee"})
    filters = [{"propertyName": "lastname", "operator": "EQ", "value": "Lee"}]
    first = await hubspot.search("contacts", filters, properties=["email"], sort="-email", limit=2)
    rest = await hubspot.search("contacts", filters, properties=["email"], sort="-email", limit=2, after=first.after)
    emails = [record.properties["email"] for page in (first, rest) for record in page.records]
    assert emails == ["c2@x.com", "c1@x.com", "c0@x.com"]
    assert (first.total, rest.after) == (3, None)


async def test_properties_are_listed_and_created_once(hubspot: HubSpotClient) -> None:
    definition = PropertyDefinition("shoe_size", "Shoe size", "string", "text", "contactinformation")
    created = await hubspot.create_property("contacts", definition)
    assert created.name == "shoe_size"
    with pytest.raises(Conflict):
        await hubspot.create_property("contacts", definition)
    listed = {found.name: found for found in await hubspot.list_properties("contacts")}
    assert listed["shoe_size"].type == "string"
    assert "email" in listed


async def test_property_groups_are_listed_and_created_once(hubspot: HubSpotClient) -> None:
    group = PropertyGroup("shoes", "Shoes")
    assert await hubspot.create_property_group("contacts", group) == group
    with pytest.raises(Conflict):
        await hubspot.create_property_group("contacts", group)
    assert group in await hubspot.list_property_groups("contacts")


async def test_the_account_and_its_calls_of_today(hubspot: HubSpotClient, emulator: EmulatorServer) -> None:
    assert (await hubspot.account()).portal_id == emulator.portal.id
    usage = await hubspot.daily_usage()
    assert usage.used < usage.limit
    assert usage.resets_at is not None


async def test_a_batch_is_never_empty_nor_over_100(hubspot: HubSpotClient, emulator: EmulatorServer) -> None:
    assert (await hubspot.batch_update("contacts", [])).results == ()
    with pytest.raises(ValueError, match="at most 100"):
        await hubspot.batch_read("contacts", [str(number) for number in range(101)])
    assert emulator.calls() == []


async def test_calls_are_counted_by_operation_and_status(client: HubSpotClient) -> None:
    await client.create("contacts", {"email": "ann@x.com"})
    with pytest.raises(NotFound):
        await client.get("contacts", "1")
    assert client.counts.total == 2
    assert client.counts.by_operation == {"contacts.create": 1, "contacts.get": 1}
    assert client.counts.by_status == {"201": 1, "404": 1}


@pytest.mark.parametrize("kind", ["502", "503", "500", "524", "cut", "truncated", "html", "empty", "423"])
async def test_an_upsert_survives_a_passing_fault(client: HubSpotClient, emulator: EmulatorServer, kind: str) -> None:
    emulator.fault(kind, path="*/batch/upsert")
    result = await client.batch_upsert("contacts", inputs("ann@x.com"), id_property="email")
    assert len(result.results) == 1
    assert client.counts.repeated == 1


@pytest.mark.parametrize("kind", ["502-after", "cut-after", "truncated"])
async def test_5xx_after_it_was_applied_is_repeated_for_an_upsert_only(
    client: HubSpotClient, emulator: EmulatorServer, kind: str
) -> None:
    emulator.fault(kind, path="*/batch/upsert")
    result = await client.batch_upsert("contacts", inputs("ann@x.com"), id_property="email")
    assert [record.new for record in result.results] == [False]
    emulator.fault(kind, method="POST", path="*/contacts")
    with pytest.raises(HubSpotError) as caught:
        await client.create("contacts", {"email": "bob@x.com"})
    assert caught.value.may_have_applied
    assert [record["email"] for record in emulator.records("contacts")] == ["ann@x.com", "bob@x.com"]


@pytest.mark.parametrize("kind", ["429-ten-secondly", "429-secondly"])
async def test_429_by_policy_without_retry_after_is_waited_for(
    client: HubSpotClient, emulator: EmulatorServer, kind: str
) -> None:
    emulator.fault(kind, times=2)
    await client.create("contacts", {"email": "ann@x.com"})
    assert client.counts.by_status == {"429": 2, "201": 1}


async def test_daily_limit_is_raised_at_once(client: HubSpotClient, emulator: EmulatorServer) -> None:
    emulator.fault("429-daily", times=0)
    with pytest.raises(DailyLimit, match="daily HubSpot calls are spent"):
        await client.get("contacts", "1")
    assert client.counts.total == 1


async def test_477_migration_is_raised_with_its_delay(client: HubSpotClient, emulator: EmulatorServer) -> None:
    emulator.fault("477", retry_after_seconds=7200)
    with pytest.raises(Migrating) as caught:
        await client.get("contacts", "1")
    assert caught.value.retry_after_seconds == 7200


async def test_401_revoked_or_expired(emulator: EmulatorServer) -> None:
    revoked = emulator.add_token("pat-revoked-token-0001", status="revoked")
    expired = emulator.add_token("pat-expired-token-0001", status="expired")
    for token in (revoked, expired, "pat-never-seen-0001"):
        async with HubSpotClient(emulator.url, token, retries=AT_ONCE) as client:
            with pytest.raises(Unauthorized, match="Check HUBSPOT_API_KEY") as caught:
                await client.batch_upsert("contacts", inputs("ann@x.com"), id_property="email")
            assert token not in f"{caught.value} {caught.value!r}"
            assert client.counts.total == 1


async def test_403_scope_names_the_scope(emulator: EmulatorServer) -> None:
    reader = emulator.add_token("pat-reader-token-0001", scopes=["crm.objects.contacts.read"])
    async with HubSpotClient(emulator.url, reader, retries=AT_ONCE) as client:
        with pytest.raises(MissingScopes, match=r"crm\.objects\.contacts\.write"):
            await client.create("contacts", {"email": "ann@x.com"})


async def test_the_limit_of_the_account_is_kept_without_a_single_429(emulator: EmulatorServer) -> None:
    """The limiter learns the account's limit from the headers and stays below it, 20 calls at a time."""
    emulator.set_tier("enterprise")
    async with HubSpotClient(emulator.url, emulator.token, retries=AT_ONCE) as client:
        await client.get("contacts", (await client.create("contacts", {"email": "a@x.com"})).id)
        await asyncio.gather(*(client.list_properties("contacts") for _ in range(188)))
        assert client.counts.by_status == {"201": 1, "200": 189}
