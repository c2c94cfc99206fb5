"""Lanes: a long listing read at several places at once, so that the wait for an answer does not set the pace.

A page takes HubSpot some tenths of a second, and the next one is not known before. But `after` is a record id, so a
listing can begin anywhere: a lane that has nothing to do takes half of what is left of the longest other one. That the
listing goes by id, and that `after` may be any id, is how HubSpot behaves and not documented. A page that shows
otherwise ends the use of lanes: the listing begins anew, goes from page to page, and tells nothing of what is missing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Final

from crm_sync.hubspot.errors import HubSpotError
from crm_sync.hubspot.objects import Record
from crm_sync.hubspot.page import Page
from crm_sync.pull.batch import Batch, Span
from crm_sync.pull.fetch.clock import DatabaseClock
from crm_sync.pull.fetch.listing import Listing
from crm_sync.pull.fetch.ranges import Range, as_position, of_position, without
from crm_sync.pull.mirror.transform import id_of
from crm_sync.pull.report import StreamReport

#: A listing that may have fewer pages left is read from page to page: every cut costs part of a call.
_WORTH_PAGES: Final = 16
#: So much is read before it is asked how long the listing is.
_FIRST_PAGES: Final = 3
#: Nor is a range cut that seems to hold fewer than this.
_CUT_PAGES: Final = 4


class _NotById(Exception):
    """HubSpot's listing does not go by record id, or not from where it was asked to."""


@dataclass(slots=True)
class _Lane:
    """What one task reads: `range` shrinks from its start as pages come, and from its end when it is cut."""

    range: Range
    ids_a_record: float = 1.0


class Lanes:
    """Reads a listing, at most `width` pages at a time, in batches of `batch_size` or a page more."""

    def __init__(
        self,
        listing: Listing,
        clock: DatabaseClock,
        report: StreamReport,
        *,
        batch_size: int,
        width: int,
    ) -> None:
        self._listing = listing
        self._clock = clock
        self._report = report
        self._batch_size = batch_size
        self._width = width
        self._highest = 0  # id; 0 before it was asked for, -1 when cutting is not worth while
        self._lanes: list[_Lane] = []
        self._ahead: asyncio.Queue[tuple[Batch, Range] | Exception] = asyncio.Queue(maxsize=1)

    async def batches(self, position: Mapping[str, Any]) -> AsyncIterator[Batch]:
        """From `position` on; the position of each batch is what is left after it and all before it."""
        if "page" in position:
            async for batch in self._page_by_page(position["page"]):
                yield batch
            return
        left = of_position(dict(position))
        waiting = list(left)
        tasks: set[asyncio.Task[None]] = set()
        try:
            self._start(waiting, tasks)
            while left:
                found = await self._ahead.get()
                if isinstance(found, Exception):
                    raise found
                batch, covered = found
                left = without(left, covered.start, covered.end, covered.after)
                yield replace(batch, position=as_position(left))
            return
        except _NotById:
            self._report.note("HubSpot's listing does not go by record id: read page by page, deletions are not seen.")
        finally:
            running = list(tasks)
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
        async for batch in self._page_by_page(None):
            yield batch

    def _start(self, waiting: list[Range], tasks: set[asyncio.Task[None]]) -> None:
        task = asyncio.create_task(self._lane(waiting, tasks), name="lane")
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    async def _lane(self, waiting: list[Range], tasks: set[asyncio.Task[None]]) -> None:
        """Read ranges until there is none that is worth taking; start others when there are."""
        try:
            while (mine := self._take(waiting)) is not None:
                lane = _Lane(mine)
                self._lanes.append(lane)
                while lane.range.start <= lane.range.end:
                    await self._ahead.put(await self._batch(lane))
                    await self._measure(lane)
                    while len(tasks) < self._width and (waiting or self._longest() is not None):
                        self._start(waiting, tasks)
                self._lanes.remove(lane)
        except Exception as exc:
            await self._ahead.put(exc)

    def _take(self, waiting: list[Range]) -> Range | None:
        if waiting:
            return waiting.pop(0)
        longest = self._longest()
        if longest is None:
            return None
        whole = longest.range
        middle = whole.start + (min(whole.end, self._highest) - whole.start) // 2
        longest.range = Range(whole.start, middle, whole.after)
        return Range(middle + 1, whole.end)

    def _longest(self) -> _Lane | None:
        """The lane with the most pages left, if it is worth cutting."""
        longest = max(self._lanes, key=self._pages_left, default=None)
        return longest if longest is not None and self._pages_left(longest) >= _CUT_PAGES else None

    def _pages_left(self, lane: _Lane) -> float:
        ids = min(lane.range.end, self._highest) - lane.range.start
        return ids / lane.ids_a_record / self._listing.page_size

    async def _measure(self, lane: _Lane) -> None:
        """After the first batch: is the listing long? One search tells, and the progress display too."""
        if self._width == 1 or self._highest or lane.range.start > lane.range.end:
            return
        self._highest = -1
        with suppress(HubSpotError):  # then nothing is cut
            highest, self._report.total = await self._listing.extent()
            if self._report.total - self._report.fetched >= _WORTH_PAGES * self._listing.page_size:
                self._highest = highest

    async def _batch(self, lane: _Lane) -> tuple[Batch, Range]:
        """The next batch of a lane, and the ids that it is all of."""
        records: list[Record] = []
        read_at, start = self._clock.now(), lane.range.start
        enough = self._enough()
        while True:
            page = await self._listing.page(lane.range.token)
            self._report.pages += 1
            ids = _ascending(page, lane.range)
            end = lane.range.end
            kept = [one for one, id_ in zip(page.records, ids, strict=True) if start <= id_ <= end]
            records += kept
            self._report.fetched += len(kept)
            if len(ids) > 1:
                lane.ids_a_record = max((ids[-1] - ids[0]) / (len(ids) - 1), 1.0)
            if page.after is None or (ids and ids[-1] >= end):
                lane.range = Range(end + 1, end)
                break
            lane.range = Range(ids[-1] + 1 if ids else lane.range.start, end, page.after)
            if len(records) >= enough:
                break
        covered = Range(start, lane.range.start - 1, lane.range.after)
        batch = Batch(
            read_at,
            tuple(records),
            span=Span(start - 1, covered.end, self._listing.is_archived),
            with_associations=not self._listing.is_archived,
        )
        return batch, covered

    def _enough(self) -> int:
        """Records to a batch. What a lane has read and not handed on is lost when the run is stopped."""
        if not self._highest:
            return min(self._batch_size, _FIRST_PAGES * self._listing.page_size)
        return self._batch_size if self._highest < 0 else max(self._batch_size // self._width, self._listing.page_size)

    async def _page_by_page(self, after: str | None) -> AsyncIterator[Batch]:
        """As HubSpot's own `after` leads, whatever the order."""
        while True:
            read_at = self._clock.now()
            page = await self._listing.page(after)
            self._report.pages += 1
            self._report.fetched += len(page.records)
            after = page.after
            position = None if after is None else {"page": after}
            yield Batch(read_at, page.records, position, with_associations=not self._listing.is_archived)
            if after is None:
                return


def _ascending(page: Page, asked: Range) -> list[int]:
    """The ids of a page. Raises _NotById unless they ascend from where it was to begin."""
    ids = [id_of(record) for record in page.records]
    if (ids and ids[0] < asked.start - 1) or any(one >= two for one, two in pairwise(ids)):
        raise _NotById
    return ids
