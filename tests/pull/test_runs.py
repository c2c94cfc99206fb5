"""`sync_runs` as a queue: rows that anybody inserts are worked off, shared, tried again, and end with their report."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import make_url
from sqlalchemy.ext.asyncio import create_async_engine

from crm_sync.pull.report import StreamReport
from crm_sync.pull.runs.rows import RunRows
from crm_sync.pull.runs.schedule import PullSchedule
from crm_sync.pull.service import PullService
from crm_sync.pull.wish import Wish
from crm_sync.runtime import Runtime
from jobloop import CycleReport
from tests.application import eventually, make_settings, running_app
from tests.pull.pulling import Pulls

SEED = {"contacts": 350, "same_timestamp": 10, "companies": 10, "deals": 4, "busy_deal_activities": 5, "merged": 2}


@pytest.fixture
async def runtime(migrated_url: str, pulls: Pulls) -> AsyncIterator[Runtime]:
    pulls.emulator.seed(7, **SEED)
    runtime = Runtime(make_settings(migrated_url, pulls.emulator), make_url(migrated_url))
    yield runtime
    await runtime.aclose()


async def run_of(pulls: Pulls, **columns: Any) -> int:
    names, binds = ", ".join(columns), ", ".join(f":{name}" for name in columns)
    (row,) = await pulls.sql(f"INSERT INTO sync_runs ({names}) VALUES ({binds}) RETURNING id", **columns)
    return int(row.id)


async def only(pulls: Pulls, run_id: int) -> Any:
    (row,) = await pulls.sql("SELECT *, now() AS now FROM sync_runs WHERE id = :id", id=run_id)
    return row


async def worked(runtime: Runtime) -> CycleReport:
    return await runtime.pulls.loop().run_once()


async def test_an_insert_starts_a_run_that_ends_complete_with_its_report(runtime: Runtime, pulls: Pulls) -> None:
    run_id = await run_of(pulls, stream="contacts")
    assert (await worked(runtime)).completed == 1
    row = await only(pulls, run_id)
    assert (row.status, row.error, row.claim_token, row.lease_expires_at) == ("Complete", None, None, None)
    assert row.created_at <= row.started_at <= row.finished_at
    assert row.report["inserted"] == row.report["fetched"] > 100
    assert row.report["seconds"] > 0
    await pulls.assert_equal("contacts")


async def test_a_row_says_what_it_wants(runtime: Runtime, pulls: Pulls) -> None:
    await run_of(pulls, stream="contacts")
    await worked(runtime)
    full = await run_of(pulls, stream="contacts", wants="full", batch_size=100)
    of_old = await run_of(pulls, stream="contacts", since=datetime(2025, 1, 1, tzinfo=UTC))
    links = await run_of(pulls, stream="contacts", wants="associations", targets=["companies"])
    for _ in range(3):
        await worked(runtime)
    reports = {run_id: (await only(pulls, run_id)).report for run_id in (full, of_old, links)}
    assert [reports[run_id]["wants"] for run_id in (full, of_old, links)] == ["full", "changes", "associations"]
    assert reports[full]["unchanged"] == reports[full]["fetched"] > 100
    assert reports[of_old]["fetched"] > 50
    assert reports[links]["fetched"] == 0


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"stream": "contats"}, "There is no stream 'contats'. Did you mean contacts? There are: contacts, companies,"),
        ({"stream": "engagements"}, "engagements stands for notes, calls, emails, meetings, tasks"),
        ({"stream": "contacts", "wants": "everything"}, "A run wants one of changes, full, associations, not"),
        ({"stream": "contacts", "batch_size": 0}, "A batch size is a number from 1 to 10,000, not 0."),
        (
            {"stream": "contacts", "since": datetime(2099, 1, 1, tzinfo=UTC)},
            "'2099-01-01 00:00:00 UTC' is yet to come.",
        ),
        ({"stream": "contacts", "targets": ["owners"]}, "owners is no stream of records"),
        ({"stream": "memberships"}, "The HubSpot account has no custom object 'memberships'"),
    ],
)
async def test_a_wrong_wish_fails_at_once_with_a_sentence(
    runtime: Runtime, pulls: Pulls, columns: dict[str, Any], words: str
) -> None:
    run_id = await run_of(pulls, **columns)
    assert (await worked(runtime)).failed == 1
    row = await only(pulls, run_id)
    assert row.status == "Error"
    assert words in row.error
    assert row.report["error"] == row.error
    assert row.finished_at is not None


async def test_a_refused_token_fails_and_keeps_the_report(runtime: Runtime, pulls: Pulls) -> None:
    pulls.emulator.fault("401", path="*objects/contacts*", times=0)
    run_id = await run_of(pulls, stream="contacts")
    assert (await worked(runtime)).failed == 1
    row = await only(pulls, run_id)
    assert "Check HUBSPOT_API_KEY" in row.error
    assert row.report["calls"] > 0


async def test_the_log_has_a_line_for_each_end(
    runtime: Runtime, pulls: Pulls, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "crm_sync.pull.runs.runs")
    pulls.emulator.fault("403", path="*objects/deals*", times=0)
    done, failed = await run_of(pulls, stream="companies"), await run_of(pulls, stream="deals")
    for _ in range(2):
        await worked(runtime)
    lines = {line.split(" (")[0]: (level, line) for name, level, line in caplog.record_tuples if name.endswith("runs")}
    level, line = lines["pulled companies"]
    new = (await only(pulls, done)).report["inserted"]
    assert (level, f"run {done}): {new} new, 0 changed" in line, " calls, " in line) == (logging.INFO, True, True)
    level, line = lines["the pull of deals"]
    assert (level, (await only(pulls, failed)).error in line) == (logging.WARNING, True)


async def test_another_token_helps_where_the_stream_s_own_is_refused(migrated_url: str, pulls: Pulls) -> None:
    pulls.emulator.seed(7, **SEED)
    own = pulls.emulator.add_token("pat-of-contacts", status="revoked")
    settings = make_settings(migrated_url, pulls.emulator, HUBSPOT_API_KEY_CONTACTS=own)
    runtime = Runtime(settings, make_url(migrated_url))
    run_id = await run_of(pulls, stream="contacts")
    assert (await worked(runtime)).completed == 1
    assert (await only(pulls, run_id)).report["notes"] == [
        "HubSpot refused the token for contacts; the general one was used."
    ]
    await runtime.aclose()


async def test_a_spent_daily_limit_waits_for_hubspot_s_midnight_and_counts_no_attempt(
    runtime: Runtime, pulls: Pulls
) -> None:
    pulls.emulator.fault("429-daily", path="*objects/contacts*", times=0)
    run_id = await run_of(pulls, stream="contacts")
    assert (await worked(runtime)).snoozed == 1
    row = await only(pulls, run_id)
    resets_at = (await runtime.hubspot.daily_usage()).resets_at
    assert (row.status, row.next_retry_at, row.retry_count) == ("Queued", resets_at, 0)
    assert "daily HubSpot calls are spent" in row.report["error"]


async def test_a_migration_waits_as_long_as_hubspot_says(runtime: Runtime, pulls: Pulls) -> None:
    pulls.emulator.fault("477", path="*objects/contacts*", times=0, retry_after_seconds=7200)
    run_id = await run_of(pulls, stream="contacts")
    assert (await worked(runtime)).snoozed == 1
    row = await only(pulls, run_id)
    assert timedelta(seconds=7100) < row.next_retry_at - row.now <= timedelta(seconds=7200)


async def test_a_stream_that_another_run_has_is_waited_for(runtime: Runtime, pulls: Pulls) -> None:
    await pulls.sql(
        "INSERT INTO sync_cursors (stream, holder, held_until) "
        "VALUES ('contacts', gen_random_uuid(), now() + interval '40 seconds')"
    )
    run_id = await run_of(pulls, stream="contacts")
    assert (await worked(runtime)).snoozed == 1
    row = await only(pulls, run_id)
    assert timedelta(0) < row.next_retry_at - row.now <= timedelta(seconds=5)
    assert row.report["error"] == "Another run has contacts now; this one goes on by itself when that has ended."
    assert row.retry_count == 0


async def test_a_fault_is_tried_again_later_and_counted(runtime: Runtime, pulls: Pulls) -> None:
    pulls.emulator.fault("500", path="*objects/contacts*", times=0, retry_after_seconds=600)
    run_id = await run_of(pulls, stream="contacts")
    assert (await worked(runtime)).retried == 1
    row = await only(pulls, run_id)
    assert (row.status, row.retry_count) == ("Queued", 1)
    assert row.error.startswith("500")
    assert row.next_retry_at > row.now
    pulls.emulator.clear_faults()
    await pulls.sql("UPDATE sync_runs SET next_retry_at = now()")
    assert (await worked(runtime)).completed == 1
    row = await only(pulls, run_id)
    assert (row.error, row.report["error"]) == (None, None)
    await pulls.assert_equal("contacts")


async def test_a_run_that_a_command_asked_for_is_left_to_it_for_a_while(runtime: Runtime, pulls: Pulls) -> None:
    run_id = await RunRows(runtime.engine).reserve("contacts", Wish())
    assert (await worked(runtime)).claimed == 0
    await pulls.sql("UPDATE sync_runs SET reserved_until = now() - interval '1 second'")
    assert (await worked(runtime)).completed == 1
    assert (await only(pulls, run_id)).status == "Complete"


async def test_a_waiting_run_is_taken_over_by_the_command_that_asks_for_the_same(
    runtime: Runtime, pulls: Pulls
) -> None:
    rows = RunRows(runtime.engine)
    first = await rows.reserve("contacts", Wish())
    await pulls.sql("UPDATE sync_runs SET next_retry_at = now() + interval '1 hour', reserved_until = NULL")
    assert await rows.reserve("contacts", Wish(catch_up=True)) != first
    assert await rows.reserve("contacts", Wish()) == first
    assert (await only(pulls, first)).next_retry_at is None


async def test_a_worker_has_no_more_runs_than_it_works_on(runtime: Runtime, pulls: Pulls) -> None:
    """Another worker takes the rest, though this one is busy for hours."""
    pulls.emulator.fault("slow", path="*properties*", times=0, seconds=5.0)
    for stream in ("contacts", "companies", "deals", "notes", "calls"):
        await run_of(pulls, stream=stream)
    stop = asyncio.Event()
    working = asyncio.create_task(runtime.pulls.loop().run(stop))
    await eventually(lambda: processing(pulls), lambda number: number == 3)
    assert len(await pulls.sql("SELECT 1 FROM sync_runs WHERE claim_token IS NOT NULL")) == 3
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
    rows = await pulls.sql("SELECT status, retry_count, rescue_count, claim_token FROM sync_runs")
    assert {tuple(row) for row in rows} == {("Queued", 0, 0, None)}


async def processing(pulls: Pulls) -> int:
    (row,) = await pulls.sql("SELECT count(*) AS number FROM sync_runs WHERE status = 'Processing'")
    return int(row.number)


async def test_a_run_that_was_cut_off_goes_on_where_it_stood(runtime: Runtime, pulls: Pulls) -> None:
    await run_of(pulls, stream="contacts", batch_size=10)
    pulls.emulator.fault("slow", route="objects.list", nth=2, seconds=30.0)
    working = asyncio.create_task(runtime.pulls.loop().run_once())
    await eventually(lambda: pulls.sql("SELECT 1 FROM hubspot.contacts"), lambda rows: len(rows) > 0)
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
    (row,) = await pulls.sql("SELECT * FROM sync_runs")
    assert (row.status, row.retry_count, row.claim_token) == ("Queued", 0, None)
    pulls.emulator.clear_faults()
    assert (await worked(runtime)).completed == 1
    (row,) = await pulls.sql("SELECT * FROM sync_runs")
    assert row.report["resumed"]
    await pulls.assert_equal("contacts")


async def test_the_report_is_in_the_row_while_the_run_goes_on(runtime: Runtime, pulls: Pulls) -> None:
    run_id = await run_of(pulls, stream="contacts", batch_size=10)
    pulls.emulator.fault("slow", route="objects.list", nth=2, seconds=30.0)
    working = asyncio.create_task(runtime.pulls.loop().run_once())
    live = await eventually(
        lambda: only(pulls, run_id),
        lambda row: row.report.get("inserted", 0) > 0 and row.report["doing"] == "list",  # the recycle bin comes first
    )
    assert (live.status, live.finished_at) == ("Processing", None)
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)


async def test_a_locked_row_costs_the_live_report_and_not_the_pull(
    runtime: Runtime, pulls: Pulls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crm_sync.pull.runs.live_report._PATIENCE_SECONDS", 0.05)
    run_id = await run_of(pulls, stream="companies")
    pulls.emulator.fault("slow", path="*properties*", seconds=1.0)
    working = asyncio.create_task(runtime.pulls.loop().run_once())
    await eventually(lambda: only(pulls, run_id), lambda row: row.started_at is not None)
    async with pulls.engine.begin() as connection:
        await connection.exec_driver_sql("SELECT 1 FROM sync_runs FOR UPDATE")
        await eventually(lambda: pulls.sql("SELECT 1 FROM sync_cursors WHERE synced_to IS NOT NULL"), bool)
    assert (await working).completed == 1


async def test_old_runs_are_deleted_but_for_the_last_ones_and_what_is_not_over(
    runtime: Runtime, pulls: Pulls, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = {"created_at": datetime.now(UTC) - timedelta(days=31)}
    stays = {
        await run_of(pulls, **old, **columns)
        for columns in (
            {"stream": "deals", "status": "Complete"},  # the last that went well
            {"stream": "notes", "status": "Complete"},
            {"stream": "contacts", "status": "Queued"},
            {"stream": "contacts", "status": "Processing"},
            {"stream": "contacts", "status": None, "claim_token": uuid4()},  # its worker has not noticed yet
            {"stream": "contacts", "status": "Error", "finished_at": datetime.now(UTC)},
        )
    }
    for stream, status in (("deals", "Error"), ("contacts", None), ("contacts", "Error"), ("contacts", "Complete")):
        await run_of(pulls, **old, stream=stream, status=status)
    stays.add(await run_of(pulls, **old, stream="deals", status="Error"))  # the last
    stays.add(await run_of(pulls, **old, stream="contacts", status="Complete"))
    monkeypatch.setattr("crm_sync.pull.runs.rows._PORTION", len(stays))  # fewer than there are, and more than one step
    assert await runtime.pulls.rows.forget(timedelta(days=30)) == 4
    assert {row.id for row in await pulls.sql("SELECT id FROM sync_runs")} == stays


async def test_a_role_that_may_not_delete_keeps_old_runs(migrated_url: str, pulls: Pulls, caplog: Any) -> None:
    long_ago = datetime.now(UTC) - timedelta(days=2)
    for _ in range(2):
        await run_of(pulls, stream="deals", status="Complete", created_at=long_ago)
    role = f"reader_{uuid4().hex[:8]}"
    await pulls.sql(f"CREATE ROLE {role}")
    await pulls.sql(f"GRANT SELECT, UPDATE ON sync_runs TO {role}")
    engine = create_async_engine(migrated_url, connect_args={"server_settings": {"role": role}})
    assert await RunRows(engine).forget(timedelta(days=1)) == 0
    assert "old runs are not deleted" in caplog.text
    assert "permission denied for table sync_runs" in caplog.text
    await engine.dispose()
    await pulls.sql(f"DROP OWNED BY {role}")
    await pulls.sql(f"DROP ROLE {role}")


async def test_the_schedule_deletes_old_runs(runtime: Runtime, pulls: Pulls) -> None:
    long_ago = datetime.now(UTC) - timedelta(days=2)
    old = await run_of(pulls, stream="deals", status="Complete", created_at=long_ago)
    kept = await run_of(pulls, stream="deals", status="Complete", created_at=long_ago)
    wake = asyncio.Event()
    await PullSchedule(runtime.pull, runtime.pulls.rows, ["owners"], wake, timedelta(days=1)).enqueue()
    assert wake.is_set()
    ids = [row.id for row in await pulls.sql("SELECT id FROM sync_runs WHERE stream = 'deals'")]
    assert (old not in ids, ids) == (True, [kept])


async def test_the_schedule_queues_each_stream_once_however_often_it_comes(runtime: Runtime, pulls: Pulls) -> None:
    rows = RunRows(runtime.engine)
    assert await rows.enqueue(["contacts", "deals"]) == ["contacts", "deals"]
    assert await rows.enqueue(["contacts", "deals", "tasks"]) == ["tasks"]
    await pulls.sql("UPDATE sync_runs SET status = 'Processing' WHERE stream = 'deals'")
    await pulls.sql("UPDATE sync_runs SET status = 'Error' WHERE stream = 'tasks'")
    both = await asyncio.gather(*(RunRows(runtime.engine).enqueue(["contacts", "deals", "tasks"]) for _ in range(5)))
    assert sorted(both) == [[], [], [], [], ["tasks"]]


async def test_serve_pulls_what_the_settings_name_and_what_people_insert(migrated_url: str, pulls: Pulls) -> None:
    pulls.emulator.seed(7, **SEED)
    settings = make_settings(migrated_url, pulls.emulator, HUBSPOT_PULL_STREAMS=("contacts", "owners"))
    async with running_app(settings) as app:
        assert (await app.http.get("/ready")).json()["scheduled"] == ["contacts", "pulls", "scheduled pulls"]
        await eventually(lambda: ended(pulls), lambda streams: streams == ["contacts", "owners"])
        await run_of(pulls, stream="companies")
        await eventually(lambda: ended(pulls), lambda streams: "companies" in streams)
    await pulls.assert_equal("contacts", "companies")


async def ended(pulls: Pulls) -> list[str]:
    rows = await pulls.sql("SELECT stream FROM sync_runs WHERE status = 'Complete' ORDER BY stream")
    return [row.stream for row in rows]


async def test_all_leaves_out_custom_objects_that_the_account_lacks(migrated_url: str, pulls: Pulls) -> None:
    pulls.emulator.seed(7, **SEED)
    settings = make_settings(migrated_url, pulls.emulator, HUBSPOT_PULL_STREAMS=("all",))
    async with running_app(settings):
        rows = await eventually(lambda: pulls.sql("SELECT stream FROM sync_runs"), bool)
    streams = {row.stream for row in rows}
    assert {"contacts", "owners", "email-events"} <= streams
    assert not streams & {"divisions", "memberships", "events"}


def test_a_report_of_another_release_is_read_as_far_as_it_is_known() -> None:
    report = StreamReport.of({"stream": "contacts", "inserted": 3, "of_the_future": 1})
    assert (report.inserted, report.updated) == (3, 0)


async def test_the_service_tells_which_streams_the_account_lacks(pulls: Pulls) -> None:
    async with pulls.client() as client:
        service = PullService(lambda _: client, pulls.engine)
        assert await service.absent("contacts", "deals") == {}
