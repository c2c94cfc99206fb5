"""E-mail events: types side by side, windows by HubSpot's clock, cut off and taken up."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from crm_sync.hubspot import HubSpotClient, HubSpotError, RetryRules
from crm_sync.hubspot.errors import DailyLimit, ServerFault
from crm_sync.pull.cursor import Cursors
from crm_sync.pull.others.email_events import TYPES, EmailEventsPull
from crm_sync.pull.report import StreamReport, ignore
from crm_sync.pull.wish import Wants, Wish
from hubspot_emulator.quota import Tier
from tests.pull.puller import killed_when
from tests.pull.pulling import Pulls

EVENTS = "email_events.list"
COMMON = ("SENT", "DELIVERED", "OPEN", "CLICK", "BOUNCE")


def add_events(pulls: Pulls, count: int, *types: str, ago_seconds: float = 3_600, apart_ms: int = 10) -> None:
    """The newest of them so long ago, of each type in turn."""
    types = types or COMMON
    with pulls.emulator.account.lock:
        newest_ms = pulls.emulator.clock.now_ms() - int(ago_seconds * 1_000)
        for number in range(count):
            pulls.emulator.portal.email_events.add(
                types[number % len(types)],
                f"c{number % 50}@x.com",
                newest_ms - number * apart_ms,
                portal_id=pulls.emulator.portal.id,
                campaign_id=number % 7,
            )


async def assert_equal(pulls: Pulls) -> None:
    with pulls.emulator.account.lock:
        events = {(one["id"], one["created"]): one for one in pulls.emulator.portal.email_events.all()}
    rows = await pulls.sql("SELECT * FROM hubspot.email_events")
    assert {(row.event_id, row.raw["created"]): row.raw for row in rows} == events
    for row in rows:
        raw = row.raw
        said = (row.type, row.recipient, row.campaign_id)
        assert said == (raw["type"], raw["recipient"], raw["emailCampaignId"])
        assert row.occurred_at == datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=raw["created"])
    cursors = await pulls.sql("SELECT * FROM sync_cursors WHERE stream LIKE 'email-events%'")
    assert {one.stream for one in cursors} == {"email-events", *(f"email-events/{name}" for name in TYPES)}
    assert all((one.passes, one.position, one.holder) == ([], {}, None) for one in cursors)
    assert all(one.synced_to is not None for one in cursors)


async def counted(pulls: Pulls) -> int:
    return int((await pulls.sql("SELECT count(*) AS n FROM hubspot.email_events"))[0].n)


def calls(pulls: Pulls) -> int:
    return len(pulls.emulator.calls(EVENTS))


async def test_events_of_every_type_and_what_comes_later(either: Pulls) -> None:
    pulls = either
    add_events(pulls, 12_500)
    report = await pulls.pull("email-events")
    await assert_equal(pulls)
    assert (report.inserted, report.fetched) == (12_500, 12_500)
    assert report.pages == 5 * 3 + len(TYPES) - 5, "2,500 of each common type, and a look for every other one"
    assert report.calls == report.pages + 1, "and one that tells HubSpot's time"

    await pulls.let_time_pass(300)
    add_events(pulls, 40, ago_seconds=60)
    before = calls(pulls)
    report = await pulls.pull("email-events")
    await assert_equal(pulls)
    assert (report.inserted, calls(pulls) - before) == (40, 1), "one call stands for all types after a quiet time"

    await pulls.let_time_pass(300)
    add_events(pulls, 3_900, "OPEN", "CLICK", ago_seconds=60)
    before = calls(pulls)
    report = await pulls.pull("email-events")
    await assert_equal(pulls)
    assert (report.inserted, calls(pulls) - before) == (3_900, 1 + 2 * 2 + len(TYPES) - 2)


async def test_the_window_ends_before_now_and_the_next_begins_before_that(pulls: Pulls) -> None:
    """An event may become visible after one that happened later."""
    add_events(pulls, 10)
    await pulls.pull("email-events")
    add_events(pulls, 3, ago_seconds=5)
    await pulls.pull("email-events")
    assert await counted(pulls) == 10, "younger than the lag"
    await pulls.let_time_pass()
    await pulls.pull("email-events")
    await assert_equal(pulls)
    add_events(pulls, 2, ago_seconds=100)
    await pulls.let_time_pass(1)
    await pulls.pull("email-events")
    await assert_equal(pulls)


@pytest.mark.parametrize("apart_ms", [10, 0], ids=["apart", "all in one millisecond"])
async def test_a_run_that_is_cut_off_is_taken_up(pulls: Pulls, apart_ms: int) -> None:
    add_events(pulls, 20_000, apart_ms=apart_ms)
    pulls.emulator.fault("slow", path="*/events", times=0, seconds=0.05)
    run = asyncio.create_task(pulls.pull("email-events"))
    while await counted(pulls) < 8_000:
        assert not run.done()
        await asyncio.sleep(0.01)
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)
    pulls.emulator.clear_faults()
    written = await counted(pulls)
    await pulls.let_time_pass(3_600)  # HubSpot's offsets are forgotten, and this does not hurt
    add_events(pulls, 100, ago_seconds=600)
    report = await pulls.pull("email-events")
    assert report.resumed
    assert written + report.inserted == 20_100
    await assert_equal(pulls)
    if apart_ms:
        assert report.unchanged < 100, "what was read before is not read again"


async def test_sigkill_in_the_middle_and_resume(pulls: Pulls) -> None:
    add_events(pulls, 30_000)
    pulls.emulator.fault("slow", path="*/events", times=0, seconds=0.1)

    async def enough() -> bool:
        return await counted(pulls) >= 5_000

    await killed_when(pulls, "email-events", Wants.FULL, enough)
    pulls.emulator.clear_faults()
    written = await counted(pulls)
    assert 5_000 <= written < 30_000
    report = await pulls.pull("email-events", Wants.FULL)
    assert report.resumed
    assert written + report.inserted == 30_000
    await assert_equal(pulls)


async def test_an_offset_that_hubspot_forgot_in_the_middle(pulls: Pulls) -> None:
    add_events(pulls, 5_000, "OPEN")
    pulls.emulator.behaviour.event_offset_lives_seconds = 0.001
    await pulls.pull("email-events")
    await assert_equal(pulls)


async def test_the_daily_limit_in_the_middle_and_resume(pulls: Pulls) -> None:
    add_events(pulls, 30_000)
    with pulls.emulator.account.lock:
        pulls.emulator.account.quota.set_limits(Tier(burst=10**6, daily=25, associations=10, search=5))
    with pytest.raises(DailyLimit):
        await pulls.pull("email-events")
    written = await counted(pulls)
    assert 0 < written < 30_000
    pulls.emulator.set_tier("unlimited")
    report = await pulls.pull("email-events")
    assert written + report.inserted == 30_000
    await assert_equal(pulls)


async def test_full_reads_everything_again_and_since_a_part(pulls: Pulls) -> None:
    add_events(pulls, 3_000, apart_ms=60_000)
    await pulls.pull("email-events")
    await pulls.sql("DELETE FROM hubspot.email_events")
    since = datetime.now(UTC) - timedelta(hours=11)
    report = await pulls.pull("email-events", since=since)
    assert report.inserted == await counted(pulls) == pytest.approx(600, abs=2)
    report = await pulls.pull("email-events", Wants.FULL)
    assert report.inserted + report.unchanged == 3_000
    await assert_equal(pulls)


async def test_since_first_of_all_does_not_count_as_all(pulls: Pulls) -> None:
    add_events(pulls, 3_000, apart_ms=60_000)
    await pulls.pull("email-events", since=datetime.now(UTC) - timedelta(hours=11))
    await pulls.pull("email-events")
    await assert_equal(pulls)


async def test_dry_run_writes_nothing(pulls: Pulls) -> None:
    add_events(pulls, 2_500)
    before = await pulls.dump()
    assert (await pulls.pull("email-events", dry_run=True)).inserted == 2_500
    assert await pulls.dump() == before
    await pulls.pull("email-events")
    await pulls.let_time_pass(300)
    add_events(pulls, 30, ago_seconds=60)
    before = await pulls.dump()
    assert (await pulls.pull("email-events", dry_run=True)).inserted == 30
    report = await pulls.pull("email-events", Wants.FULL, dry_run=True)
    assert (report.inserted, report.unchanged) == (30, 2_500)
    assert await pulls.dump() == before


async def test_only_the_types_that_are_wanted(pulls: Pulls, client: HubSpotClient) -> None:
    add_events(pulls, 500)
    add_events(pulls, 10, "NEWTYPE", ago_seconds=1_000)
    pull = EmailEventsPull(client, pulls.engine, Cursors(pulls.engine), types=("OPEN", "CLICK"))
    await pull.run(Wish(), StreamReport("email-events"), ignore)
    assert {row.type for row in await pulls.sql("SELECT DISTINCT type FROM hubspot.email_events")} == {"OPEN", "CLICK"}
    assert calls(pulls) == 2
    await pulls.let_time_pass(300)
    await client.account()
    add_events(pulls, 10, "NEWTYPE", "OPEN", ago_seconds=60)
    report = StreamReport("email-events")
    await pull.run(Wish(), report, ignore)
    assert report.inserted == 5
    assert any("NEWTYPE" in note for note in report.notes)


async def test_one_type_s_trouble_does_not_stop_the_others(pulls: Pulls) -> None:
    add_events(pulls, 500)
    async with HubSpotClient(pulls.emulator.url, pulls.emulator.token, retries=RetryRules(scale=0)) as client:
        read = client.email_events

        async def fails(type: str | None = None, *args: Any, **more: Any) -> Any:  # noqa: A002 - HubSpot's word
            if type == "OPEN":
                pulls.emulator.fault("500", path="*/events", times=5)
            return await read(type, *args, **more)

        client.email_events = fails  # type: ignore[method-assign]
        pull = EmailEventsPull(client, pulls.engine, Cursors(pulls.engine), at_once=1)
        report = StreamReport("email-events")
        with pytest.raises(ServerFault):
            await pull.run(Wish(), report, ignore)
    assert await counted(pulls) == 400
    assert any("type OPEN cannot be read" in note for note in report.notes)
    await pulls.pull("email-events")
    await assert_equal(pulls)


async def test_odd_values_are_stored(pulls: Pulls) -> None:
    add_events(pulls, 2, "OPEN")
    with pulls.emulator.account.lock:
        first, other = pulls.emulator.portal.email_events.all()
        first |= {"recipient": "a\0\udc00@x.com", "emailCampaignId": 2**70, "userAgent": "\0"}
        other |= {"recipient": None, "emailCampaignId": None}
    await pulls.pull("email-events")
    rows = {row.event_id: row for row in await pulls.sql("SELECT * FROM hubspot.email_events")}
    row = rows[first["id"]]
    assert (row.recipient, row.campaign_id, row.raw["userAgent"]) == ("a\ufffd\ufffd@x.com", None, "\ufffd")
    assert (rows[other["id"]].recipient, rows[other["id"]].campaign_id) == (None, None)


@pytest.mark.parametrize("seed", range(4))
async def test_any_mixture_of_cuts_faults_and_events_ends_equal(pulls: Pulls, seed: int) -> None:
    chance = random.Random(seed)
    add_events(pulls, chance.randrange(6_000))
    for _ in range(8):
        fault = chance.choice((None, "429-daily", "500", "cut", "truncated", "slow"))
        if fault:
            pulls.emulator.fault(fault, path="*/events", nth=chance.randrange(1, 15), times=chance.choice((1, 9)))
        run: asyncio.Task[Any] = asyncio.create_task(
            pulls.pull("email-events", chance.choice((Wants.CHANGES, Wants.CHANGES, Wants.FULL)))
        )
        done, _ = await asyncio.wait((run,), timeout=chance.choice((0.02, 0.1, 5)))
        if not done:
            run.cancel()
        (outcome,) = await asyncio.gather(run, return_exceptions=True)
        assert not isinstance(outcome, Exception) or isinstance(outcome, HubSpotError), outcome
        pulls.emulator.clear_faults()
        await pulls.release()  # a run that is ended while it takes its cursor may leave it held
        pulls.emulator.clock.advance(chance.choice((5, 200, 2_000)))
        add_events(pulls, chance.randrange(2_500), ago_seconds=0.5, apart_ms=0)
    await pulls.let_time_pass()
    await pulls.pull("email-events")
    await assert_equal(pulls)
