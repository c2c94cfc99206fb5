"""Source: HubSpot's records in batches, by each of the ways there are to find them.

A listing goes by record id; so does a search, which is asked again and again for what lies over the last id: more than
10,000 records may share a modified date, and no search shows more than that. Both can go on anywhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from crm_sync.errors import PullError
from crm_sync.hubspot import LIST_URL_CHARACTERS, SEARCH_BODY_CHARACTERS, HubSpotClient
from crm_sync.hubspot.objects import Record
from crm_sync.hubspot.page import Page
from crm_sync.pull.batch import LAST_ID, Batch, Span
from crm_sync.pull.byid import RecordsById
from crm_sync.pull.clock import DatabaseClock
from crm_sync.pull.report import StreamReport
from crm_sync.pull.stream import Stream
from crm_sync.pull.window import Window

LIST_PAGE: Final = 100
LIST_PAGE_WITH_HISTORY: Final = 50
SEARCH_PAGE: Final = 200
#: Left free in an address for `after`, and in a search for the id that it starts from.
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
    ) -> None:
        self._client = client
        self._stream = stream
        self._properties = tuple(properties)
        self._targets = tuple(targets)
        self._clock = clock
        self._report = report
        self._batch_size = batch_size
        self._by_id = RecordsById(client, stream, self._properties, report)

    async def listed(self, position: Mapping[str, Any], *, archived: bool) -> AsyncIterator[Batch]:
        """Every live record with its associations in line, or every one of the recycle bin."""
        after, last_id = position.get("after"), int(position.get("last_id", 0))
        parts = self._listable_parts(archived)
        in_order = True
        while True:
            records: list[Record] = []
            read_at, first_id = self._clock.now(), last_id
            while True:
                page = await self._list_page(parts, archived, after)
                self._report.pages += 1
                self._report.fetched += len(page.records)
                records += page.records
                after = page.after
                if after is None or len(records) >= self._batch_size:
                    break
            ids = [int(record.id) for record in records]
            in_order = in_order and all(one < two for one, two in zip([first_id, *ids], ids, strict=False))
            last_id = max([last_id, *ids])
            if not in_order:
                self._report.note("HubSpot listed records out of order, so that what is missing could not be told.")
            yield Batch(
                read_at,
                tuple(records),
                None if after is None else {"after": after, "last_id": last_id},
                Span(first_id, LAST_ID if after is None else last_id, archived) if in_order else None,
                with_associations=not archived,
            )
            if after is None:
                return

    async def changed(self, window: Window, position: Mapping[str, Any]) -> AsyncIterator[Batch]:
        """What the search index has as changed in the window, by id."""
        last_id, is_last = int(position.get("last_id", 0)), window.is_empty
        while True:
            records: list[Record] = []
            read_at = self._clock.now()
            while not is_last and len(records) < self._batch_size:
                page = await self._search(window, last_id)
                self._report.pages += 1
                if self._report.total is None:
                    self._report.total = page.total
                ids = [int(record.id) for record in page.records]
                if ids and min(ids) <= last_id:
                    raise PullError(f"HubSpot's search of {self._stream.name} does not go on after id {last_id}.")
                last_id, is_last = max([last_id, *ids]), page.after is None
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

    async def _list_page(self, parts: Sequence[Sequence[str]], archived: bool, after: str | None) -> Page:
        """One page with all properties, which may take several calls: an address has an end."""
        first = {"history": () if archived else self._stream.history, "associations": () if archived else self._targets}
        size = LIST_PAGE_WITH_HISTORY if first["history"] else LIST_PAGE
        pages = await asyncio.gather(
            *(
                self._client.list_page(
                    self._stream.object_type,
                    properties=part,
                    archived=archived,
                    limit=size,
                    after=after,
                    **(first if number == 0 else {}),
                )
                for number, part in enumerate(parts)
            )
        )
        return pages[0] if len(pages) == 1 else _joined(pages)

    def _listable_parts(self, archived: bool) -> list[list[str]]:
        """The properties, in parts that an address takes."""

        def length(names: Sequence[str]) -> int:
            return self._client.list_url_length(
                self._stream.object_type,
                properties=names,
                history=self._stream.history,
                associations=self._targets,
                archived=archived,
            )

        if length(self._properties) + _ROOM <= LIST_URL_CHARACTERS:
            return [list(self._properties)]
        each = max(len(name) for name in self._properties) + len("&properties=")
        most = max((LIST_URL_CHARACTERS - _ROOM - length(())) // each, 1)
        return [list(self._properties[start : start + most]) for start in range(0, len(self._properties), most)]

    async def _search(self, window: Window, last_id: int) -> Page:
        return await self._client.search(
            self._stream.object_type,
            self._filters(window, last_id),
            properties=self._searched,
            sort="hs_object_id",
            limit=SEARCH_PAGE,
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

        Those that are gone by now are left to the passes over the recycle bin and what is missing.
        """
        if self._fits_a_search:
            return list(records)
        found, _gone = await self._by_id.read([record.id for record in records])
        return found


def _joined(pages: Sequence[Page]) -> Page:
    """Parts of the same records as one page. One that a part had no more is left to the look at what is missing."""
    first, *others = pages
    by_id = [{record.id: record for record in page.records} for page in others]
    records = []
    for record in first.records:
        parts = [page.get(record.id) for page in by_id]
        if None in parts:
            continue
        properties = dict(record.properties)
        for part in parts:
            properties.update(part.properties)  # type: ignore[union-attr]
        records.append(replace(record, properties=properties))
    return replace(first, records=tuple(records))
