"""Source: HubSpot's records in batches, by each of the ways there are to find them.

A listing goes by record id; so does a search, which is asked again and again for what lies over the last id: more than
10,000 records may share a modified date, and no search shows more than that. Both can go on anywhere.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final

from crm_sync.errors import PullError
from crm_sync.hubspot import SEARCH_BODY_CHARACTERS, HubSpotClient
from crm_sync.hubspot.objects import Record
from crm_sync.hubspot.page import Page
from crm_sync.pull.batch import Batch
from crm_sync.pull.fetch.byid import RecordsById
from crm_sync.pull.fetch.clock import DatabaseClock
from crm_sync.pull.fetch.lanes import Lanes
from crm_sync.pull.fetch.listing import Listing
from crm_sync.pull.mirror.transform import id_of
from crm_sync.pull.report import StreamReport
from crm_sync.pull.stream import Stream
from crm_sync.pull.window import Window

SEARCH_PAGE: Final = 200
#: Pages of one listing that are asked for at a time: at half a second a page, enough for 100 calls in 10 seconds.
LANES: Final = 8
#: Left free in a search for the id that it starts from.
_ROOM: Final = 100


class Source:
    """The records of one stream with the properties wanted, `batch_size` or a page more at a time."""

    def __init__(
        self,
        client: HubSpotClient,
        stream: Stream,
        properties: Sequence[str],
        targets: Sequence[str],
        clock: DatabaseClock,
        report: StreamReport,
        *,
        batch_size: int,
        lanes: int = LANES,
    ) -> None:
        self._client = client
        self._stream = stream
        self._properties = tuple(properties)
        self._targets = tuple(targets)
        self._clock = clock
        self._report = report
        self._batch_size = batch_size
        self._lanes = lanes
        self._by_id = RecordsById(client, stream, self._properties, report)

    def listed(self, position: Mapping[str, Any], *, archived: bool) -> AsyncIterator[Batch]:
        """Every live record with its associations in line, or every one of the recycle bin."""
        listing = Listing(self._client, self._stream, self._properties, self._targets, archived=archived)
        # The search that tells how long a listing is knows no archived records.
        width = 1 if archived else self._lanes
        lanes = Lanes(listing, self._clock, self._report, batch_size=self._batch_size, width=width)
        return lanes.batches(position)

    async def changed(self, window: Window, position: Mapping[str, Any]) -> AsyncIterator[Batch]:
        """What the search index has as changed in the window, by id."""
        last_id, is_last = int(position.get("last_id", 0)), window.is_empty
        after: str | None = None
        while True:
            records: list[Record] = []
            read_at = self._clock.now()
            while not is_last and len(records) < self._batch_size:
                page = await self._search(window, last_id, after)
                self._report.pages += 1
                if self._report.total is None:
                    self._report.total = page.total
                ids = [id_of(record) for record in page.records]
                if ids and min(ids) <= last_id:
                    raise PullError(f"HubSpot's search of {self._stream.name} does not go on after id {last_id}.")
                last_id, is_last = max([last_id, *ids]), page.after is None
                after = None if ids else page.after  # what the index found may be gone, a whole page of it
                found = await self._whole(page.records)
                records += found
                self._report.fetched += len(found)
            position = {"last_id": last_id}
            yield Batch(read_at, tuple(records), None if is_last else position, with_associations=True)
            if is_last:
                return

    async def by_ids(self, ids: AsyncIterator[list[int]]) -> AsyncIterator[Batch]:
        """Records asked for by id: those that HubSpot has, and which it has not."""
        async for some in ids:
            read_at = self._clock.now()
            records, gone = await self._by_id.read([str(one) for one in some])
            self._report.fetched += len(records)
            is_last = len(some) < self._batch_size
            position = None if is_last else {"last_id": some[-1]}
            yield Batch(read_at, tuple(records), position, gone=tuple(gone), with_associations=True)

    # -- one page -------------------------------------------------------------------------------------------------

    async def _search(self, window: Window, last_id: int, after: str | None) -> Page:
        return await self._client.search(
            self._stream.object_type,
            self._filters(window, last_id),
            properties=self._searched,
            sort="hs_object_id",
            limit=SEARCH_PAGE,
            after=after,
        )

    def _filters(self, window: Window, last_id: int) -> list[dict[str, str]]:
        cursor = self._stream.cursor_property
        return [
            {"propertyName": cursor, "operator": "GTE", "value": str(int(window.start.timestamp() * 1000))},
            {"propertyName": cursor, "operator": "LTE", "value": str(int(window.end.timestamp() * 1000))},
            {"propertyName": "hs_object_id", "operator": "GT", "value": str(last_id)},
        ]

    @property
    def _searched(self) -> tuple[str, ...]:
        """What a search is asked for: every property, where that fits, else the ids alone."""
        return self._properties if self._fits_a_search else ("hs_object_id",)

    @property
    def _fits_a_search(self) -> bool:
        if self._stream.history:
            return False  # a search tells no history
        instant = {"propertyName": self._stream.cursor_property, "operator": "GTE", "value": "0" * 13}
        length = self._client.search_body_length(
            self._stream.object_type,
            [instant, instant, instant],
            properties=self._properties,
            sort="hs_object_id",
            limit=SEARCH_PAGE,
        )
        return length + _ROOM <= SEARCH_BODY_CHARACTERS

    async def _whole(self, records: Sequence[Record]) -> list[Record]:
        """The records that a search found, with all that is wanted of them.

        Those that are gone by now are left to the next look at the recycle bin.
        """
        if self._fits_a_search:
            return list(records)
        found, _gone = await self._by_id.read([record.id for record in records])
        return found
