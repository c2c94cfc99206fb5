"""Rows to the emulator over HTTP: what each row's outcome is, whatever else is in its batch."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest

from crm_sync.hubspot import HubSpotClient, RetryRules
from crm_sync.push.deliver import deliver
from crm_sync.push.mappings import PropertyNames, contact_mapping, contact_properties
from hubspot_emulator import EmulatorServer
from jobloop.outcome import Complete, Fail, Outcome, Pause, Retry
from tests.hubspot.wire import answer, wire
from tests.push.contact_rows import Row

DAY = date(2026, 11, 21)
MAPPING = contact_mapping(PropertyNames())


@pytest.fixture(autouse=True)
async def custom_properties(client: HubSpotClient, emulator: EmulatorServer) -> None:
    for definition in contact_properties(PropertyNames()):
        body = {**definition.body(), "groupName": "contactinformation"}
        await client.create_property("contacts", type(definition).of(body))
    with emulator.account.lock:
        emulator.account.calls.clear()


async def push(client: HubSpotClient, *rows: Row) -> Mapping[UUID, Outcome]:
    outcomes = await deliver(client, MAPPING, rows, DAY)
    assert set(outcomes) == {row.id for row in rows}
    return outcomes


def record_id(outcome: Outcome) -> str:
    assert isinstance(outcome, Complete), outcome
    found = outcome.values["hubspot_contact_id"]
    assert isinstance(found, str)
    return found


def writes(emulator: EmulatorServer) -> list[tuple[str, int]]:
    """Route and status of each call."""
    return [(call.route.removeprefix("objects."), call.status) for call in emulator.calls()]


def contacts(emulator: EmulatorServer) -> dict[str, dict[str, str]]:
    return {record.get("email", ""): record for record in emulator.records("contacts")}


async def test_100_contacts_cost_one_call(client: HubSpotClient, emulator: EmulatorServer) -> None:
    rows = [Row(f"c{number}@x.com", name=f"First{number} Last") for number in range(100)]
    outcomes = await push(client, *rows)
    held = contacts(emulator)
    assert writes(emulator) == [("batch_upsert", 200)]
    for number, row in enumerate(rows):
        contact = held[f"c{number}@x.com"]
        assert record_id(outcomes[row.id]) == contact["hs_object_id"]
        assert contact["firstname"] == f"First{number}"
        assert contact["scrapersky_sync_date"] == "2026-11-21"


async def test_more_than_100_rows_go_in_several_calls(client: HubSpotClient, emulator: EmulatorServer) -> None:
    outcomes = await push(client, *(Row(f"c{number}@x.com") for number in range(250)))
    assert all(isinstance(outcome, Complete) for outcome in outcomes.values())
    assert [call.inputs for call in emulator.calls()] == [100, 100, 50]


async def test_pushing_again_updates_the_same_contacts(client: HubSpotClient, emulator: EmulatorServer) -> None:
    row = Row("ann@x.com", name="Ann Lee")
    first = record_id((await push(client, row))[row.id])
    row.name = "Ann Smith"
    assert record_id((await push(client, row))[row.id]) == first
    assert contacts(emulator)["ann@x.com"]["lastname"] == "Smith"
    assert len(contacts(emulator)) == 1


async def test_email_case_and_whitespace(client: HubSpotClient, emulator: EmulatorServer) -> None:
    row = Row("  Ann.LEE@X.com\u00a0")
    outcomes = await push(client, row)
    assert record_id(outcomes[row.id]) == contacts(emulator)["ann.lee@x.com"]["hs_object_id"]


async def test_duplicate_inside_a_batch(client: HubSpotClient, emulator: EmulatorServer) -> None:
    older, newer = Row("Ann@x.com", minute=1, name="Old Name"), Row("ann@x.com ", minute=2, name="New Name")
    outcomes = await push(client, older, newer)
    assert record_id(outcomes[older.id]) == record_id(outcomes[newer.id])
    assert contacts(emulator)["ann@x.com"]["firstname"] == "New"
    assert writes(emulator) == [("batch_upsert", 200)]


async def test_email_changed_at_the_source(client: HubSpotClient, emulator: EmulatorServer) -> None:
    row = Row("old@x.com")
    row.hubspot_contact_id = record_id((await push(client, row))[row.id])
    row.email = "new@x.com"
    assert record_id((await push(client, row))[row.id]) == row.hubspot_contact_id
    assert list(contacts(emulator)) == ["new@x.com"]


async def test_a_new_contact_may_take_the_email_that_another_gives_up(
    client: HubSpotClient, emulator: EmulatorServer
) -> None:
    moved = Row("shared@x.com")
    moved.hubspot_contact_id = record_id((await push(client, moved))[moved.id])
    moved.email = "own@x.com"
    new = Row("shared@x.com", name="New Person")
    outcomes = await push(client, new, moved)
    assert record_id(outcomes[moved.id]) == moved.hubspot_contact_id
    assert record_id(outcomes[new.id]) != moved.hubspot_contact_id
    assert contacts(emulator)["shared@x.com"]["firstname"] == "New"


async def test_an_email_that_passes_from_one_contact_to_another_in_one_batch(
    client: HubSpotClient, emulator: EmulatorServer
) -> None:
    first, second = Row("one@x.com"), Row("two@x.com")
    outcomes = await push(client, first, second)
    first.hubspot_contact_id = record_id(outcomes[first.id])
    second.hubspot_contact_id = record_id(outcomes[second.id])
    first.email, second.email = "two@x.com", "three@x.com"
    outcomes = await push(client, first, second)
    assert {email: held["hs_object_id"] for email, held in contacts(emulator).items()} == {
        "two@x.com": first.hubspot_contact_id,
        "three@x.com": second.hubspot_contact_id,
    }
    assert all(isinstance(outcome, Complete) for outcome in outcomes.values())


async def test_an_email_that_belongs_to_another_contact_keeps_hubspots_message(
    client: HubSpotClient, emulator: EmulatorServer
) -> None:
    taken, row, other = Row("taken@x.com"), Row("ann@x.com"), Row("bob@x.com")
    outcomes = await push(client, taken, row, other)
    row.hubspot_contact_id, other.hubspot_contact_id = (record_id(outcomes[item.id]) for item in (row, other))
    row.email, other.name = "taken@x.com", "Bob Smith"
    outcomes = await push(client, row, other)
    refused = outcomes[row.id]
    assert isinstance(refused, Fail)
    assert "409 CONFLICT: Contact already exists. Existing ID:" in refused.error
    assert record_id(outcomes[other.id]) == other.hubspot_contact_id
    assert contacts(emulator)["bob@x.com"]["lastname"] == "Smith"


async def test_merged_record(client: HubSpotClient, emulator: EmulatorServer) -> None:
    kept, merged, plain = Row("kept@x.com"), Row("merged@x.com"), Row("plain@x.com")
    outcomes = await push(client, kept, merged, plain)
    kept_id, merged_id = record_id(outcomes[kept.id]), record_id(outcomes[merged.id])
    with emulator.account.lock:
        table = emulator.portal.table("contacts")
        table.remove(table.records[int(merged_id)])
        table.merged[int(merged_id)] = int(kept_id)
    merged.hubspot_contact_id, merged.email = merged_id, "merged2@x.com"
    plain.hubspot_contact_id = record_id(outcomes[plain.id])
    outcomes = await push(client, merged, plain)
    assert record_id(outcomes[merged.id]) == kept_id
    assert record_id(outcomes[plain.id]) == plain.hubspot_contact_id


@pytest.mark.parametrize("fate", ["archive", "purge"])
async def test_archived_and_purged_records_are_upserted_again(
    client: HubSpotClient, emulator: EmulatorServer, fate: str
) -> None:
    row = Row("ann@x.com")
    row.hubspot_contact_id = record_id((await push(client, row))[row.id])
    with emulator.account.lock:
        table = emulator.portal.table("contacts")
        getattr(emulator.portal, fate)(table, table.records[int(row.hubspot_contact_id)])
    again = record_id((await push(client, row))[row.id])
    assert again != row.hubspot_contact_id
    assert contacts(emulator)["ann@x.com"]["hs_object_id"] == again


async def test_a_stale_id_without_record_and_a_known_email_find_the_contact(client: HubSpotClient) -> None:
    row, stale = Row("ann@x.com"), Row("ann@x.com", "404404")
    first = record_id((await push(client, row))[row.id])
    assert record_id((await push(client, stale))[stale.id]) == first


async def test_partial_batch_failure_fails_the_culprit_with_hubspots_message(
    client: HubSpotClient, emulator: EmulatorServer
) -> None:
    good, refused, hopeless = Row("ann@x.com"), Row("bob@x..com"), Row("no address")
    outcomes = await push(client, good, refused, hopeless)
    assert record_id(outcomes[good.id])
    outcome = outcomes[refused.id]
    assert isinstance(outcome, Fail)
    assert "INVALID_EMAIL" in outcome.error
    assert "bob@x..com" in outcome.error
    assert outcomes[hopeless.id] == Fail("The contact's e-mail address is not one: it needs the form name@host.domain.")
    assert writes(emulator) == [("batch_upsert", 207)]


@pytest.mark.parametrize(
    "switches",
    [{"trace_ids_supported": False}, {"email_upsert_may_be_partial": False}],
    ids=["no trace ids", "no partial upsert by e-mail"],
)
async def test_a_batch_refused_as_a_whole_is_halved_until_the_culprit_stands_alone(
    client: HubSpotClient, emulator: EmulatorServer, switches: dict[str, bool]
) -> None:
    for name, value in switches.items():
        setattr(emulator.behaviour, name, value)
    rows = [Row(f"c{number}@x.com") for number in range(99)]
    bad = Row("bob@x..com")
    rows.insert(37, bad)
    outcomes = await push(client, *rows)
    refused = outcomes.pop(bad.id)
    assert isinstance(refused, Fail)
    assert "INVALID_EMAIL" in refused.error
    assert all(isinstance(outcome, Complete) for outcome in outcomes.values())
    assert len(contacts(emulator)) == 99
    assert len(emulator.calls()) <= 1 + 2 * 7


async def test_updates_refused_as_a_whole_are_halved_too(client: HubSpotClient, emulator: EmulatorServer) -> None:
    emulator.behaviour.trace_ids_supported = False
    rows = [Row(f"c{number}@x.com") for number in range(8)]
    outcomes = await push(client, *rows)
    for row in rows:
        row.hubspot_contact_id = record_id(outcomes[row.id])
    gone, bad = rows[2], rows[5]
    gone.hubspot_contact_id = "404404"
    bad.email = "bob@x..com"
    outcomes = await push(client, *rows)
    assert isinstance(outcomes.pop(bad.id), Fail)
    assert all(isinstance(outcome, Complete) for outcome in outcomes.values())


@pytest.mark.parametrize("traced", [True, False])
async def test_unknown_property_fails_all_that_carry_it_without_halving(
    client: HubSpotClient, emulator: EmulatorServer, traced: bool
) -> None:
    emulator.behaviour.trace_ids_supported = traced
    mapping = contact_mapping(PropertyNames(page_id="nobody_made_this"))
    page_id = UUID(int=7)
    carriers = [Row(f"p{number}@x.com", page_id=page_id) for number in range(60)]
    others = [Row(f"o{number}@x.com") for number in range(40)]
    outcomes = await deliver(client, mapping, [*carriers, *others], DAY)
    for row in carriers:
        outcome = outcomes[row.id]
        assert isinstance(outcome, Fail)
        assert 'Property "nobody_made_this" does not exist [PROPERTY_DOESNT_EXIST]' in outcome.error
        assert "crm-sync push setup" in outcome.error
    assert all(isinstance(outcomes[row.id], Complete) for row in others)
    assert len(emulator.calls()) <= 2


async def test_read_only_property_fails_with_hubspots_message(client: HubSpotClient) -> None:
    mapping = contact_mapping(PropertyNames(page_id="createdate"))
    row = Row(page_id=UUID(int=7))
    outcome = (await deliver(client, mapping, [row], DAY))[row.id]
    assert isinstance(outcome, Fail)
    assert "READ_ONLY_VALUE" in outcome.error


async def test_silent_loss_is_tried_again_later(client: HubSpotClient, emulator: EmulatorServer) -> None:
    emulator.behaviour.silent_loss_every = 1
    rows = [Row(f"c{number}@x.com") for number in range(10)]
    outcomes = await push(client, *rows)
    lost = [outcome for outcome in outcomes.values() if isinstance(outcome, Retry)]
    assert len(lost) == 1
    assert "answered nothing about this record" in lost[0].error
    emulator.behaviour.silent_loss_every = 0
    assert all(isinstance(outcome, Complete) for outcome in (await push(client, *rows)).values())
    assert len(contacts(emulator)) == 10


async def test_secondary_email_finds_its_contact(client: HubSpotClient, emulator: EmulatorServer) -> None:
    row = Row("ann@x.com")
    first = record_id((await push(client, row))[row.id])
    with emulator.account.lock:
        table = emulator.portal.table("contacts")
        record = table.records[int(first)]
        record.properties["hs_additional_emails"] = "ann@old.com"
        table.hold(record)
    secondary, other = Row("ann@old.com", minute=1), Row("bob@x.com")
    outcomes = await push(client, secondary, row, other)
    assert record_id(outcomes[secondary.id]) == first
    assert record_id(outcomes[row.id]) == first
    assert isinstance(outcomes[other.id], Complete)
    assert contacts(emulator)["ann@x.com"]["hs_additional_emails"] == "ann@old.com"


async def test_a_conflict_over_another_unique_value_never_writes_to_the_record_it_names(
    client: HubSpotClient, emulator: EmulatorServer
) -> None:
    with emulator.account.lock:
        table = emulator.portal.table("contacts")
        table.properties["scrapersky_page_id"].unique = True
        table.unique["scrapersky_page_id"] = {}
    page_id = UUID(int=7)
    ann, bob, cid = Row("ann@x.com", page_id=page_id), Row("bob@x.com", name="Bob", page_id=page_id), Row("cid@x.com")
    await push(client, ann)
    outcomes = await push(client, bob, cid)
    refused = outcomes[bob.id]
    assert isinstance(refused, Retry)
    assert "Existing ID:" in refused.error
    assert isinstance(outcomes[cid.id], Complete)
    assert contacts(emulator)["ann@x.com"]["firstname"] == "Ann"
    assert "bob@x.com" not in contacts(emulator)


async def test_a_contact_that_somebody_created_a_moment_ago_is_updated() -> None:
    conflict = answer(409, {"message": "Contact already exists. Existing ID: 999", "category": "CONFLICT"})
    updated = answer(200, {"id": "7", "properties": {"email": "ann@x.com"}})
    async with wire(conflict, updated) as served, HubSpotClient(served.url, "pat-any") as client:
        row = Row("ann@x.com")
        assert record_id((await push(client, row))[row.id]) == "7"
    assert served.requests[1].startswith(b"PATCH /crm/v3/objects/contacts/ann%40x.com?idProperty=email ")


@pytest.mark.parametrize("kind", ["502", "503", "cut", "html", "empty", "truncated", "423", "429-ten-secondly"])
async def test_a_fault_that_stays_is_tried_again_later(
    client: HubSpotClient, emulator: EmulatorServer, kind: str
) -> None:
    emulator.fault(kind, path="*/batch/upsert", times=0)
    rows = [Row("ann@x.com"), Row("bob@x.com")]
    outcomes = await push(client, *rows)
    for outcome in outcomes.values():
        assert isinstance(outcome, Retry), outcome
        assert outcome.error
        assert outcome.after is None


async def test_5xx_after_it_was_applied_makes_no_second_contact(
    client: HubSpotClient, emulator: EmulatorServer
) -> None:
    emulator.fault("502-after", path="*/batch/upsert")
    rows = [Row("ann@x.com"), Row("bob@x.com")]
    assert all(isinstance(outcome, Complete) for outcome in (await push(client, *rows)).values())
    assert len(contacts(emulator)) == 2


async def test_a_wrong_address_costs_one_call_for_each_kind_of_write(
    client: HubSpotClient, emulator: EmulatorServer
) -> None:
    async with HubSpotClient(emulator.url, emulator.token, api_version="1999-01") as lost:
        rows = [Row(f"c{number}@x.com", "7" if number == 0 else None) for number in range(50)]
        outcomes = await push(lost, *rows)
    for outcome in outcomes.values():
        assert isinstance(outcome, Retry)
        assert outcome.error.startswith("404 ")
    assert len(emulator.calls()) == 2


async def test_one_failing_call_takes_no_outcome_from_the_other(
    client: HubSpotClient, emulator: EmulatorServer
) -> None:
    known, new = Row("ann@x.com"), Row("bob@x.com")
    known.hubspot_contact_id = record_id((await push(client, known))[known.id])
    emulator.fault("503", path="*/batch/update", times=0)
    outcomes = await push(client, known, new)
    assert isinstance(outcomes[known.id], Retry)
    assert isinstance(outcomes[new.id], Complete)
    emulator.clear_faults()
    fault = emulator.fault("503", path="*/batch/upsert", times=0)
    late = Row("cid@x.com")
    outcomes = await push(client, known, late)
    assert fault.struck > 0
    assert isinstance(outcomes[known.id], Complete)
    assert isinstance(outcomes[late.id], Retry)


async def test_a_fault_in_one_half_takes_nothing_from_the_other_half(
    client: HubSpotClient, emulator: EmulatorServer
) -> None:
    emulator.behaviour.trace_ids_supported = False
    async with HubSpotClient(emulator.url, emulator.token, retries=RetryRules(max_attempts=1)) as once:
        emulator.fault("502", path="*/batch/upsert", nth=3)
        rows = [Row("a@x..com"), Row("b@x.com"), Row("c@x.com"), Row("d@x.com")]
        outcomes = await push(once, *rows)
    assert [type(outcomes[row.id]) for row in rows] == [Retry, Complete, Complete, Complete]


async def test_401_goes_back_to_the_queue_and_says_what_to_do(emulator: EmulatorServer) -> None:
    async with HubSpotClient(emulator.url, "pat-wrong-token-0001") as wrong:
        row = Row()
        outcome = (await push(wrong, row))[row.id]
    assert isinstance(outcome, Retry)
    assert outcome.error.startswith("401 INVALID_AUTHENTICATION: ")
    assert "Check HUBSPOT_API_KEY" in outcome.error
    assert outcome.pause is not None
    assert "crm-sync queue resume" in outcome.pause.reason
    assert (outcome.pause.until, outcome.pause.after_rows) == (None, 10)


async def test_401_that_a_second_look_does_not_confirm_is_no_reason_to_pause(
    client: HubSpotClient, emulator: EmulatorServer
) -> None:
    emulator.fault("401", path="*/batch/upsert")
    row = Row()
    outcome = (await push(client, row))[row.id]
    assert isinstance(outcome, Retry)
    assert outcome.pause is None
    assert [call.route for call in emulator.calls()] == ["objects.batch_upsert", "account.details"]


async def test_403_goes_back_to_the_queue_and_names_the_scope(emulator: EmulatorServer) -> None:
    reader = emulator.add_token("pat-reader-token-0002", scopes=["crm.objects.contacts.read"])
    async with HubSpotClient(emulator.url, reader) as client:
        row = Row()
        outcome = (await push(client, row))[row.id]
    assert isinstance(outcome, Retry)
    assert outcome.error.startswith("403 MISSING_SCOPES: ")
    assert "crm.objects.contacts.write" in outcome.error
    assert outcome.pause is not None
    assert (outcome.pause.until, outcome.pause.after_rows) == (None, 10)


async def test_477_migration_carries_its_delay(client: HubSpotClient, emulator: EmulatorServer) -> None:
    emulator.fault("477", path="*/batch/upsert", retry_after_seconds=86_400)
    row = Row()
    outcome = (await push(client, row))[row.id]
    assert isinstance(outcome, Retry)
    assert outcome.after == timedelta(hours=24)
    assert outcome.pause == Pause(outcome.error, until=timedelta(hours=24))


async def test_daily_limit_waits_until_the_limit_is_reset(client: HubSpotClient, emulator: EmulatorServer) -> None:
    emulator.fault("429-daily", path="*/batch/upsert", times=0)
    row = Row()
    before = datetime.now(UTC)
    outcome = (await push(client, row))[row.id]
    assert isinstance(outcome, Retry)
    assert outcome.after is not None
    resets_at = datetime.fromtimestamp(emulator.account.quota.resets_at_ms() / 1000, UTC)
    assert abs(before + outcome.after - resets_at) < timedelta(minutes=1)
    assert outcome.pause == Pause(outcome.error, until=resets_at)


async def test_daily_limit_without_a_word_on_its_end_waits_for_midnight(
    client: HubSpotClient, emulator: EmulatorServer
) -> None:
    emulator.fault("429-daily", times=0)
    row = Row()
    outcome = (await push(client, row))[row.id]
    assert isinstance(outcome, Retry)
    assert outcome.after is not None
    assert timedelta(0) < outcome.after <= timedelta(days=1)


@pytest.mark.parametrize("kind", ["423", "429-ten-secondly", "429-secondly", "500", "502-after", "503", "cut", "html"])
async def test_ordinary_fault_pauses_nothing(emulator: EmulatorServer, kind: str) -> None:
    async with HubSpotClient(emulator.url, emulator.token, retries=RetryRules(max_attempts=1, scale=0)) as once:
        emulator.fault(kind, path="*/batch/upsert", times=0)
        row = Row()
        outcome = (await push(once, row))[row.id]
    assert isinstance(outcome, Retry)
    assert outcome.pause is None


async def test_nothing_to_push_is_no_call(client: HubSpotClient, emulator: EmulatorServer) -> None:
    assert await push(client) == {}
    hopeless = Row(None)
    assert isinstance((await push(client, hopeless))[hopeless.id], Fail)
    assert emulator.calls() == []
