"""Pipelines and their stages, of standard and custom objects."""

from __future__ import annotations

from typing import Any

import pytest

from crm_sync.hubspot.errors import MissingScopes
from crm_sync.pull.service import PullOptions
from tests.pull.pulling import Pulls

STAGES = [
    {"label": "Ordered", "displayOrder": 0, "metadata": {}},
    {"label": "Sent", "displayOrder": 2**40, "metadata": {"a": "b"}},
]


def portal_stages(pulls: Pulls, **types: str) -> dict[Any, Any]:
    with pulls.emulator.account.lock:
        portal = pulls.emulator.portal
        return {
            (stream, pipeline.id, pipeline.label, stage.id): (stage.label, stage.metadata)
            for stream, name in types.items()
            for pipeline in portal.pipelines[portal.table(name).type.type_id].all()
            for stage in pipeline.stages.values()
        }


async def mirrored(pulls: Pulls) -> dict[Any, Any]:
    rows = await pulls.sql(
        "SELECT p.label AS pipeline, s.* FROM hubspot.pipelines p"
        " LEFT JOIN hubspot.pipeline_stages s USING (object_type, pipeline_id)"
    )
    return {(row.object_type, row.pipeline_id, row.pipeline, row.stage_id): (row.label, row.metadata) for row in rows}


def add_pipeline(pulls: Pulls, object_type: str, label: str) -> Any:
    portal = pulls.emulator.portal
    with pulls.emulator.account.lock:
        pipelines = portal.pipelines[portal.table(object_type).type.type_id]
        return pipelines.add({"label": label, "displayOrder": 1, "stages": STAGES}, pulls.emulator.clock.now_ms())


async def test_pipelines_of_every_type_with_their_stages(either: Pulls) -> None:
    pulls = either
    add_pipeline(pulls, "orders", "Shop")
    with pulls.emulator.account.lock:
        pulls.emulator.account.schemas.create(
            {
                "name": "membership",
                "labels": {"singular": "Membership", "plural": "Memberships"},
                "properties": [{"name": "title", "label": "Title", "type": "string", "fieldType": "text"}],
            }
        )
    add_pipeline(pulls, "p_membership", "Life of a member")
    pulls.options = PullOptions(custom={"memberships": "membership", "divisions": "division"})
    report = await pulls.pull("pipelines")
    expected = portal_stages(
        pulls,
        deals="deals",
        tickets="tickets",
        appointments="appointments",
        orders="orders",
        memberships="p_membership",
    )
    assert await mirrored(pulls) == expected
    assert len(expected) == 7 + 4 + 2 + 2
    assert (report.fetched, report.inserted, report.calls, report.pages) == (4 + 15, 4 + 15, 6, 5)
    assert report.notes == ["appointments have no pipelines."]
    orders = await pulls.sql("SELECT display_order FROM hubspot.pipeline_stages WHERE label = 'Sent'")
    assert {row.display_order for row in orders} == {2**31 - 1}
    again = await pulls.pull("pipelines")
    assert (again.unchanged, again.updated, again.removed) == (19, 0, 0)


async def test_what_hubspot_no_longer_has_goes(pulls: Pulls) -> None:
    shop = add_pipeline(pulls, "orders", "Shop")
    await pulls.pull("pipelines")
    portal = pulls.emulator.portal
    with pulls.emulator.account.lock:
        portal.pipelines[portal.table("orders").type.type_id].remove(shop.id)
        (support,) = portal.pipelines[portal.table("tickets").type.type_id].all()
        del support.stages["2"]
        support.stages["1"].label = "Brand new"
    before = await pulls.dump()
    dry = await pulls.pull("pipelines", dry_run=True)
    assert await pulls.dump() == before, "a dry run writes nothing"
    report = await pulls.pull("pipelines")
    counts = (report.inserted, report.updated, report.removed)
    assert counts == (dry.inserted, dry.updated, dry.removed) == (0, 1, 4), "a pipeline, its two stages, and a stage"
    assert await mirrored(pulls) == portal_stages(pulls, deals="deals", tickets="tickets", orders="orders")


async def test_a_type_that_cannot_be_read_is_a_note_and_stays(pulls: Pulls) -> None:
    await pulls.pull("pipelines")
    before = await mirrored(pulls)
    pulls.emulator.fault("403", path="*/pipelines/deals")
    report = await pulls.pull("pipelines")
    assert await mirrored(pulls) == before
    assert any("deals cannot be read" in note for note in report.notes)
    pulls.emulator.fault("403", path="*/pipelines/*", times=0)
    with pytest.raises(MissingScopes):
        await pulls.pull("pipelines")
    assert await mirrored(pulls) == before


async def test_a_fault_in_the_middle_writes_nothing(pulls: Pulls) -> None:
    pulls.emulator.fault("500", path="*/pipelines/tickets", times=0)
    with pytest.raises(Exception, match="500"):
        await pulls.pull("pipelines")
    assert await mirrored(pulls) == {}
    pulls.emulator.clear_faults()
    await pulls.pull("pipelines")
    assert await mirrored(pulls) == portal_stages(pulls, deals="deals", tickets="tickets")
