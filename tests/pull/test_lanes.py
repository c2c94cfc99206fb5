"""A listing read at several places at once shows every record once, and can be gone on with from any batch."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crm_sync.hubspot import HubSpotClient, RetryRules
from crm_sync.hubspot.page import Page
from crm_sync.pull.batch import Batch
from crm_sync.pull.fetch.clock import DatabaseClock
from crm_sync.pull.fetch.lanes import Lanes
from crm_sync.pull.fetch.listing import Listing
from crm_sync.pull.fetch.ranges import LAST_ID, Range, as_position, of_position, without
from crm_sync.pull.report import StreamReport
from crm_sync.pull.streams import STANDARD
from hubspot_emulator import EmulatorServer

CONTACTS = STANDARD["contacts"]


def fill(emulator: EmulatorServer, count: int) -> list[int]:
    """Contacts whose ids have gaps of every size, as in an account of some years; returns the ids."""
    with emulator.account.lock:
        table = emulator.portal.table("contacts")
        ids = []
        for number in range(count):
            table.next_id += (number % 7) ** 3 + (5_000 if number % 400 == 0 else 0)
            ids.append(table.add({"email": f"person{number}@example.com"}, 1_735_689_600_000).id)
        return ids


def lanes(client: HubSpotClient, report: StreamReport, kind: type[Listing] = Listing, **options: Any) -> Lanes:
    listing = kind(client, CONTACTS, ["email"], [], archived=False)
    clock = DatabaseClock(datetime.now(UTC))
    return Lanes(listing, clock, report, **{"batch_size": 300, "width": 6, **options})


async def read(all_lanes: Lanes, position: dict[str, Any] | None = None, most: int | None = None) -> list[Batch]:
    batches: list[Batch] = []
    stream = all_lanes.batches(position or {})
    async for batch in stream:
        batches.append(batch)
        if len(batches) == most:
            await stream.aclose()
            break
    return batches


def ids_of(batches: list[Batch]) -> list[int]:
    return [int(record.id) for batch in batches for record in batch.records]


async def test_every_record_comes_once_for_few_calls_more(client: HubSpotClient, emulator: EmulatorServer) -> None:
    wanted = fill(emulator, 4_000)
    report = StreamReport("contacts")
    batches = await read(lanes(client, report))
    assert sorted(ids_of(batches)) == wanted
    assert ids_of(batches) != wanted, "it was read at one place only"
    assert batches[-1].position is None
    assert all(batch.position is not None for batch in batches[:-1])
    assert (report.total, report.fetched) == (4_000, 4_000)
    assert emulator.counts()["objects.list contacts"] <= 40 + 24


async def test_the_spans_of_the_batches_are_all_ids_and_no_id_twice(
    client: HubSpotClient, emulator: EmulatorServer
) -> None:
    fill(emulator, 3_000)
    batches = await read(lanes(client, StreamReport("contacts")))
    spans = sorted((batch.span.after, batch.span.upto) for batch in batches if batch.span)
    assert [upto for _after, upto in spans[:-1]] == [after for after, _upto in spans[1:]]
    assert (spans[0][0], spans[-1][1]) == (-1, LAST_ID)


@pytest.mark.parametrize("most", [1, 2, 5, 9])
async def test_a_listing_goes_on_after_any_batch(client: HubSpotClient, emulator: EmulatorServer, most: int) -> None:
    wanted = fill(emulator, 4_000)
    first = await read(lanes(client, StreamReport("contacts")), most=most)
    position = dict(first[-1].position or {})
    rest = await read(lanes(client, StreamReport("contacts")), position)
    assert sorted(ids_of(first) + ids_of(rest)) == wanted


async def test_a_short_listing_costs_no_call_more(client: HubSpotClient, emulator: EmulatorServer) -> None:
    fill(emulator, 250)
    await read(lanes(client, StreamReport("contacts")))
    assert emulator.counts() == {"objects.list contacts": 3}


async def test_a_search_that_fails_leaves_one_lane(emulator: EmulatorServer) -> None:
    wanted = fill(emulator, 3_000)
    emulator.fault("500", path="*/search", times=0)
    async with HubSpotClient(emulator.url, emulator.token, retries=RetryRules(max_attempts=1)) as client:
        batches = await read(lanes(client, StreamReport("contacts")))
    assert ids_of(batches) == wanted


class Backwards(Listing):
    """A HubSpot whose pages do not go by id."""

    async def page(self, after: str | None) -> Page:
        page = await super().page(after)
        return Page(tuple(reversed(page.records)), page.after)


async def test_a_listing_in_another_order_is_read_page_by_page_and_claims_nothing(
    client: HubSpotClient, emulator: EmulatorServer
) -> None:
    wanted = fill(emulator, 1_000)
    report = StreamReport("contacts")
    batches = await read(lanes(client, report, Backwards))
    assert sorted(ids_of(batches)) == wanted
    assert not any(batch.span for batch in batches)
    assert any("does not go by record id" in note for note in report.notes)
    rest = await read(lanes(client, report, Backwards), dict(batches[3].position or {}))
    assert sorted(ids_of(batches[:4]) + ids_of(rest)) == wanted


ranges = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)).map(sorted), max_size=8)


@given(taken=ranges)
@settings(max_examples=200)
def test_what_is_left_is_what_was_not_read(taken: list[list[int]]) -> None:
    left = [Range(0, 50)]
    for start, end in taken:
        left = without(left, start, end)
    ids = [id_ for one in left for id_ in range(one.start, one.end + 1)]
    assert ids == [id_ for id_ in range(51) if not any(start <= id_ <= end for start, end in taken)]
    if left:
        assert of_position(as_position(left) or {}) == left
