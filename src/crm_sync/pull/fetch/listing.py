"""Listing: pages of every record of a type, by id, with as many properties as the account has."""

from __future__ import annotations

import asyncio
from collections import ChainMap
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from crm_sync.errors import PullError
from crm_sync.hubspot import LIST_URL_CHARACTERS, HubSpotClient
from crm_sync.hubspot.page import Page
from crm_sync.pull.mirror.transform import id_of
from crm_sync.pull.stream import Stream

PAGE: Final = 100
PAGE_WITH_HISTORY: Final = 50
#: How often a page is asked for whose parts do not fit together.
_ATTEMPTS: Final = 5
#: Left free in an address for `after`.
_ROOM: Final = 100


class Listing:
    """The listing of one stream, of its live records or of the recycle bin.

    Live records come with their associations in line, and with their history where the stream keeps one.
    """

    def __init__(
        self,
        client: HubSpotClient,
        stream: Stream,
        properties: Sequence[str],
        targets: Sequence[str],
        *,
        archived: bool,
    ) -> None:
        self._client = client
        self._type = stream.object_type
        self.is_archived = archived
        self._history = () if archived else stream.history
        self._targets = () if archived else tuple(targets)
        self._parts = self._split(properties)
        self.page_size = PAGE_WITH_HISTORY if self._history else PAGE

    async def page(self, after: str | None) -> Page:
        """One page with all properties, which may take several calls: an address has an end.

        Raises PullError when they never show the same records.
        """
        for _attempt in range(_ATTEMPTS):
            joined = _joined(await asyncio.gather(*(self._part(number, after) for number in range(len(self._parts)))))
            if joined is not None:
                return joined
        raise PullError(f"The {self._type} change faster than HubSpot lists them with all of their properties.")

    async def _part(self, number: int, after: str | None) -> Page:
        return await self._client.list_page(
            self._type,
            properties=self._parts[number],
            archived=self.is_archived,
            limit=self.page_size,
            after=after,
            **(self._once() if number == 0 else {}),
        )

    async def extent(self) -> tuple[int, int]:
        """The highest record id and the number of records, as the search index has them; 0 and 0 when it is empty."""
        page = await self._client.search(self._type, properties=("hs_object_id",), sort="-hs_object_id", limit=1)
        return (id_of(page.records[0]), page.total or 0) if page.records else (0, 0)

    def _once(self) -> dict[str, Any]:
        """What the first part asks for, and the others need not."""
        return {"history": self._history, "associations": self._targets}

    def _split(self, properties: Sequence[str]) -> list[list[str]]:
        """The properties, in parts that an address takes."""

        def length(names: Sequence[str]) -> int:
            return _ROOM + self._client.list_url_length(
                self._type, properties=names, archived=self.is_archived, **self._once()
            )

        if length(properties) <= LIST_URL_CHARACTERS:
            return [list(properties)]
        longest = max(len(name) for name in properties) + len("&properties=")
        most = max((LIST_URL_CHARACTERS - length(())) // longest, 1)
        return [list(properties[start : start + most]) for start in range(0, len(properties), most)]


def _joined(pages: Sequence[Page]) -> Page | None:
    """Parts of the same records as one page. None when a part lacks a record, which came or went in between: left out,
    it would be missing here until it changes."""
    first, *others = pages
    if not others:
        return first
    by_id = [{record.id: record.properties for record in page.records} for page in others]
    if any(record.id not in part for record in first.records for part in by_id):
        return None
    records = [
        replace(record, properties=dict(ChainMap(*(dict(part[record.id]) for part in by_id), dict(record.properties))))
        for record in first.records
    ]
    return replace(first, records=tuple(records))
