"""HubSpotClient: HubSpot's operations on any object type, as typed values.

    async with HubSpotClient("https://api.hubapi.com", token) as hubspot:
        result = await hubspot.batch_upsert("contacts", inputs, id_property="email")

Every method raises HubSpotError and its kinds, drawn in `errors`, after what may be repeated was repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from crm_sync.hubspot.errors import Misconfigured
from crm_sync.hubspot.exchange import Bucket, Call, Json
from crm_sync.hubspot.objects import (
    BATCH_SIZE,
    Account,
    BatchResult,
    DailyUsage,
    Properties,
    PropertyDefinition,
    PropertyGroup,
    Record,
    RecordInput,
)
from crm_sync.hubspot.page import Page
from crm_sync.hubspot.paths import ApiPaths
from crm_sync.hubspot.ratelimit import LocalRateLimiter, RateLimiter
from crm_sync.hubspot.retry import RetryRules
from crm_sync.hubspot.token import AccessToken
from crm_sync.hubspot.transport import CallCounts, Timeouts, Transport

T = TypeVar("T")


class HubSpotClient:
    """One HubSpot account, seen with one access token.

    api_version   "v3" or a dated one such as "2026-03"
    rate_limiter  share one between clients that use the same token; None makes an own one
    counts        calls sent so far
    """

    def __init__(
        self,
        base_url: str,
        access_token: str,
        *,
        api_version: str = "v3",
        rate_limiter: RateLimiter | None = None,
        retries: RetryRules | None = None,
        timeouts: Timeouts | None = None,
        max_connections: int = 20,
    ) -> None:
        self.token = AccessToken(access_token)
        self._paths = ApiPaths(api_version)
        self._transport = Transport(
            _checked(base_url),
            self.token,
            rate_limiter if rate_limiter is not None else LocalRateLimiter(),
            retries=retries or RetryRules(),
            timeouts=timeouts or Timeouts(),
            max_connections=max_connections,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._transport.aclose()

    @property
    def counts(self) -> CallCounts:
        return self._transport.counts

    # One record

    async def create(self, object_type: str, properties: Properties) -> Record:
        """Not repeated when its fate is unknown: a second one would make a second record."""
        call = Call(
            f"{object_type}.create",
            "POST",
            self._paths.objects(object_type),
            body={"properties": dict(properties)},
            repeatable=False,
        )
        return await self._transport.request(call, Record.of)

    async def get(
        self,
        object_type: str,
        record_id: str,
        *,
        properties: Sequence[str] = (),
        id_property: str | None = None,
    ) -> Record:
        """The record of an id, also of an id that was merged into another; raises NotFound.

        `id_property` makes `record_id` the value of that unique property. No `properties` means
        HubSpot's small default set.
        """
        call = Call(
            f"{object_type}.get",
            "GET",
            self._paths.objects(object_type, record_id),
            query=self._paths.array("properties", properties) + _id_property(id_property),
        )
        return await self._transport.request(call, Record.of)

    async def update(
        self, object_type: str, record_id: str, properties: Properties, *, id_property: str | None = None
    ) -> Record:
        """The record after the update, which has another id than asked for when that one was merged away."""
        call = Call(
            f"{object_type}.update",
            "PATCH",
            self._paths.objects(object_type, record_id),
            query=_id_property(id_property),
            body={"properties": dict(properties)},
        )
        return await self._transport.request(call, Record.of)

    # Many records: at most 100 inputs a call, in no promised order

    async def batch_upsert(self, object_type: str, inputs: Sequence[RecordInput], *, id_property: str) -> BatchResult:
        """Update the records whose unique property is the input's id, create the others."""
        return await self._batch(object_type, "upsert", [item.body(id_property) for item in inputs])

    async def batch_update(self, object_type: str, inputs: Sequence[RecordInput]) -> BatchResult:
        """Update by record id. Unlike `update`, it does not know ids that were merged away."""
        return await self._batch(object_type, "update", [item.body() for item in inputs])

    async def batch_read(
        self,
        object_type: str,
        ids: Sequence[str],
        *,
        properties: Sequence[str] = (),
        id_property: str | None = None,
    ) -> BatchResult:
        """Those that are there; each missing one stands in `errors`."""
        more: Json = {"properties": list(properties), **dict(_id_property(id_property))}
        return await self._batch(object_type, "read", [{"id": record_id} for record_id in ids], more)

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
        matches.
        """
        body: Json = {"limit": limit, "properties": list(properties)}
        if filters:
            body["filterGroups"] = [{"filters": [dict(item) for item in filters]}]
        if sort is not None:
            direction = "DESCENDING" if sort.startswith("-") else "ASCENDING"
            body["sorts"] = [{"propertyName": sort.removeprefix("-"), "direction": direction}]
        if after is not None:
            body["after"] = after
        path = self._paths.objects(object_type, "search")
        call = Call(f"{object_type}.search", "POST", path, body=body, bucket=Bucket.SEARCH)
        return await self._transport.request(call, Page.of)

    # Properties and account

    async def list_properties(self, object_type: str) -> tuple[PropertyDefinition, ...]:
        call = Call(f"{object_type}.properties", "GET", self._paths.properties(object_type))
        return await self._transport.request(call, _each(PropertyDefinition.of))

    async def create_property(self, object_type: str, definition: PropertyDefinition) -> PropertyDefinition:
        """Raises Conflict when the name is taken."""
        call = Call(
            f"{object_type}.properties.create",
            "POST",
            self._paths.properties(object_type),
            body=definition.body(),
            repeatable=False,
        )
        return await self._transport.request(call, PropertyDefinition.of)

    async def list_property_groups(self, object_type: str) -> tuple[PropertyGroup, ...]:
        call = Call(f"{object_type}.groups", "GET", self._paths.properties(object_type, "groups"))
        return await self._transport.request(call, _each(PropertyGroup.of))

    async def create_property_group(self, object_type: str, group: PropertyGroup) -> PropertyGroup:
        """Raises Conflict when the name is taken."""
        call = Call(
            f"{object_type}.groups.create",
            "POST",
            self._paths.properties(object_type, "groups"),
            body={"name": group.name, "label": group.label},
            repeatable=False,
        )
        return await self._transport.request(call, PropertyGroup.of)

    async def account(self) -> Account:
        """The account that the token belongs to: the smallest call that proves a token."""
        call = Call("account", "GET", self._paths.account("details"))
        return await self._transport.request(call, Account.of)

    async def daily_usage(self) -> DailyUsage:
        """Today's calls of the account, as HubSpot last counted them (it caches for some minutes)."""
        call = Call("account.usage", "GET", self._paths.account("api-usage", "daily", "private-apps"))
        return await self._transport.request(call, DailyUsage.of)

    async def _batch(
        self, object_type: str, verb: str, inputs: list[Json], more: Mapping[str, Any] | None = None
    ) -> BatchResult:
        if len(inputs) > BATCH_SIZE:
            raise ValueError(f"a batch takes at most {BATCH_SIZE} inputs, got {len(inputs)}")
        if not inputs:
            return BatchResult()
        path = self._paths.objects(object_type, "batch", verb)
        call = Call(f"{object_type}.batch_{verb}", "POST", path, body={"inputs": inputs, **(more or {})})
        return await self._transport.request(call, BatchResult.of)


def _checked(base_url: str) -> str:
    """The address without a slash at its end; raises Misconfigured when it is none."""
    try:
        url = httpx.URL(base_url.strip())
    except httpx.InvalidURL as exc:
        raise Misconfigured(f"HUBSPOT_API_BASE_URL {base_url!r} is not an address: {exc}") from exc
    if url.scheme not in ("http", "https") or not url.host:
        raise Misconfigured(f"HUBSPOT_API_BASE_URL {base_url!r} is not an address such as https://api.hubapi.com")
    return str(url).rstrip("/")


def _id_property(name: str | None) -> tuple[tuple[str, str], ...]:
    return (("idProperty", name),) if name is not None else ()


def _each(of: Callable[[Json], T]) -> Callable[[Json], tuple[T, ...]]:
    return lambda body: tuple(of(entry) for entry in body["results"])
