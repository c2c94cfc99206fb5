"""Whatever HubSpot and the line to it do during a push: every valid contact ends up there once, with its last values,
every invalid one says why in HubSpot's words, and nothing stays in Processing."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from hubspot_emulator import EmulatorServer
from hubspot_emulator.faults import KINDS
from tests.faults.hubspot_push import ANSWER_SECONDS, Push, push_to

#: These pause the queue: HubSpot refuses every row alike, for longer than a call waits.
PAUSING = {"429-daily", "401", "401-expired", "403", "477"}
#: The same fault after the call took effect.
APPLIED = [f"{kind}-after" for kind in ("500", "502", "503", "504", "521", "522", "523", "524", "cut")]
PASSING = [kind for kind in (*KINDS, *APPLIED) if kind not in PAUSING]
BATCHES = "*/contacts/batch/*"
LATE_SECONDS = 1.0


@pytest.fixture(scope="module")
def _server() -> Iterator[EmulatorServer]:
    with EmulatorServer(tier="unlimited") as server:
        yield server


@pytest.fixture
def hubspot(_server: EmulatorServer) -> EmulatorServer:
    _server.reset()
    return _server


@pytest.fixture
async def push(hubspot: EmulatorServer, migrated_url: str) -> AsyncIterator[Push]:
    async with push_to(hubspot, migrated_url) as push:
        yield push


async def add_contacts(push: Push, count: int) -> None:
    """Valid ones, but for every hundredth: HubSpot refuses its e-mail."""
    await push.sql(
        """
        INSERT INTO contacts (email, name, phone_number)
        SELECT format(CASE n % 100 WHEN 99 THEN 'person%s@example..com' ELSE 'person%s@example.com' END, n),
               format('Ada Number%s', n), format('+44 20 %s', 10000 + n)
        FROM generate_series(0, :count - 1) AS n
        """,
        count=count,
    )
    await push.enqueue()


async def check(push: Push) -> None:
    """What must be true in the end, whatever happened."""
    held = push.held()
    rows = await push.sql(
        "SELECT email, name, phone_number, hubspot_contact_id, hubspot_claim_token,"
        " hubspot_processing_status::text AS status, hubspot_processing_error AS error FROM contacts"
    )
    valid = [row for row in rows if "@example.com" in row.email]
    assert {row.email for row in valid} == set(held)
    for row in valid:
        record = held[row.email]
        assert row.status == "Complete", row.error
        assert row.hubspot_contact_id == record["hs_object_id"]
        assert (record["firstname"], record["lastname"]) == tuple(row.name.split())
        assert record["phone"] == row.phone_number
    for row in rows:
        assert row.hubspot_claim_token is None
        if "@example.com" not in row.email:
            assert row.status == "Error"
            assert "INVALID_EMAIL" in row.error


@pytest.mark.parametrize("kind", PASSING)
async def test_fault_that_outlasts_a_call_s_repeats_costs_a_retry_and_no_contact(push: Push, kind: str) -> None:
    await add_contacts(push, 120)
    is_slow = kind == "slow"
    push.hubspot.fault(
        kind,
        path=BATCHES,
        **({"seconds": ANSWER_SECONDS + LATE_SECONDS / 2, "times": 1} if is_slow else {"times": 7}),
    )
    await push.drain()
    assert await push.paused() is None
    assert (await push.statuses())["Processing"] == 0
    await push.until_settled()
    await check(push)
    (most,) = await push.sql("SELECT max(retry_count) FROM contacts WHERE hubspot_processing_status = 'Complete'")
    assert most[0] == (0 if is_slow else 1)


@pytest.mark.parametrize("kind", sorted(PAUSING))
async def test_refusal_of_every_row_pauses_the_queue_and_spares_the_rows_behind(push: Push, kind: str) -> None:
    await add_contacts(push, 500)
    push.hubspot.fault(kind, nth=3, times=0)  # in the middle of the run, and from then on
    before = datetime.now(UTC)
    await push.drain()

    state = await push.paused()
    assert state is not None
    assert state.paused_by == "worker"
    assert state.reason.startswith(kind[:3])
    assert state.until is not None
    expected = {
        "429-daily": datetime.combine(before.date() + timedelta(days=1), datetime.min.time(), UTC),
        "477": before + timedelta(hours=1),
    }.get(kind, before + timedelta(minutes=1))
    assert abs(state.until - expected) < timedelta(seconds=40)
    tried = await push.sql(
        "SELECT retry_count, next_retry_at > now() AS waits, hubspot_processing_error AS error FROM contacts"
        " WHERE hubspot_processing_status = 'Queued' AND retry_count > 0"
    )
    assert 0 < len(tried) <= 100, "one batch met the refusal"
    assert {(row.retry_count, row.waits, row.error[:3]) for row in tried} == {(1, True, kind[:3])}
    completed = (await push.statuses())["Complete"]

    calls = len(push.hubspot.calls())
    await push.drain()
    assert len(push.hubspot.calls()) == calls, "no call while it is paused"
    await push.let_time_pass()
    await push.drain()
    assert (await push.statuses())["Complete"] == completed
    inputs = [call.inputs for call in push.hubspot.calls()[calls:] if call.inputs]
    assert inputs == [1], "one row probes"

    push.hubspot.clear_faults()
    await push.let_time_pass()
    await push.until_settled()
    assert await push.paused() is None
    await check(push)


async def test_5000_contacts_through_every_fault_at_once(migrated_url: str) -> None:
    """The rates are far above any real ones, and so is the number of retries, so that faults use up no row's."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    with EmulatorServer(tier="unlimited", seed=seed) as hubspot:
        async with push_to(hubspot, migrated_url, concurrency=4, max_retries=50) as push:
            await add_contacts(push, 5000)
            await push.sql(
                "INSERT INTO contacts (email, name, phone_number, hubspot_processing_status)"
                " SELECT upper(email) || ' ', name, phone_number, 'Queued' FROM contacts WHERE name LIKE '%00'"
                " AND email LIKE '%@example.com'"
            )
            for kind in random.Random(seed).sample([*KINDS, *APPLIED], k=len(KINDS) + len(APPLIED)):
                if kind != "slow":
                    hubspot.fault(kind, path=BATCHES, probability=0.03, times=3, retry_after_seconds=600)
            hubspot.fault("slow", path=BATCHES, nth=20, seconds=ANSWER_SECONDS + LATE_SECONDS / 2)
            await push.drain()
            await push.let_time_pass()
            await push.drain()
            await asyncio.sleep(LATE_SECONDS)  # what a late call writes, it has written: no client can call it back
            # Some change while the faults go on; others are pushed again, now as updates of what is there.
            await push.sql("UPDATE contacts SET name = 'Grace Hopper' WHERE phone_number LIKE '%7'")
            await push.enqueue("phone_number LIKE '%7' OR phone_number LIKE '%33'")
            rounds = await push.until_settled()
            struck = [fault.kind for fault in hubspot.account.faults.all() if fault.struck]
            statuses = await push.statuses()
            print(f"{len(hubspot.calls())} calls, {len(struck)} kinds of fault, {rounds} rounds more, {statuses}")
            await push.sql("UPDATE contacts SET email = lower(trim(email))")  # one spelling, for the comparison
            await check(push)
            assert len(struck) > 10
            assert await push.paused() is None
