"""Owners: live, archived, changed, gone."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from crm_sync.hubspot.errors import MissingScopes
from tests.pull.pulling import Pulls

NOON_MS = 1_772_366_400_000


def portal_owners(pulls: Pulls) -> dict[int, Any]:
    with pulls.emulator.account.lock:
        return {int(one["id"]): dict(one) for one in pulls.emulator.portal.owners.all()}


async def mirrored(pulls: Pulls) -> dict[int, Any]:
    rows = await pulls.sql("SELECT * FROM hubspot.owners")
    for row in rows:
        raw = row.raw
        said = (row.email, row.first_name, row.last_name, row.user_id, row.archived)
        assert said == (raw["email"], raw["firstName"], raw["lastName"], raw["userId"], raw["archived"])
        assert row.updated_at == datetime.fromisoformat(raw["updatedAt"])
    return {row.hubspot_id: row.raw for row in rows}


async def test_the_mirror_has_live_and_archived_owners_and_follows_them(either: Pulls) -> None:
    pulls, owners = either, either.emulator.portal.owners
    made = [owners.add(f"o{number}@x.com", "O", str(number), at_ms=NOON_MS)["id"] for number in range(520)]
    owners.add("left@x.com", "Lee", "Left", at_ms=NOON_MS, archived=True)
    report = await pulls.pull("owners")
    assert await mirrored(pulls) == portal_owners(pulls)
    assert (report.fetched, report.inserted, report.archived) == (522, 522, 1)
    assert (report.pages, report.calls) == (3, 3), "two pages of live ones, one of archived ones"

    again = await pulls.pull("owners")
    assert (again.unchanged, again.inserted, again.updated, again.removed, again.calls) == (522, 0, 0, 0, 3)

    owners.change(made[0], NOON_MS + 1, archived=True)
    owners.change(made[1], NOON_MS + 1, lastName="Married")
    owners.remove(made[2])
    owners.add("new@x.com", "N", "N", at_ms=NOON_MS)
    report = await pulls.pull("owners")
    assert await mirrored(pulls) == portal_owners(pulls)
    assert (report.inserted, report.updated, report.archived, report.removed) == (1, 2, 1, 1)
    assert report.calls == 6, "what seems to be gone is looked for once more"
    cursor = await pulls.cursor("owners")
    assert cursor.holder is None
    assert cursor.synced_to is not None


async def test_rows_that_did_not_change_are_not_written(pulls: Pulls) -> None:
    await pulls.pull("owners")
    before = await pulls.sql("SELECT synced_at, xmin FROM hubspot.owners")
    await pulls.pull("owners")
    assert await pulls.sql("SELECT synced_at, xmin FROM hubspot.owners") == before


async def test_an_owner_restored_between_two_listings_stays(pulls: Pulls, monkeypatch: pytest.MonkeyPatch) -> None:
    """It stands in neither of them: archived when the live ones were listed, live when the archived ones were."""
    owners = pulls.emulator.portal.owners
    back = owners.add("back@x.com", "B", "Ack", at_ms=NOON_MS, archived=True)["id"]
    await pulls.pull("owners")
    assert pulls.hubspot is not None
    listed = pulls.hubspot.list_owners

    async def restored_meanwhile(after: str | None = None, archived: bool = False) -> Any:
        if archived:
            owners.change(back, NOON_MS + 1, archived=False)
        return await listed(after, archived)

    monkeypatch.setattr(pulls.hubspot, "list_owners", restored_meanwhile)
    report = await pulls.pull("owners")
    assert (report.removed, report.updated) == (0, 1)
    assert await mirrored(pulls) == portal_owners(pulls)


async def test_odd_values_are_kept_as_they_can_be(pulls: Pulls) -> None:
    owners = pulls.emulator.portal.owners
    odd: dict[str, Any] = {"firstName": "A\0\ud83d", "lastName": 7, "userId": 2**70, "teams": [{"name": "T\0"}]}
    id_ = owners.add("odd@x.com", "", "")["id"]
    owners.change(id_, NOON_MS, **odd, createdAt="9999-12-31T23:59:59.999999Z")
    await pulls.pull("owners")
    row = await pulls.row("owners", id_)
    assert (row.first_name, row.last_name, row.user_id, row.created_at) == ("A\ufffd\ufffd", "7", None, None)
    assert row.raw["userId"] == 2**70
    assert row.raw["teams"] == [{"name": "T\ufffd"}]
    assert row.updated_at == datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert (await pulls.pull("owners")).updated == 0


async def test_dry_run_writes_nothing(pulls: Pulls) -> None:
    owners = pulls.emulator.portal.owners
    kept, gone = (owners.add(f"o{number}@x.com", "O", "O", at_ms=NOON_MS)["id"] for number in range(2))
    before = await pulls.dump()
    assert (await pulls.pull("owners", dry_run=True)).inserted == 3
    assert await pulls.dump() == before
    await pulls.pull("owners")
    owners.change(kept, NOON_MS + 1, email="other@x.com", archived=True)
    owners.remove(gone)
    before = await pulls.dump()
    report = await pulls.pull("owners", dry_run=True)
    assert (report.inserted, report.updated, report.archived, report.removed) == (0, 1, 1, 1)
    assert await pulls.dump() == before


async def test_a_run_that_is_cut_off_leaves_what_was_there(pulls: Pulls) -> None:
    await pulls.pull("owners")
    before = await mirrored(pulls)
    for number in range(600):
        pulls.emulator.portal.owners.add(f"o{number}@x.com", "O", "O", at_ms=NOON_MS)
    pulls.emulator.fault("slow", path="*/owners", nth=2)
    run = asyncio.create_task(pulls.pull("owners"))
    while len(pulls.emulator.calls("owners.list")) < 4:
        await asyncio.sleep(0.01)
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)
    assert await mirrored(pulls) == before
    pulls.emulator.clear_faults()
    await pulls.pull("owners")
    assert await mirrored(pulls) == portal_owners(pulls)


async def test_a_missing_scope_fails_the_run(pulls: Pulls) -> None:
    await pulls.pull("owners")
    pulls.emulator.add_token(pulls.emulator.token, scopes=["forms"])
    with pytest.raises(MissingScopes):
        await pulls.pull("owners")
    assert len(await mirrored(pulls)) == 1
