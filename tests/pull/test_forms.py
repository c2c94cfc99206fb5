"""Forms and their submissions: many forms at once, cut off, taken up, and linked to contacts."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from crm_sync.errors import StreamBusyError
from crm_sync.hubspot import HubSpotError, SubmissionPage
from crm_sync.hubspot.errors import DailyLimit, ServerFault
from crm_sync.pull.cursor_rows import CursorRows
from crm_sync.pull.wish import Wants
from hubspot_emulator.forms import Forms
from hubspot_emulator.quota import Tier
from tests.pull.puller import killed_when
from tests.pull.pulling import Pulls

SUBMISSIONS = "forms.submissions"


def forms_of(pulls: Pulls) -> Forms:
    return pulls.emulator.portal.forms


def now_ms(pulls: Pulls) -> int:
    return pulls.emulator.clock.now_ms()


def add_form(pulls: Pulls, submissions: int = 0, name: str = "Form", *, minutes_apart: int = 60) -> str:
    """A form whose submissions are that far apart, the newest an hour old."""
    with pulls.emulator.account.lock:
        newest_ms = now_ms(pulls) - 3_600_000
        form: str = forms_of(pulls).add(name, newest_ms)["id"]
        for number in range(submissions):
            at_ms = newest_ms - (submissions - number) * minutes_apart * 60_000
            forms_of(pulls).submit(form, {"email": f"c{number}@x.com", "firstname": "C"}, at_ms)
    return form


def submit(pulls: Pulls, form: str, email: str = "new@x.com", *, at_ms: int | None = None) -> None:
    with pulls.emulator.account.lock:
        forms_of(pulls).submit(form, {"email": email}, now_ms(pulls) if at_ms is None else at_ms)


async def assert_equal(pulls: Pulls) -> None:
    """Every form and every submission of the portal is here as it is there, and no look is half done."""
    with pulls.emulator.account.lock:
        forms = {one["id"]: dict(one) for one in forms_of(pulls).all()}
        submissions = {(id_, one["conversionId"]): one for id_ in forms for one in forms_of(pulls).submitted(id_)}
    rows = await pulls.sql("SELECT form_id, name, raw FROM hubspot.forms")
    assert {row.form_id: row.raw for row in rows} == forms
    assert {row.form_id: row.name for row in rows} == {id_: one["name"] for id_, one in forms.items()}
    rows = await pulls.sql("SELECT * FROM hubspot.form_submissions")
    found = {(row.form_id, row.conversion_id): row.raw for row in rows if row.form_id in forms}
    assert found.keys() == submissions.keys()
    assert found == submissions
    for row in rows:
        assert row.submitted_at == datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=row.raw["submittedAt"])
    cursors = await pulls.sql("SELECT stream, passes, position, holder FROM sync_cursors WHERE stream LIKE 'form%'")
    assert {one.stream for one in cursors} == {"forms", *(f"forms/{id_}" for id_ in forms)}
    for cursor in cursors:
        assert (cursor.passes, cursor.holder) == ([], None), cursor.stream


async def counted(pulls: Pulls) -> int:
    return int((await pulls.sql("SELECT count(*) AS n FROM hubspot.form_submissions"))[0].n)


async def test_forms_and_submissions_are_what_the_portal_has_and_follow_it(either: Pulls) -> None:
    pulls = either
    busy, quiet, gone = add_form(pulls, 120, "Busy"), add_form(pulls, 0, "Quiet"), add_form(pulls, 3, "Gone")
    report = await pulls.pull("forms")
    await assert_equal(pulls)
    assert (report.fetched, report.inserted, report.pages, report.calls) == (126, 126, 6, 6)

    for number in range(60):
        submit(pulls, busy, f"later{number}@x.com")
    submit(pulls, quiet)
    with pulls.emulator.account.lock:
        forms_of(pulls).change(quiet, now_ms(pulls), name="Renamed")
        forms_of(pulls).remove(gone)
    report = await pulls.pull("forms")
    await assert_equal(pulls)
    assert (report.inserted, report.updated, report.removed) == (61, 1, 1)
    assert len(await pulls.sql("SELECT 1 FROM hubspot.form_submissions WHERE form_id = :gone", gone=gone)) == 3
    assert report.calls == 2 + 2 + 1, (
        "the list twice, as a form seems to be gone; two pages of one form, one of another"
    )

    again = await pulls.pull("forms")
    assert (again.inserted, again.updated, again.removed) == (0, 0, 0)
    assert again.calls == 1 + 2 + 1, "the list, and one for each form; two where over 50 came in the last minutes"


async def test_310_forms_in_parallel(pulls: Pulls) -> None:
    chance = random.Random(7)
    for number in range(310):
        add_form(pulls, chance.choice((0, 0, 1, 5, 49, 50, 51, 120)), f"Form {number}")
    with pulls.emulator.account.lock:
        pages = sum(max(1, -(-len(forms_of(pulls).submitted(one["id"])) // 50)) for one in forms_of(pulls).all())
    report = await pulls.pull("forms")
    await assert_equal(pulls)
    assert report.calls == 7 + pages
    calls = pulls.emulator.calls(SUBMISSIONS)
    assert len(calls) == pages
    again = await pulls.pull("forms")
    assert (again.calls, again.inserted, again.updated) == (7 + 310, 0, 0)


async def test_submissions_that_come_in_while_a_form_is_read(pulls: Pulls, monkeypatch: pytest.MonkeyPatch) -> None:
    form = add_form(pulls, 300)
    await pulls.pull("owners")  # makes the client
    assert pulls.hubspot is not None
    read = pulls.hubspot.form_submissions

    async def someone_submits(form_id: str, after: str | None = None, limit: int = 50) -> SubmissionPage:
        for _ in range(7):
            submit(pulls, form)
        return await read(form_id, after, limit)

    monkeypatch.setattr(pulls.hubspot, "form_submissions", someone_submits)
    await pulls.pull("forms")
    monkeypatch.undo()
    await pulls.pull("forms")
    await assert_equal(pulls)


@pytest.mark.parametrize("wants", [Wants.CHANGES, Wants.FULL])
async def test_a_run_that_is_cut_off_is_taken_up_and_loses_nothing(pulls: Pulls, wants: Wants) -> None:
    forms = [add_form(pulls, 400, f"Form {number}") for number in range(3)]
    pulls.emulator.fault("slow", path="*/submissions/*", times=0, nth=10, seconds=0.05)
    run = asyncio.create_task(pulls.pull("forms", wants))
    while await counted(pulls) < 500:
        assert not run.done()
        await asyncio.sleep(0.01)
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)
    pulls.emulator.clear_faults()
    before = len(pulls.emulator.calls(SUBMISSIONS))
    for form in forms:
        for number in range(70):  # they push all others down
            submit(pulls, form, f"meanwhile{number}@x.com")
    report = await pulls.pull("forms", wants)
    assert report.resumed
    await assert_equal(pulls)
    calls = len(pulls.emulator.calls(SUBMISSIONS)) - before
    assert calls < 3 * (400 // 50) + 3 * 3, "what was read before is not read again"


async def test_a_gap_below_what_a_killed_run_wrote_is_filled(pulls: Pulls) -> None:
    """The newest row of the table is no place to stop at: the run before had written it, and not what is below."""
    form = add_form(pulls, 20)
    await pulls.pull("forms")
    for number in range(200):
        submit(pulls, form, f"many{number}@x.com")
    pulls.emulator.fault("500", path="*/submissions/*", nth=3, times=0)
    with pytest.raises(ServerFault):
        await pulls.pull("forms")
    assert await counted(pulls) == 20 + 100
    pulls.emulator.clear_faults()
    pulls.emulator.clock.advance(7_200)
    submit(pulls, form, "last@x.com")
    await pulls.pull("forms")
    await assert_equal(pulls)


async def test_sigkill_in_the_middle_and_resume(pulls: Pulls) -> None:
    for number in range(12):
        add_form(pulls, 300, f"Form {number}")
    pulls.emulator.fault("slow", path="*/submissions/*", times=0, seconds=0.03)

    async def enough() -> bool:
        return await counted(pulls) >= 900

    await killed_when(pulls, "forms", Wants.CHANGES, enough)
    pulls.emulator.clear_faults()
    written = await counted(pulls)
    assert 900 <= written < 3_600
    report = await pulls.pull("forms")
    assert report.resumed
    assert written + report.inserted == 3_600
    await assert_equal(pulls)


async def test_the_daily_limit_in_the_middle_and_resume(pulls: Pulls) -> None:
    for number in range(20):
        add_form(pulls, 120, f"Form {number}")
    with pulls.emulator.account.lock:
        pulls.emulator.account.quota.set_limits(Tier(burst=10**6, daily=30, associations=10, search=5))
    with pytest.raises(DailyLimit):
        await pulls.pull("forms")
    assert len(pulls.emulator.calls(SUBMISSIONS)) <= 29 + 8, "nobody knocks on at a door that is shut till midnight"
    written = await counted(pulls)
    assert 0 < written < 2_400
    pulls.emulator.set_tier("unlimited")
    report = await pulls.pull("forms")
    assert report.resumed
    assert written + report.inserted == 2_400
    await assert_equal(pulls)


async def test_full_that_is_cut_off_does_not_begin_again(pulls: Pulls) -> None:
    for number in range(10):
        add_form(pulls, 100, f"Form {number}")
    await pulls.pull("forms")
    pulls.emulator.fault("429-daily", path="*/submissions/*", nth=15)
    with pytest.raises(DailyLimit):
        await pulls.pull("forms", Wants.FULL)
    before = len(pulls.emulator.calls(SUBMISSIONS))
    await pulls.pull("forms")
    await assert_equal(pulls)
    again = len(pulls.emulator.calls(SUBMISSIONS)) - before
    assert 10 < again <= 10 + 20 - 6, "the forms that were done cost a call each, the others both of their pages"
    pulls.emulator.account.calls.clear()
    await pulls.pull("forms")
    assert len(pulls.emulator.calls(SUBMISSIONS)) == 10, "the full run is over"


async def test_full_reads_everything_again(pulls: Pulls) -> None:
    form = add_form(pulls, 120)
    await pulls.pull("forms")
    await pulls.sql("DELETE FROM hubspot.form_submissions WHERE email = 'c3@x.com'")
    await pulls.pull("forms")
    assert await counted(pulls) == 119
    report = await pulls.pull("forms", Wants.FULL)
    assert (report.inserted, report.pages) == (1, 1 + 3)
    await assert_equal(pulls)
    assert (await pulls.cursor(f"forms/{form}")).full_at is not None


async def test_after_a_reset_everything_is_read_again(pulls: Pulls) -> None:
    add_form(pulls, 120)
    await pulls.pull("forms")
    await pulls.sql("DELETE FROM hubspot.form_submissions")
    assert await CursorRows(pulls.engine).reset(["forms"]) == ["forms"]
    await pulls.pull("forms")
    await assert_equal(pulls)


async def test_since_bounds_the_submissions_and_does_not_count_as_all(pulls: Pulls) -> None:
    add_form(pulls, 200)
    since = datetime.now(UTC) - timedelta(hours=61)
    report = await pulls.pull("forms", since=since)
    assert report.pages == 1 + 2
    assert await counted(pulls) == 100
    await pulls.pull("forms")
    await assert_equal(pulls)


async def test_a_submission_of_an_earlier_time_is_found_by_the_look_back(pulls: Pulls) -> None:
    form = add_form(pulls, 400)
    await pulls.pull("forms")
    submit(pulls, form, "late@x.com", at_ms=now_ms(pulls) - 10 * 86_400_000)
    await pulls.pull("forms")
    assert await counted(pulls) == 400
    await pulls.let_time_pass(90_000)
    await pulls.pull("forms")
    await assert_equal(pulls)
    submit(pulls, form, "late@x.com", at_ms=now_ms(pulls) - 12 * 86_400_000)
    await pulls.pull("forms", catch_up=True)
    await assert_equal(pulls)


async def test_a_submission_of_the_future_hides_nothing(pulls: Pulls) -> None:
    form = add_form(pulls, 10)
    submit(pulls, form, "future@x.com", at_ms=now_ms(pulls) + 10**11)
    await pulls.pull("forms")
    for number in range(120):
        submit(pulls, form, f"n{number}@x.com")
    await pulls.pull("forms")
    await assert_equal(pulls)


async def test_submissions_are_linked_by_email(pulls: Pulls) -> None:
    form = add_form(pulls)
    wanted = {" Ann@X.com ": 1, "second@x.com": 1, "merged@x.com": 3, "later@x.com": None, "binned@x.com": None}
    for email in wanted:
        submit(pulls, form, email)
    with pulls.emulator.account.lock:
        forms_of(pulls).submit(form, {"firstname": "Nobody"}, now_ms(pulls))
        forms_of(pulls).submit(form, {"EMAIL": "ann@x.com"}, now_ms(pulls))
    await contact(pulls, 1, "ann@x.com", "old@x.com; Second@X.com")
    await contact(pulls, 2, "merged@x.com")
    await contact(pulls, 4, "binned@x.com", archived=True)
    report = await pulls.pull("forms")
    assert report.associations == 4

    async def links() -> dict[str | None, int | None]:
        return {row.email: row.contact_id for row in await pulls.sql("SELECT * FROM hubspot.form_submissions")}

    assert await links() == {
        "Ann@X.com": 1,
        "second@x.com": 1,
        "merged@x.com": 2,
        "later@x.com": None,
        "binned@x.com": None,
        "ann@x.com": 1,
        None: None,
    }
    await contact(pulls, 5, "LATER@x.com")
    await pulls.sql("DELETE FROM hubspot.contacts WHERE hubspot_id = 2")
    await contact(pulls, 3, "winner@x.com", "merged@x.com")
    await pulls.pull("forms")
    linked = await links()
    assert (linked["later@x.com"], linked["merged@x.com"]) == (5, 3), "pulled later; merged into another"
    await pulls.sql("UPDATE hubspot.contacts SET archived = true WHERE hubspot_id = 5")
    await pulls.pull("forms")
    assert (await links())["later@x.com"] is None


async def contact(pulls: Pulls, id_: int, email: str, more: str | None = None, *, archived: bool = False) -> None:
    await pulls.sql(
        "INSERT INTO hubspot.contacts (hubspot_id, email, additional_emails, archived, properties, read_at)"
        " VALUES (:id, :email, :more, :archived, '{}', now())",
        id=id_,
        email=email,
        more=more,
        archived=archived,
    )


async def test_dry_run_writes_nothing(pulls: Pulls) -> None:
    kept, gone = add_form(pulls, 120, "Kept"), add_form(pulls, 5, "Gone")
    before = await pulls.dump()
    report = await pulls.pull("forms", dry_run=True)
    assert (report.inserted, report.fetched) == (127, 127)
    assert await pulls.dump() == before
    await pulls.pull("forms")
    submit(pulls, kept)
    with pulls.emulator.account.lock:
        forms_of(pulls).remove(gone)
        forms_of(pulls).change(kept, now_ms(pulls), name="Other")
    before = await pulls.dump()
    for wants in (Wants.CHANGES, Wants.FULL):
        report = await pulls.pull("forms", wants, dry_run=True)
        assert (report.inserted, report.updated, report.removed) == (1, 1, 1)
    assert report.pages == 1 + 1 + 3
    assert await pulls.dump() == before


async def test_a_page_with_odd_values_is_stored(pulls: Pulls) -> None:
    form = add_form(pulls, name="N\0\ud83d")
    with pulls.emulator.account.lock:
        forms_of(pulls).submit(form, {"email": "a\0@x.com", "x\0": "\ud83d \\u0000 \\\0"}, now_ms(pulls))
        forms_of(pulls).submit(form, {}, 1)
        first, last = forms_of(pulls).submitted(form)
        last |= {"pageUrl": 7, "values": [{"name": "email", "value": None}, {"name": "n", "value": [1, {"a": "\0"}]}]}
    await pulls.pull("forms")
    rows = {row.conversion_id: row for row in await pulls.sql("SELECT * FROM hubspot.form_submissions")}
    row = rows[first["conversionId"]]
    assert row.email == "a\ufffd@x.com"
    assert row.raw["values"][1] == {"name": "x\ufffd", "value": "\ufffd \\u0000 \\\ufffd", "objectTypeId": "0-1"}
    assert (rows[last["conversionId"]].email, rows[last["conversionId"]].page_url) == (None, "7")
    (named,) = await pulls.sql("SELECT name FROM hubspot.forms")
    assert named.name == "N\ufffd\ufffd"
    assert (await pulls.pull("forms")).updated == 0


async def test_one_form_s_trouble_does_not_stop_the_others(pulls: Pulls) -> None:
    bad, *_ = [add_form(pulls, 60, f"Form {number}") for number in range(12)]
    pulls.emulator.fault("500", path=f"*/submissions/forms/{bad}", times=0)
    with pytest.raises(ServerFault):
        await pulls.pull("forms")
    assert await counted(pulls) == 11 * 60
    pulls.emulator.clear_faults()
    await pulls.pull("forms")
    await assert_equal(pulls)


async def test_a_form_deleted_meanwhile_is_a_note(pulls: Pulls) -> None:
    gone, _ = add_form(pulls, 5, "Gone"), add_form(pulls, 5, "Stays")
    pulls.emulator.fault("slow", path="*/submissions/*", times=0, seconds=0.2)
    run = asyncio.create_task(pulls.pull("forms"))
    while not pulls.emulator.calls("forms.list"):
        await asyncio.sleep(0)
    with pulls.emulator.account.lock:
        forms_of(pulls).remove(gone)
    report = await run
    assert any("was deleted" in note for note in report.notes)
    await pulls.pull("forms")
    await assert_equal(pulls)


async def test_two_runs_do_not_mix(pulls: Pulls) -> None:
    add_form(pulls, 300)
    pulls.emulator.fault("slow", path="*/submissions/*", times=0, seconds=0.02)
    await pulls.pull("owners")
    outcomes = await asyncio.gather(pulls.pull("forms"), pulls.pull("forms"), return_exceptions=True)
    assert sorted(type(one).__name__ for one in outcomes) == ["StreamBusyError", "StreamReport"]
    assert any(isinstance(one, StreamBusyError) for one in outcomes)
    await assert_equal(pulls)


@pytest.mark.parametrize("seed", range(6))
async def test_any_mixture_of_cuts_faults_and_submissions_ends_equal(pulls: Pulls, seed: int) -> None:
    chance = random.Random(seed)
    forms = [add_form(pulls, chance.randrange(200), f"Form {number}", minutes_apart=7) for number in range(6)]
    for _ in range(8):
        for _ in range(chance.randrange(60)):
            submit(pulls, chance.choice(forms), f"x{chance.random()}@x.com")
        fault = chance.choice((None, "429-daily", "500", "cut", "truncated", "slow"))
        if fault:
            pulls.emulator.fault(
                fault, path="*/submissions/*", nth=chance.randrange(1, 12), times=chance.choice((1, 9))
            )
        run: asyncio.Task[Any] = asyncio.create_task(
            pulls.pull("forms", chance.choice((Wants.CHANGES, Wants.CHANGES, Wants.FULL)))
        )
        done, _ = await asyncio.wait((run,), timeout=chance.choice((0.02, 0.1, 5)))
        if not done:
            run.cancel()
        (outcome,) = await asyncio.gather(run, return_exceptions=True)
        assert not isinstance(outcome, Exception) or isinstance(outcome, HubSpotError), outcome
        pulls.emulator.clear_faults()
        await pulls.release()  # a run that is ended while it takes its cursor may leave it held
        pulls.emulator.clock.advance(chance.choice((1, 600, 5_000)))
        for _ in range(chance.randrange(80)):
            submit(pulls, chance.choice(forms), f"x{chance.random()}@x.com")
    await pulls.pull("forms")
    await assert_equal(pulls)
