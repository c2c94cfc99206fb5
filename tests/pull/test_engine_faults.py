"""Whatever HubSpot and the line to it do during a run: nothing is lost, and the next run makes the mirror equal."""

from __future__ import annotations

import random
from typing import Any

import pytest

from crm_sync.hubspot.errors import (
    DailyLimit,
    HubSpotError,
    Locked,
    MalformedAnswer,
    Migrating,
    MissingScopes,
    RateLimited,
    ServerFault,
    TransportError,
    Unauthorized,
)
from crm_sync.pull.fetch.ranges import of_position
from crm_sync.pull.streams import STANDARD
from crm_sync.pull.wish import Wants
from hubspot_emulator.faults import KINDS
from tests.pull.mirror import portal_records, rows
from tests.pull.pulling import CRM, Pulls
from tests.pull.users import Users

APPLIED = [f"{kind}-after" for kind in ("500", "502", "503", "504", "521", "522", "523", "524", "cut")]
RAISED = {
    "429-ten-secondly": RateLimited,
    "429-secondly": RateLimited,
    "429-daily": DailyLimit,
    "401": Unauthorized,
    "401-expired": Unauthorized,
    "403": MissingScopes,
    "423": Locked,
    "477": Migrating,
    "cut": TransportError,
    "truncated": MalformedAnswer,
    "html": MalformedAnswer,
    "empty": MalformedAnswer,
}
#: These are not repeated within a run.
FINAL = {"429-daily", "401", "401-expired", "403", "477"}


def populate(pulls: Pulls, seed: int = 5) -> Users:
    """A little of everything, with a merged record and archived ones."""
    users = Users(pulls.emulator, random.Random(seed), set())
    with pulls.emulator.account.lock:
        for name in CRM:
            for _ in range({"deals": 110, "contacts": 420}.get(name, 15)):
                users.create(name)
    users.act(150)
    users.purged.clear()
    return users


async def assert_honest(pulls: Pulls, stream: str, *, goes_on: bool = False) -> None:
    """All that the cursor says was done is in the mirror; `goes_on`: there were changes after the run began."""
    cursor = await pulls.sql("SELECT * FROM sync_cursors WHERE stream = :stream", stream=stream)
    if not cursor or not (cursor[0].passes or cursor[0].synced_to):
        return
    passes, position = cursor[0].passes, cursor[0].position
    left = of_position(position.get("list", {})) if "list" in passes else []
    portal = portal_records(pulls.emulator, STANDARD[stream])
    async with pulls.engine.connect() as connection:
        mirror = await rows(connection, STANDARD[stream])
        waiting = (await rows(connection, STANDARD[stream], marked=True)).keys() - mirror.keys()
    assert not waiting or "missing" in passes
    for record_id, record in portal.items():
        is_archived = record[3]
        if "list" in passes:
            is_due = not is_archived and not any(one.start <= record_id <= one.end for one in left)
        else:
            is_due = "changes" not in passes
        if goes_on and (is_archived or record[2] > cursor[0].window_to):
            continue
        if is_due and record_id not in waiting:
            known = mirror.get(record_id)
            assert known is not None, f"{record_id} is not in the mirror, {cursor}"
            assert known[:3] == record[:3], f"{record_id} differs, {cursor}"
            assert goes_on or known == record


async def forget(pulls: Pulls) -> None:
    """As before the first pull."""
    tables = ", ".join(name for name in await pulls.dump() if "hubspot." in name or "sync_" in name)
    await pulls.sql(f"TRUNCATE {tables}")


@pytest.mark.parametrize("kind", ["429-daily", "cut"])
@pytest.mark.parametrize("stream", ["contacts", "deals"])
async def test_a_run_that_ends_at_any_call_is_taken_up_there(pulls: Pulls, stream: str, kind: str) -> None:
    """daily limit and resume. In the first pull, and in an incremental one with every pass."""
    users = populate(pulls)
    ended = 0
    for nth in range(1, 1_000):
        pulls.emulator.fault(kind, nth=nth, times=0)
        try:
            await pulls.pull(stream, batch_size=1)
        except HubSpotError:
            ended += 1
        else:
            break
        finally:
            pulls.emulator.clear_faults()
        await assert_honest(pulls, stream)
        cursor = await pulls.cursor(stream)
        assert (cursor.synced_to is None) == (not cursor.passes or "list" in cursor.passes)
        await pulls.pull(stream, batch_size=1)
        await pulls.assert_equal(stream)
        await forget(pulls)
    assert ended > 6
    await _incremental_runs_end_at_any_call(pulls, users, stream, kind)


async def _incremental_runs_end_at_any_call(pulls: Pulls, users: Users, stream: str, kind: str) -> None:
    ended = 0
    for nth in range(1, 1_000):
        users.act(10)
        await pulls.let_time_pass()
        before = (await pulls.cursor(stream)).synced_to
        pulls.emulator.fault(kind, nth=nth, times=0)
        try:
            await pulls.pull(stream, batch_size=60, catch_up=True)
        except HubSpotError:
            ended += 1
        else:
            break
        finally:
            pulls.emulator.clear_faults()
        await assert_honest(pulls, stream)
        cursor = await pulls.cursor(stream)
        assert cursor.synced_to == before or "changes" not in cursor.passes
        await pulls.pull(stream, batch_size=60, catch_up=True)
        if users.purged:
            await pulls.full(stream)
            users.purged.clear()
        await pulls.assert_equal(stream)
    assert ended > 3


@pytest.mark.parametrize("kind", [*KINDS, *APPLIED])
async def test_a_fault_that_passes_costs_no_record(pulls: Pulls, kind: str) -> None:
    """5xx after it was applied, 423 lock, 429 by policy without Retry-After: repeated where that may help."""
    users = populate(pulls)
    for wants in (Wants.FULL, Wants.CHANGES):
        pulls.emulator.fault(kind, nth=random.randint(1, 5), times=2, **_options(kind))
        if kind in FINAL:
            with pytest.raises(RAISED[kind]):
                await pulls.pull("deals", wants, batch_size=1)
            pulls.emulator.clear_faults()
        await pulls.pull("deals", wants, batch_size=1)
        await pulls.assert_equal("deals")
        users.update()
        await pulls.let_time_pass()


@pytest.mark.parametrize("kind", [*(one for one in KINDS if one != "slow"), *APPLIED])
async def test_a_fault_that_stays_ends_the_run_and_loses_nothing(pulls: Pulls, kind: str) -> None:
    """477 migration, 401 revoked or expired, 403 scope."""
    pulls.api_version = "2026-03"
    users = populate(pulls)
    for wants in (Wants.FULL, Wants.CHANGES):
        pulls.emulator.fault(kind, nth=random.randint(1, 5), times=0, **_options(kind))
        with pytest.raises(RAISED.get(kind.removesuffix("-after"), ServerFault)):
            await pulls.pull("deals", wants, batch_size=1, catch_up=True)
        await assert_honest(pulls, "deals")
        pulls.emulator.clear_faults()
        await pulls.pull("deals", wants, catch_up=True)
        await pulls.assert_equal("deals")
        users.act(20)
        users.purged.clear()
        await pulls.let_time_pass()


def _options(kind: str) -> dict[str, Any]:
    if kind == "403":
        return {"scopes": ["crm.objects.deals.read"]}
    return {"seconds": 0.02} if kind == "slow" else {}


async def test_errors_say_what_to_do(pulls: Pulls) -> None:
    pulls.emulator.fault("403", times=0, scopes=["crm.objects.deals.read"])
    with pytest.raises(MissingScopes, match=r"crm\.objects\.deals\.read"):
        await pulls.pull("deals")
    pulls.emulator.clear_faults()
    pulls.emulator.fault("401", times=0)
    with pytest.raises(Unauthorized, match="wrong, revoked or expired"):
        await pulls.pull("deals")
    assert (await pulls.cursor("deals")).holder is None
