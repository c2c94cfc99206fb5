"""What records refer to, and what was never a record: schemas, owners, pipelines, forms, e-mail events."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from crm_sync.hubspot import HubSpotClient, ObjectSchema, PropertyDefinition, RetryRules, Submission
from crm_sync.hubspot.emailevents import EmailEvent
from crm_sync.hubspot.errors import MalformedAnswer, MissingScopes, NotFound
from hubspot_emulator import EmulatorServer
from tests.hubspot.wire import answer, wire

TOKEN = "pat-eu1-00000000-1111-2222-3333-secretsecret"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
NOON_MS = 1_772_366_400_000


async def test_schemas_give_every_name_of_a_custom_object(hubspot: HubSpotClient, emulator: EmulatorServer) -> None:
    assert await hubspot.list_schemas() == ()
    with emulator.account.lock:
        properties = [{"name": "title", "label": "Title", "type": "string", "fieldType": "text"}]
        labels = {"singular": "Membership", "plural": "Memberships"}
        emulator.account.schemas.create({"name": "Membership", "labels": labels, "properties": properties})
    (schema,) = await hubspot.list_schemas()
    full_name = f"p{emulator.portal.id}_membership"
    assert schema == ObjectSchema("membership", schema.object_type_id, full_name, "Membership", "Memberships")
    for name in (schema.object_type_id, schema.fully_qualified_name):
        assert (await hubspot.list_page(name)).records == ()


async def test_properties_say_what_they_take(hubspot: HubSpotClient) -> None:
    colour = PropertyDefinition(
        "colour", "Colour", "enumeration", "select", "contactinformation", options=("red", "dark green")
    )
    assert (await hubspot.create_property("contacts", colour)).options == ("red", "dark green")
    listed = {one.name: one for one in await hubspot.list_properties("contacts")}
    assert listed["colour"] == colour
    assert (listed["email"].options, listed["email"].hidden, listed["email"].archived) == ((), False, False)
    assert "customer" in listed["lifecyclestage"].options


async def test_owners_come_in_pages_and_archived_ones_apart(hubspot: HubSpotClient, emulator: EmulatorServer) -> None:
    owners = emulator.portal.owners
    for number in range(501):
        owners.add(f"o{number}@x.com", "O", str(number), at_ms=NOON_MS)
    left = owners.add("left@x.com", "Lee", "Left", at_ms=NOON_MS, archived=True)
    first = await hubspot.list_owners()
    rest = await hubspot.list_owners(after=first.after)
    assert (len(first.owners), len(rest.owners), rest.after) == (500, 2, None)
    owner = rest.owners[-1]
    assert (owner.email, owner.first_name, owner.last_name, owner.type) == ("o500@x.com", "O", "500", "PERSON")
    assert (owner.created_at, owner.archived, owner.user_id) == (NOON, False, str(owner.raw["userId"]))
    (gone,) = (await hubspot.list_owners(archived=True)).owners
    assert (gone.id, gone.archived) == (left["id"], True)


async def test_pipelines_come_with_their_stages(hubspot: HubSpotClient) -> None:
    (sales,) = await hubspot.list_pipelines("deals")
    assert (sales.id, sales.label, sales.display_order, sales.archived) == ("default", "Sales Pipeline", 0, False)
    assert sales.created_at is not None
    won = {stage.id: stage for stage in sales.stages}["closedwon"]
    assert (won.label, won.metadata) == ("Closed won", {"isClosed": "true", "probability": "1.0"})
    (support,) = await hubspot.list_pipelines("tickets")
    assert [stage.display_order for stage in support.stages] == [0, 1, 2, 3]
    assert await hubspot.list_pipelines("companies") == ()


async def test_forms_come_in_pages(hubspot: HubSpotClient, emulator: EmulatorServer) -> None:
    made = [emulator.portal.forms.add(f"Form {number}", NOON_MS)["id"] for number in range(51)]
    first = await hubspot.list_forms()
    rest = await hubspot.list_forms(first.after)
    assert [form.id for form in (*first.forms, *rest.forms)] == made
    assert rest.after is None
    (form,) = rest.forms
    assert (form.name, form.created_at, form.archived) == ("Form 50", NOON, False)
    assert form.raw["formType"] == "hubspot"


async def test_submissions_come_newest_first_without_a_contact(
    hubspot: HubSpotClient, emulator: EmulatorServer
) -> None:
    forms = emulator.portal.forms
    form = forms.add("Contact us", NOON_MS)["id"]
    for number in range(60):
        forms.submit(form, {"email": f"c{number}@x.com", "firstname": "C"}, NOON_MS + number)
    first = await hubspot.form_submissions(form)
    rest = await hubspot.form_submissions(form, first.after, limit=20)
    assert (len(first.submissions), len(rest.submissions), rest.after) == (50, 10, None)
    newest = first.submissions[0]
    assert newest.submitted_at == NOON + timedelta(milliseconds=59)
    assert newest.values == (("email", "c59@x.com"), ("firstname", "C"))
    assert newest.page_url == "https://www.example.com/form"
    assert len({one.conversion_id for page in (first, rest) for one in page.submissions}) == 60
    with pytest.raises(NotFound):
        await hubspot.form_submissions("00000000-0000-4000-8000-000000000000")


def test_a_submission_without_an_id_has_the_same_one_in_every_answer() -> None:
    values = [{"name": "email", "value": "a@x.com"}, {"name": "day", "value": "mon"}, {"name": "day", "value": "tue"}]
    body = {"submittedAt": NOON_MS, "values": values}
    one, again, other = (Submission.of(dict(each)) for each in (body, body, {**body, "submittedAt": NOON_MS + 1}))
    assert one.conversion_id == again.conversion_id != other.conversion_id
    assert one.values == (("email", "a@x.com"), ("day", "mon"), ("day", "tue"))
    assert one.page_url is None


def test_an_email_event_may_come_without_a_type() -> None:
    assert EmailEvent.of({"id": "1", "created": 1_700_000_000_000}).type is None


async def test_email_events_by_type_and_time(hubspot: HubSpotClient, emulator: EmulatorServer) -> None:
    events = emulator.portal.email_events
    for number in range(5):
        kind = "OPEN" if number % 2 else "SENT"
        events.add(kind, "ann@x.com", NOON_MS + number, portal_id=emulator.portal.id, campaign_id=77)
    first = await hubspot.email_events(limit=3)
    rest = await hubspot.email_events(offset=first.offset, limit=3)
    assert (first.has_more, rest.has_more) == (True, False)
    times = [event.created_at for page in (first, rest) for event in page.events]
    assert times == [NOON + timedelta(milliseconds=number) for number in (4, 3, 2, 1, 0)]
    newest = first.events[0]
    assert (newest.type, newest.recipient, newest.campaign_id) == ("SENT", "ann@x.com", "77")
    assert newest.raw["portalId"] == emulator.portal.id
    elsewhere = timezone(timedelta(hours=5))
    start, end = ((NOON + timedelta(milliseconds=number)).astimezone(elsewhere) for number in (1, 3))
    assert len((await hubspot.email_events(start=start, end=end)).events) == 3, "both ends belong to it"
    assert len((await hubspot.email_events("OPEN", start, end)).events) == 2
    with pytest.raises(ValueError, match="needs a zone"):
        await hubspot.email_events(start=datetime(2026, 3, 1))  # noqa: DTZ001


async def test_what_is_one_address_is_so_for_every_version(hubspot: HubSpotClient, emulator: EmulatorServer) -> None:
    form = emulator.portal.forms.add("Contact us", NOON_MS)["id"]
    await hubspot.form_submissions(form)
    await hubspot.email_events()
    await hubspot.association_type_names("contacts", "deals")
    assert [call.path for call in emulator.calls()] == [
        f"/form-integrations/v1/submissions/forms/{form}",
        "/email/public/v1/events",
        "/crm/v3/associations/contacts/deals/types",
    ]


async def test_403_scope_is_named_for_what_a_token_may_not_read(emulator: EmulatorServer) -> None:
    reader = emulator.add_token("pat-reader-token-0001", scopes=["crm.objects.contacts.read"])
    async with HubSpotClient(emulator.url, reader, retries=RetryRules(scale=0)) as client:
        for read, scope in (
            (client.list_schemas, r"crm\.schemas\.custom\.read"),
            (client.list_owners, r"crm\.objects\.owners\.read"),
            (client.list_forms, "forms"),
            (client.email_events, "content"),
        ):
            with pytest.raises(MissingScopes, match=scope):
                await read()


Read = Callable[[HubSpotClient], Awaitable[Any]]
READS: dict[str, Read] = {
    "properties": lambda client: client.list_properties("contacts"),
    "schemas": lambda client: client.list_schemas(),
    "owners": lambda client: client.list_owners(),
    "pipelines": lambda client: client.list_pipelines("deals"),
    "forms": lambda client: client.list_forms(),
    "submissions": lambda client: client.form_submissions("f"),
    "email events": lambda client: client.email_events(),
}
MALFORMED: dict[str, list[dict[str, Any]]] = {
    "properties": [{"name": "x"}, {"name": "x", "type": "enumeration", "options": [{"label": "y"}]}],
    "schemas": [{"name": "x", "objectTypeId": "2-1"}, {"name": "x", "labels": 7}],
    "owners": [{"email": "x"}, {"id": None}, {"id": "1", "userId": {}}, {"id": "1", "teams": 7}],
    "pipelines": [{"id": "1", "label": "x", "displayOrder": 0}, {"id": "1", "label": "x", "stages": []}],
    "forms": [{"name": "x"}, {"id": "1"}, {"id": "1", "name": "x", "createdAt": "soon"}],
    "submissions": [{"values": []}, {"submittedAt": "noon", "values": []}, {"submittedAt": 10**18, "values": []}],
    "email events": [{"id": "1", "type": "OPEN"}, {"created": 1, "type": "OPEN"}],
}


@pytest.mark.parametrize("noun", READS)
async def test_an_answer_of_another_shape_is_malformed(noun: str) -> None:
    for entry in MALFORMED[noun]:
        for body in (
            {},
            {"results": 7, "events": 7, "hasMore": False},
            {"results": [entry], "events": [entry], "hasMore": False},
        ):
            async with (
                wire(answer(200, body)) as served,
                HubSpotClient(served.url, TOKEN, retries=RetryRules(scale=0)) as client,
            ):
                with pytest.raises(MalformedAnswer, match="another shape"):
                    await READS[noun](client)


@pytest.mark.parametrize("paging", [{"hasMore": "yes"}, {"hasMore": True}, {}])
async def test_events_that_do_not_say_where_they_go_on_are_malformed(paging: dict[str, Any]) -> None:
    at_once = RetryRules(scale=0)
    async with (
        wire(answer(200, {"events": [], **paging})) as served,
        HubSpotClient(served.url, TOKEN, retries=at_once) as client,
    ):
        with pytest.raises(MalformedAnswer, match="another shape"):
            await client.email_events()
