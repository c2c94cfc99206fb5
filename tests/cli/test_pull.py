"""`crm-sync pull` and `crm-sync runs` as processes: what a user sees, what a script gets, what stays behind."""

from __future__ import annotations

import asyncio
import io
import json
import re
import signal
import subprocess
from typing import Any

import pytest
import sqlalchemy as sa
from rich.console import Console
from sqlalchemy.ext.asyncio import AsyncEngine

from crm_sync.cli.pull_outcome import summary
from crm_sync.hubspot import HubSpotClient, PropertyDefinition
from crm_sync.pull.report import StreamReport
from crm_sync.pull.streams import OTHERS, STANDARD
from crm_sync.pull_now import Pulled, State
from hubspot_emulator import EmulatorServer
from tests.application import eventually
from tests.cli.shell import Shell, failed
from tests.cli.test_worker import until_said
from tests.pull.mirror import differences

SEED = {"contacts": 350, "same_timestamp": 10, "companies": 10, "deals": 4, "busy_deal_activities": 5, "merged": 2}


class Database:
    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine

    async def sql(self, statement: str, **binds: Any) -> list[Any]:
        async with self.engine.begin() as connection:
            result = await connection.execute(sa.text(statement), binds)
            return list(result.all()) if result.returns_rows else []

    async def runs(self) -> list[Any]:
        return await self.sql("SELECT * FROM sync_runs ORDER BY id")

    async def everything(self) -> dict[str, list[str]]:
        """Every row of every table, as text."""
        tables = await self.sql(
            "SELECT table_schema AS schema, table_name AS name FROM information_schema.tables "
            "WHERE table_schema IN ('public', 'hubspot') AND table_type = 'BASE TABLE'"
        )
        return {
            f"{each.schema}.{each.name}": sorted(
                str(tuple(row)) for row in await self.sql(f'SELECT * FROM "{each.schema}"."{each.name}"')
            )
            for each in tables
        }


@pytest.fixture
def shell(shell: Shell, migrated_url: str, hubspot: EmulatorServer) -> Shell:
    hubspot.seed(7, **SEED)
    shell.environment = {
        "DATABASE_URL": migrated_url,
        "HUBSPOT_API_BASE_URL": hubspot.url,
        "HUBSPOT_API_KEY": hubspot.token,
        "WORKER_POLL_SECONDS": "0.05",
    }
    return shell


@pytest.fixture
def database(migrated_engine: AsyncEngine) -> Database:
    return Database(migrated_engine)


def answer(done: subprocess.CompletedProcess[str], code: int = 0) -> Any:
    """The one JSON object on standard output."""
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads(done.stdout)


async def assert_equal(hubspot: EmulatorServer, database: Database, *streams: str) -> None:
    assert await differences(hubspot, database.engine, [STANDARD[name] for name in streams]) == []


async def test_a_pull_fills_the_mirror_and_the_next_one_brings_what_changed(
    shell: Shell, hubspot: EmulatorServer, database: Database
) -> None:
    done = shell.run("pull", "contacts")
    assert done.returncode == 0, done.stderr
    assert "Pulled" in done.stdout
    assert done.stderr == ""
    await assert_equal(hubspot, database, "contacts")
    said = answer(shell.run("pull", "contacts", "companies", "--json"))
    assert said["outcome"] == "done"
    contacts, companies = said["streams"]
    assert (contacts["stream"], contacts["state"], contacts["inserted"]) == ("contacts", "done", 0)
    assert companies["inserted"] == said["totals"]["inserted"] > 0
    assert [row.status for row in await database.runs()] == ["Complete"] * 3


def test_one_json_object_with_these_names_and_nothing_else(shell: Shell) -> None:
    said = answer(shell.run("pull", "companies", "--full", "--json"))
    assert set(said) == {"outcome", "streams", "totals"}
    (stream,) = said["streams"]
    assert set(stream) >= {
        *("stream", "wants", "state", "run", "error", "goes_on_at", "fetched", "inserted", "updated", "unchanged"),
        *("archived", "removed", "associations", "issues", "pages", "calls", "calls_saved", "calls_per_1000"),
        *("seconds", "resumed", "is_dry_run", "notes"),
    }
    assert stream["wants"] == "full"


async def test_all_streams_side_by_side_and_those_that_the_account_lacks_are_skipped(
    shell: Shell, hubspot: EmulatorServer, database: Database
) -> None:
    said = answer(shell.run("pull", "all", "--json"))
    states = {each["stream"]: each["state"] for each in said["streams"]}
    skipped = {"divisions", "memberships", "events"}
    assert {name for name, state in states.items() if state == "skipped"} == skipped
    assert {state for name, state in states.items() if name not in skipped} == {"done"}
    assert {"contacts", "owners", "pipelines", "forms", "email-events", "tasks"} <= set(states)
    await assert_equal(hubspot, database, "contacts", "companies", "deals", "notes", "tasks")


async def test_skipped_associations_come_with_the_next_pull_that_does_not_skip_them(
    shell: Shell, hubspot: EmulatorServer, database: Database
) -> None:
    said = answer(shell.run("pull", "contacts", "--skip-associations", "--json"))
    assert said["totals"]["associations"] == 0
    said = answer(shell.run("pull", "contacts", "--json"))
    assert said["totals"]["associations"] > 0
    await assert_equal(hubspot, database, "contacts")


async def test_associations_alone_are_read_between_the_named_streams(shell: Shell, database: Database) -> None:
    shell.run("pull", "companies", "contacts", "--skip-associations")
    said = answer(
        shell.run("pull", "associations", "--from", "companies", "--from", "contacts", "--to", "contacts", "--json")
    )
    assert [each["stream"] for each in said["streams"]] == ["companies", "contacts"]
    assert said["totals"]["associations"] > 0
    assert said["totals"]["fetched"] == 0


async def test_a_dry_run_counts_and_leaves_nothing_anywhere(shell: Shell, database: Database) -> None:
    before = await database.everything()
    said = answer(shell.run("pull", "contacts", "owners", "--dry-run", "--json"))
    assert said["streams"][0]["inserted"] > 300
    assert said["streams"][0]["is_dry_run"]
    assert await database.everything() == before
    shell.run("pull", "contacts")
    before = await database.everything()
    done = shell.run("pull", "contacts", "--dry-run", "--full")
    assert "Dry run: nothing was written" in done.stdout
    assert await database.everything() == before


async def test_some_streams_that_fail_are_1_all_of_them_2(shell: Shell, hubspot: EmulatorServer) -> None:
    hubspot.fault("403", path="*objects/companies*", times=0)
    done = shell.run("pull", "contacts", "companies", "--json")
    said = answer(done, 1)
    assert said["outcome"] == "partial"
    assert [each["state"] for each in said["streams"]] == ["done", "failed"]
    assert "MISSING_SCOPES" in said["streams"][1]["error"]
    assert "companies: 403" in failed(shell.run("pull", "companies"), 2)


async def test_a_refused_token_is_one_sentence_and_no_row_for_each_stream(shell: Shell, database: Database) -> None:
    words = failed(shell.run("pull", "all", HUBSPOT_API_KEY="pat-wrong"), 2)
    assert "contacts and 17 more: 401" in words
    assert words.count("401") == words.count("Check HUBSPOT_API_KEY") == 1
    assert len(await database.runs()) <= 3  # those that were under way


async def test_hubspot_out_of_reach_is_said_once_and_every_stream_stays_in_the_queue(
    shell: Shell, hubspot: EmulatorServer, database: Database
) -> None:
    shell.environment |= {"HUBSPOT_CUSTOM_OBJECTS": "pets"}
    done = shell.run("pull", "all", HUBSPOT_API_BASE_URL="http://127.0.0.1:1")
    words = failed(done, 2)
    said_at_once = "No answer from HubSpot at http://127.0.0.1:1 yet; trying again. "
    assert words.startswith(f"{said_at_once}contacts and 14 more: HubSpot cannot be reached at http://127.0.0.1:1 (")
    assert words.count("cannot be reached") == words.count("Check the network and HUBSPOT_API_BASE_URL.") == 1
    assert words.count("UTC") == words.count("Nothing is lost: they go on where they stopped, at ") == 1
    assert done.stdout == ""  # no stream was tried, only what the account has was asked
    assert "pets: not pulled this time, as nobody knows whether the account has it." in words
    rows = await database.runs()
    assert {(row.status, row.claim_token) for row in rows} == {("Queued", None)}
    assert len(rows) == 15
    said = answer(shell.run("pull", "all", "--json"))
    assert {each["state"] for each in said["streams"] if each["stream"] != "pets"} == {"done"}
    assert [row.status for row in await database.runs()] == ["Complete"] * 15  # the same ones: nothing piles up
    await assert_equal(hubspot, database, "contacts", "companies", "deals")


async def test_what_people_cannot_act_on_is_not_said(shell: Shell) -> None:
    words = shell.run("pull", "all").stderr
    assert "divisions, memberships, events: not in this account, skipped (HUBSPOT_CUSTOM_OBJECTS names them)." in words
    assert "have no pipelines" not in words
    assert "One call had" not in words


async def test_debug_shows_calls_and_statements_with_their_times_and_neither_the_token_nor_values(
    shell: Shell, hubspot: EmulatorServer
) -> None:
    hubspot.fault("403", path="*objects/companies*", times=0)
    done = shell.run("pull", "contacts", "companies", "--json", "--debug")
    assert answer(done, 1)["outcome"] == "partial"
    assert re.search(r"hubspot GET /crm/v3/objects/contacts: 200 in \d+ ms \(waited \d+ ms\)", done.stderr)
    assert re.search(r"sql [\d.]+ ms: UPDATE sync_cursors SET ", done.stderr)
    assert "Traceback" in done.stderr  # of the stream that failed
    assert hubspot.token not in done.stderr
    emails = {record["email"] for record in hubspot.records("contacts")} - {None, ""}
    assert len(emails) > 100
    assert not [email for email in emails if email in done.stderr]


async def test_a_spent_daily_limit_says_when_it_goes_on_and_the_run_waits(
    shell: Shell, hubspot: EmulatorServer, database: Database
) -> None:
    hubspot.fault("429-daily", path="*objects/contacts*", times=0)
    words = failed(shell.run("pull", "contacts"), 2)
    assert "daily HubSpot calls are spent" in words
    assert "It goes on where it stopped, at " in words
    (row,) = await database.runs()
    assert (row.status, row.retry_count) == ("Queued", 0)
    hubspot.clear_faults()
    assert shell.run("pull", "contacts").returncode == 0
    (row,) = await database.runs()  # the same one: nothing piles up
    assert row.status == "Complete"


def test_nothing_in_a_table_of_80_columns_is_cut() -> None:
    counts = {"fetched": 1_234_567, "inserted": 1_200_000, "updated": 34_567, "unchanged": 123_456, "calls": 98_765}
    more = {"archived": 12_345, "associations": 7_654_321, "calls_saved": 1_234_567, "seconds": 12_345.6}
    every = [Pulled(name, State.DONE, StreamReport(name, **counts, **more)) for name in (*STANDARD, *OTHERS)]
    lines = rendered(every)
    names = [line.split()[1] for line in lines if line.startswith("│")]
    assert names == [*STANDARD, *OTHERS, "all"]
    assert any("1,200,000" in line.split() for line in lines)
    assert "removed" not in " ".join(lines)
    assert lines[0].strip() == "Pulled"
    assert rendered([Pulled("deals", State.FAILED, StreamReport("deals", calls=1))])[0].strip() == "Not pulled"


def rendered(pulled: list[Pulled]) -> list[str]:
    console = Console(width=80, file=io.StringIO(), force_terminal=False)
    with console.capture() as captured:
        console.print(summary(pulled, console))
    return captured.get().splitlines()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["conatcts"], "There is no stream 'conatcts'. Did you mean contacts? There are: contacts, companies, deals"),
        (["Deal"], "There is no stream 'Deal'. Did you mean deals? There are:"),
        (["widgets"], "There is no stream 'widgets'. There are: contacts,"),
        (["cusrors", "--json"], "There is no stream 'cusrors'. Did you mean cursors? There are: contacts,"),
        (["rest", "contacts"], "There is no stream 'rest'. Did you mean reset? There are: contacts,"),
        (["contacts", "--since", "yesterday"], "'yesterday' is neither a date nor a duration; write 2026-11-01"),
        (["contacts", "--since", "2026-13-01"], "'2026-13-01' is neither a date nor a duration"),
        (["contacts", "--since", "2099-01-01"], "'2099-01-01' is yet to come"),
        (["contacts", "--since", "0d"], "'0d' is now, and nothing has changed since; say how long ago: 36h, 7d."),
        (["contacts", "--since", "-3d"], "'-3d' is yet to come; a duration says how long ago, without a sign"),
        (["contacts", "--since", "99999d"], "'99999d' ago is before 1970; to read every record, say --full."),
        (["contacts", "--since", "9999999999d"], "'9999999999d' ago is before 1970; to read every record, say --full"),
        (["contacts", "--since", "1066-10-14"], "'1066-10-14' is before 1970; to read every record, say --full."),
        (["contacts", "--since", "7d", "--full"], "--full and --since contradict each other"),
        (["contacts", "--batch-size", "0"], "--batch-size"),
        (["contacts", "--batch-size", "many"], "--batch-size"),
        (["associations", "--from", "contacts", "--to", "deal"], "There is no stream 'deal'"),
        (["associations", "--from", "owners", "--to", "deals"], "owners is no stream of records; it has no assoc"),
        (["associations", "--from", "contacts", "--to", "forms"], "forms is no stream of records; it has no assoc"),
        (["associations", "--from", "contacts"], "Missing option '--to'"),
        (["reset", "contats", "--yes"], "There is no stream 'contats'"),
        (["issues", "contats"], "There is no stream 'contats'"),
    ],
    ids=" ".join,
)
def test_wrong_words_are_a_sentence(shell: Shell, arguments: list[str], words: str) -> None:
    assert words in failed(shell.run("pull", *arguments), 2)


@pytest.mark.parametrize("since", ["2025-01-01", "2025-01-01T10:00Z", "2025-01-01T10:00:00+02:00", "900d", "36h"])
def test_since_is_a_date_or_a_duration(shell: Shell, since: str) -> None:
    assert answer(shell.run("pull", "companies", "--since", since, "--dry-run", "--json"))["outcome"] == "done"


def test_without_a_token_a_pull_says_so(shell: Shell) -> None:
    assert "Set HUBSPOT_API_KEY" in failed(shell.run("pull", "contacts", HUBSPOT_API_KEY=""), 2)


def test_a_wrong_name_in_the_settings_is_a_sentence(shell: Shell) -> None:
    words = failed(shell.run("pull", "contacts", HUBSPOT_PULL_STREAMS="contacts,contats"), 2)
    assert words.startswith("HUBSPOT_PULL_STREAMS: There is no stream 'contats'. Did you mean contacts?")
    words = failed(shell.run("pull", "contacts", HUBSPOT_CUSTOM_OBJECTS="contacts=2-1"), 2)
    assert words == "HUBSPOT_CUSTOM_OBJECTS names contacts, which means something else already."
    words = failed(shell.run("pull", "contacts", HUBSPOT_PULL_PROPERTIES='{"engagements": ["hs_timestamp"]}'), 2)
    assert words.startswith("HUBSPOT_PULL_PROPERTIES names engagements: only single streams of records have properties")
    assert words.endswith("Give each of them a list of its own.")


async def test_a_wanted_property_that_the_account_lacks_is_said_once_and_fails_nothing(
    shell: Shell, hubspot: EmulatorServer, database: Database
) -> None:
    shell.environment["HUBSPOT_PULL_PROPERTIES"] = '{"companies": ["domian", "website"]}'
    for arguments in (["--dry-run"], [], ["--full"]):
        done = shell.run("pull", "companies", *arguments)
        assert done.returncode == 0
        assert done.stderr == (
            "companies: HUBSPOT_PULL_PROPERTIES names 'domian', a property that the account does not have. "
            "Did you mean domain?\n"
        )
    assert [len(run.report["notes"]) for run in await database.runs()] == [1, 1]


async def test_a_wanted_property_that_the_account_got_by_now_is_looked_up_again(
    shell: Shell, hubspot: EmulatorServer, database: Database
) -> None:
    shell.run("pull", "companies")
    async with HubSpotClient(hubspot.url, hubspot.token) as client:
        await client.create_property(
            "companies", PropertyDefinition("favourite_tea", "Favourite tea", "string", "text", "companyinformation")
        )
    shell.environment["HUBSPOT_PULL_PROPERTIES"] = '{"companies": ["favourite_tea"]}'
    await database.sql("UPDATE hubspot.properties SET synced_at = now() - interval '1 hour'")
    assert shell.run("pull", "companies").stderr == ""


@pytest.mark.parametrize("command", ["serve", "worker"])
def test_an_application_does_not_start_with_streams_that_there_are_not(shell: Shell, command: str) -> None:
    shell.environment |= {"HUBSPOT_PULL_STREAMS": "all,contats", "WEB_PORT": "0"}
    assert "HUBSPOT_PULL_STREAMS: There is no stream 'contats'." in failed(shell.run(command), 2)


async def test_runs_show_what_was_done_and_why_it_was_not(
    shell: Shell, hubspot: EmulatorServer, database: Database
) -> None:
    assert "There were no runs." in shell.run("runs").stdout
    hubspot.fault("403", path="*objects/deals*", times=0)
    shell.run("pull", "companies", "deals")
    said = json.loads(shell.run("runs", "--json").stdout)["runs"]
    by_stream = {each["stream"]: each for each in said}
    assert (by_stream["companies"]["status"], by_stream["deals"]["status"]) == ("Complete", "Error")
    assert by_stream["companies"]["report"]["inserted"] > 0
    assert by_stream["companies"]["seconds"] > 0
    assert "MISSING_SCOPES" in by_stream["deals"]["error"]
    table = shell.run("runs", "--stream", "deals", "--limit", "5").stdout
    assert "deals: 403 MISSING_SCOPES" in table
    assert "companies" not in table


async def test_runs_that_failed_alike_one_after_another_are_one_line(shell: Shell, database: Database) -> None:
    await database.sql(
        """
        INSERT INTO sync_runs (stream, status, error, started_at, finished_at)
        SELECT CASE WHEN n % 2 = 0 THEN 'deals' ELSE 'notes' END,
               CASE WHEN n IN (4, 5) THEN 'Complete' ELSE 'Error' END :: sync_run_status,
               CASE WHEN n IN (4, 5) THEN NULL ELSE 'HubSpot sleeps.' END,
               at, at + interval '1 second'
        FROM generate_series(1, 12) AS n, LATERAL (SELECT timestamptz '2026-11-01 10:00Z' + n * interval '1 hour') a(at)
        """
    )
    lines = shell.run("runs").stdout.splitlines()
    assert [line for line in lines if line.endswith(("sleeps.", ")"))] == [
        "12 deals: HubSpot sleeps. (4 times, 11-01 16:00 to 11-01 22:00)",
        "11 notes: HubSpot sleeps. (3 times, 11-01 17:00 to 11-01 21:00)",
        "3 notes: HubSpot sleeps. (2 times, 11-01 11:00 to 11-01 13:00)",
        "2 deals: HubSpot sleeps.",
    ]
    rows = [line.replace("│", " ").split()[:5] for line in lines if line.startswith("│")]
    assert [row[0] for row in rows] == ["12", "11", "5", "4", "3", "2"]
    assert rows[0] == ["12", "deals", "changes", "Error", "4"]
    assert len(json.loads(shell.run("runs", "--json").stdout)["runs"]) == 12


async def test_cursors_are_shown_and_reset_but_not_under_a_run(shell: Shell, database: Database) -> None:
    assert "Nothing was pulled yet." in shell.run("pull", "cursors").stdout
    shell.run("pull", "contacts", "companies")
    (companies, contacts) = json.loads(shell.run("pull", "cursors", "--json").stdout)["cursors"]
    assert (companies["stream"], contacts["stream"]) == ("companies", "contacts")
    assert contacts["synced_to"] == contacts["full_at"] is not None
    await database.sql(
        "UPDATE sync_cursors SET holder = gen_random_uuid(), held_until = now() + interval '1 minute' "
        "WHERE stream = 'contacts'"
    )
    assert "Another run pulls contacts now" in failed(shell.run("pull", "reset", "all", "--yes"), 6)
    await database.sql("UPDATE sync_cursors SET holder = NULL, held_until = NULL")
    assert "Aborted" in failed(shell.run("pull", "reset", "contacts"), 1)
    assert "The next pull of contacts is a full one." in shell.run("pull", "reset", "contacts", "--yes").stdout
    (companies,) = json.loads(shell.run("pull", "cursors", "--json").stdout)["cursors"]
    assert companies["stream"] == "companies"
    (stream,) = answer(shell.run("pull", "contacts", "--json"))["streams"]
    assert stream["fetched"] > 300


async def test_values_that_do_not_fit_are_listed(shell: Shell, database: Database) -> None:
    assert "Every value fits." in shell.run("pull", "issues").stdout
    await database.sql(
        "INSERT INTO sync_issues (stream, record_id, property, value, reason) "
        "VALUES ('deals', 17, 'amount', 'a lot', 'is no number')"
    )
    said = json.loads(shell.run("pull", "issues", "deals", "--json").stdout)
    assert (said["count"], said["issues"][0]["value"]) == (1, "a lot")
    assert "is no number" in shell.run("pull", "issues").stdout
    assert json.loads(shell.run("pull", "issues", "contacts", "--json").stdout)["count"] == 0


async def test_the_queue_commands_know_the_pulls(shell: Shell, hubspot: EmulatorServer, database: Database) -> None:
    hubspot.fault("403", path="*objects/companies*", times=0)
    shell.run("pull", "companies")
    hubspot.clear_faults()
    (row,) = await database.runs()
    _contacts, pulls = json.loads(shell.run("queue", "status", "--json").stdout)["queues"]
    assert (pulls["queue"], pulls["error"]) == ("pulls", 1)
    (group,) = json.loads(shell.run("queue", "errors", "pulls", "--json").stdout)["errors"]
    assert (group["rows"], group["examples"]) == (1, [str(row.id)])
    assert "an id of pulls is a whole number" in failed(shell.run("queue", "requeue", "pulls", "--id", "x"), 2)
    done = shell.run("queue", "requeue", "pulls", "--id", str(row.id), "--json")
    assert json.loads(done.stdout) == {"queue": "pulls", "requeued": 1}
    await database.sql("UPDATE sync_runs SET next_retry_at = now() + interval '1 hour'")
    assert "1 waiting row due now." in shell.run("queue", "retry", "pulls").stdout
    assert "1 row left the queue." in shell.run("queue", "cancel", "pulls", "--all").stdout
    assert "pulls is paused until" in shell.run("queue", "pause", "pulls", "--reason", "audit").stdout
    assert "The queue of pulls is paused since" in failed(shell.run("pull", "contacts"), 6)
    assert "pulls runs again" in shell.run("queue", "resume", "pulls").stdout
    assert json.loads(shell.run("queue", "doctor", "pulls", "--json").stdout)["queues"][0]["findings"] == []


async def test_an_insert_by_sql_is_taken_by_a_worker_at_once(
    shell: Shell, hubspot: EmulatorServer, database: Database
) -> None:
    shell.environment["WORKER_POLL_SECONDS"] = "3600"
    process = shell.start("worker")
    until_said(process, "working: contacts, pulls")
    await database.sql("INSERT INTO sync_runs (stream) VALUES ('contacts')")
    await eventually(database.runs, lambda rows: rows[0].status == "Complete")
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=30)
    assert "pulls: 1 completed" in said
    await assert_equal(hubspot, database, "contacts")


async def test_two_workers_share_the_runs(shell: Shell, hubspot: EmulatorServer, database: Database) -> None:
    """The second one takes what the first one, busy with a slow stream, leaves."""
    shell.environment["HUBSPOT_PULL_CONCURRENCY"] = "1"
    hubspot.fault("slow", path="*properties/contacts*", seconds=20.0)
    await database.sql("INSERT INTO sync_runs (stream) VALUES ('contacts')")
    busy = shell.start("worker")
    await eventually(database.runs, lambda rows: rows[0].started_at is not None)
    await database.sql("INSERT INTO sync_runs (stream) VALUES ('companies'), ('deals')")
    free = shell.start("worker")
    rows = await eventually(database.runs, lambda rows: [row.status for row in rows[1:]] == ["Complete"] * 2)
    assert rows[0].status == "Processing"
    for process in (busy, free):
        process.kill()
        process.communicate(timeout=30)


async def test_the_run_of_a_killed_worker_is_taken_over_and_ends_equal(
    shell: Shell, hubspot: EmulatorServer, database: Database
) -> None:
    await database.sql("INSERT INTO sync_runs (stream, batch_size) VALUES ('contacts', 100)")
    hubspot.fault("slow", route="objects.list", nth=3, seconds=60.0)
    process = shell.start("worker")
    await eventually(lambda: database.sql("SELECT 1 FROM hubspot.contacts"), bool)
    process.kill()
    process.communicate(timeout=30)
    hubspot.clear_faults()
    assert [row.status for row in await database.runs()] == ["Processing"]
    await database.sql("UPDATE sync_runs SET lease_expires_at = now() - interval '1 second'")
    await database.sql("UPDATE sync_cursors SET held_until = now() - interval '1 second'")
    heir = shell.start("worker")
    (row,) = await eventually(database.runs, lambda rows: rows[0].status == "Complete")
    assert (row.rescue_count, row.report["resumed"]) == (1, True)
    heir.send_signal(signal.SIGTERM)
    heir.communicate(timeout=30)
    await assert_equal(hubspot, database, "contacts")


async def test_ctrl_c_ends_the_run_and_the_next_pull_goes_on(
    shell: Shell, hubspot: EmulatorServer, database: Database
) -> None:
    hubspot.fault("slow", route="objects.list", nth=3, seconds=60.0)
    process = shell.start("pull", "contacts", "--batch-size", "100")
    await eventually(lambda: database.sql("SELECT 1 FROM hubspot.contacts"), bool)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 130, said
    assert "Stopped: contacts. What came is kept, and the next pull goes on from there." in said
    assert "Traceback" not in said
    (row,) = await database.runs()
    assert (row.status, row.claim_token) == (None, None)
    assert row.report["inserted"] > 0
    (cursor,) = await database.sql("SELECT * FROM sync_cursors")
    assert cursor.holder is None
    hubspot.clear_faults()
    (stream,) = answer(shell.run("pull", "contacts", "--json"))["streams"]
    assert stream["resumed"]
    await assert_equal(hubspot, database, "contacts")


async def test_a_running_application_that_was_quicker_is_followed(
    shell: Shell, hubspot: EmulatorServer, database: Database
) -> None:
    """Another run has the stream: the command waits for it, and then does its own."""
    await database.sql("INSERT INTO sync_runs (stream) VALUES ('companies')")
    async with database.engine.connect() as door:  # which the worker comes to with its stream in hand
        await door.execute(sa.text("LOCK TABLE hubspot.properties"))
        worker = shell.start("worker")
        await eventually(lambda: database.sql("SELECT 1 FROM sync_cursors WHERE holder IS NOT NULL"), bool)
        process = shell.start("pull", "companies", "--json")
        waits = "Another run has companies; waiting for its end. If nothing more is heard of it, that is at "
        await asyncio.to_thread(until_said, process, waits)
    said, _ = await asyncio.to_thread(process.communicate, timeout=60)
    assert process.returncode == 0, said
    assert json.loads(said)["streams"][0]["run"] == (await database.runs())[1].id
    assert [row.status for row in await database.runs()] == ["Complete"] * 2
    worker.send_signal(signal.SIGTERM)
    worker.communicate(timeout=60)
