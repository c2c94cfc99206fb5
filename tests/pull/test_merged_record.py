"""Pitfall: merged record. The old id leads to the record that is left, and what belonged to it goes there."""

from __future__ import annotations

from crm_sync.pull.streams import STANDARD
from hubspot_emulator import EmulatorServer
from hubspot_emulator.merge import merge
from tests.hubspot.live import add, associate
from tests.pull.mirror import differences
from tests.pull.pulling import Pulls


def merge_contacts(emulator: EmulatorServer, into: str, old: str) -> None:
    with emulator.account.lock:
        merge(emulator.portal, emulator.portal.table("contacts"), into, old)


async def test_a_merged_record_takes_the_associations_of_other_types_along(pulls: Pulls) -> None:
    emulator = pulls.emulator
    left, old = add(emulator, "contacts", email="ada@example.com"), add(emulator, "contacts", email="a@example.com")
    deals = [add(emulator, "deals", dealname=f"Deal {number}") for number in range(3)]
    associate(emulator, "deals", deals[0], "contacts", old)
    associate(emulator, "deals", deals[1], "contacts", old, "Decision maker")
    associate(emulator, "deals", deals[2], "contacts", old)
    associate(emulator, "deals", deals[2], "contacts", left)
    await pulls.full("contacts", "deals")

    merge_contacts(emulator, left, old)
    reports = await pulls.changes("contacts")

    streams = [STANDARD["contacts"], STANDARD["deals"]]
    assert await differences(emulator, pulls.engine, streams) == [], "without a look at the deals"
    assert reports["contacts"].removed == 1
    (gone,) = await pulls.sql("SELECT * FROM hubspot.removed_records")
    assert (gone.object_type, gone.hubspot_id, gone.merged_into) == ("contacts", int(old), int(left))


async def test_a_merged_record_of_merged_records_leads_to_the_last(pulls: Pulls) -> None:
    emulator = pulls.emulator
    one, two, three = (add(emulator, "contacts", email=f"{name}@example.com") for name in "abc")
    await pulls.full("contacts")
    merge_contacts(emulator, two, one)
    await pulls.changes("contacts")
    merge_contacts(emulator, three, two)
    await pulls.changes("contacts")
    found = await pulls.sql("SELECT hubspot_id, merged_into FROM hubspot.removed_records ORDER BY 1")
    assert [tuple(row) for row in found] == [(int(one), int(three)), (int(two), int(three))]
    assert await pulls.row("contacts", one) is None
