"""Page: one page of records and where the next one begins, from the list of all or from a search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from crm_sync.hubspot.caller import Caller, next_after
from crm_sync.hubspot.exchange import Bucket, Call, Json
from crm_sync.hubspot.objects import Record

#: A longer address is refused with 414, which is raised as Rejected. Observed, not documented.
LIST_URL_CHARACTERS = 15_000
#: A longer body of a search is refused with 400.
SEARCH_BODY_CHARACTERS = 3_000


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list or of a search.

    after  what to pass for the next page; None on the last one
    total  matches in all, None where HubSpot does not count
    """

    records: tuple[Record, ...]
    after: str | None = None
    total: int | None = None

    @classmethod
    def of(cls, body: Json) -> Page:
        total = body.get("total")
        return cls(
            records=tuple(Record.of(entry) for entry in body["results"]),
            after=next_after(body),
            total=int(total) if total is not None else None,
        )


class PageCalls(Caller):
    async def list_page(
        self,
        object_type: str,
        *,
        properties: Sequence[str] = (),
        history: Sequence[str] = (),
        associations: Sequence[str] = (),
        archived: bool = False,
        limit: int = 100,
        after: str | None = None,
    ) -> Page:
        """One page of all records of a type, in the order of their ids; there is no end to paging, and no lag.

        limit         1 to 100, and 1 to 50 with `history`: for more, HubSpot answers 400 (ValidationFailed)
        properties    none: HubSpot's small default set. Names that the account lacks are left out of the answer
        history       properties whose former values come too, see `Record.history`; they need not be in `properties`
        associations  object types whose associated records come in line, about a hundred of each, see
                      `InlineAssociations.cut`
        archived      only archived records instead of only the others; HubSpot keeps them for 90 days

        Raises Rejected (414) when all those names make an address of more than LIST_URL_CHARACTERS, which
        `list_url_length` tells beforehand: list the ids only, then, and read the properties with `batch_read`.
        """
        call = self._list_call(object_type, properties, history, associations, archived, limit, after)
        return await self._transport.request(call, Page.of)

    def list_url_length(
        self,
        object_type: str,
        *,
        properties: Sequence[str] = (),
        history: Sequence[str] = (),
        associations: Sequence[str] = (),
        archived: bool = False,
        limit: int = 100,
        after: str | None = None,
    ) -> int:
        """The characters of the whole address that `list_page` would send; `after` adds what it is long."""
        call = self._list_call(object_type, properties, history, associations, archived, limit, after)
        return self._transport.url_characters(call)

    async def search(
        self,
        object_type: str,
        filters: Sequence[Mapping[str, Any]] = (),
        *,
        properties: Sequence[str] = (),
        sort: str | None = None,
        limit: int = 100,
        after: str | None = None,
    ) -> Page:
        """One page (at most 200) of the records that pass all `filters`.

        A filter is `{propertyName, operator, value}`; `sort` is a property name, "-" before it descends. The
        index lags behind writes by up to half a minute, never shows archived records, and ends at 10,000
        matches. It answers no associations. Raises ValidationFailed for a body of more than SEARCH_BODY_CHARACTERS,
        which `search_body_length` tells beforehand.
        """
        call = self._search_call(object_type, filters, properties, sort, limit, after)
        return await self._transport.request(call, Page.of)

    def search_body_length(
        self,
        object_type: str,
        filters: Sequence[Mapping[str, Any]] = (),
        *,
        properties: Sequence[str] = (),
        sort: str | None = None,
        limit: int = 100,
        after: str | None = None,
    ) -> int:
        """The characters of the body that `search` would send."""
        return self._transport.body_characters(self._search_call(object_type, filters, properties, sort, limit, after))

    def _list_call(
        self,
        object_type: str,
        properties: Sequence[str],
        history: Sequence[str],
        associations: Sequence[str],
        archived: bool,
        limit: int,
        after: str | None,
    ) -> Call:
        array = self._paths.array
        query = (
            ("limit", str(limit)),
            *((("after", after),) if after is not None else ()),
            *((("archived", "true"),) if archived else ()),
            *array("properties", properties),
            *array("propertiesWithHistory", history),
            *array("associations", associations),
        )
        return Call(f"{object_type}.list", "GET", self._paths.objects(object_type), query=query)

    def _search_call(
        self,
        object_type: str,
        filters: Sequence[Mapping[str, Any]],
        properties: Sequence[str],
        sort: str | None,
        limit: int,
        after: str | None,
    ) -> Call:
        body: Json = {"limit": limit, "properties": list(properties)}
        if filters:
            body["filterGroups"] = [{"filters": [dict(item) for item in filters]}]
        if sort is not None:
            direction = "DESCENDING" if sort.startswith("-") else "ASCENDING"
            body["sorts"] = [{"propertyName": sort.removeprefix("-"), "direction": direction}]
        if after is not None:
            body["after"] = after
        path = self._paths.objects(object_type, "search")
        return Call(f"{object_type}.search", "POST", path, body=body, bucket=Bucket.SEARCH)
