"""HubSpotClient: HubSpot's operations on any object type, as typed values.

    async with HubSpotClient("https://api.hubapi.com", token) as hubspot:
        result = await hubspot.batch_upsert("contacts", inputs, id_property="email")

One record and batches of them are here; each other noun has a file of its own, with its values and its calls:

    page           list and search
    associations   which records belong together
    properties     definitions of properties, and their groups
    schemas        custom object types
    owners         whom records are assigned to
    pipelines      which stages records go through
    forms          forms and their submissions
    emailevents    what became of marketing e-mails
    account        the account itself

Every method raises HubSpotError and its kinds, drawn in `errors`, after what may be repeated was repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Self

from crm_sync.hubspot.account import AccountCalls
from crm_sync.hubspot.associations import AssociationCalls
from crm_sync.hubspot.counts import CallCounts
from crm_sync.hubspot.emailevents import EmailEventCalls
from crm_sync.hubspot.errors import HubSpotError
from crm_sync.hubspot.exchange import Call, Json
from crm_sync.hubspot.forms import FormCalls
from crm_sync.hubspot.objects import (
    BATCH_SIZE,
    BATCH_SIZE_WITH_HISTORY,
    BatchResult,
    Properties,
    Record,
    RecordInput,
)
from crm_sync.hubspot.owners import OwnerCalls
from crm_sync.hubspot.page import PageCalls
from crm_sync.hubspot.paths import ApiPaths
from crm_sync.hubspot.pipelines import PipelineCalls
from crm_sync.hubspot.properties import PropertyCalls
from crm_sync.hubspot.ratelimit import LocalRateLimiter, RateLimiter
from crm_sync.hubspot.retry import RetryRules
from crm_sync.hubspot.schemas import SchemaCalls
from crm_sync.hubspot.token import AccessToken
from crm_sync.hubspot.transport import Timeouts, Transport


class HubSpotClient(
    PageCalls,
    AssociationCalls,
    PropertyCalls,
    SchemaCalls,
    OwnerCalls,
    PipelineCalls,
    FormCalls,
    EmailEventCalls,
    AccountCalls,
):
    """One HubSpot account, seen with one access token.

    api_version   "v3" or a dated one such as "2026-03"
    rate_limiter  share one between clients that use the same token; None makes an own one. It knows how many calls
                  are left now and today
    counts        calls sent so far
    on_repeat     is told why a call is about to be sent again
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
        on_repeat: Callable[[HubSpotError], None] = lambda _error: None,
    ) -> None:
        self.token = AccessToken(access_token)
        self.rate_limiter = rate_limiter if rate_limiter is not None else LocalRateLimiter()
        transport = Transport(
            base_url,
            self.token,
            self.rate_limiter,
            retries=retries or RetryRules(),
            timeouts=timeouts or Timeouts(),
            max_connections=max_connections,
            on_repeat=on_repeat,
        )
        super().__init__(transport, ApiPaths(api_version))

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

    @property
    def hubspot_time(self) -> datetime | None:
        """The time by HubSpot's own clock: that of the latest good answer, and what has passed since; UTC.

        Up to a second and the way of an answer late, as `Date` has whole seconds, and never early: what HubSpot writes
        from now on bears a later time. It may step back by as much from one answer to the next. None before the first.
        """
        return self._transport.hubspot_time

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
        history: Sequence[str] = (),
    ) -> BatchResult:
        """Those that are there; each missing one stands in `errors`, and so do archived and merged ones.

        `history` names properties whose former values come too, see `Record.history`; at most 50 inputs then.
        """
        more: Json = {"properties": list(properties), **dict(_id_property(id_property))}
        if history:
            more["propertiesWithHistory"] = list(history)
        most = BATCH_SIZE_WITH_HISTORY if history else BATCH_SIZE
        return await self._batch(object_type, "read", [{"id": record_id} for record_id in ids], more, most=most)

    async def _batch(
        self,
        object_type: str,
        verb: str,
        inputs: list[Json],
        more: Mapping[str, Any] | None = None,
        *,
        most: int = BATCH_SIZE,
    ) -> BatchResult:
        if len(inputs) > most:
            raise ValueError(f"a batch takes at most {most} inputs, got {len(inputs)}")
        if not inputs:
            return BatchResult()
        path = self._paths.objects(object_type, "batch", verb)
        call = Call(f"{object_type}.batch_{verb}", "POST", path, body={"inputs": inputs, **(more or {})})
        return await self._transport.request(call, BatchResult.of)


def _id_property(name: str | None) -> tuple[tuple[str, str], ...]:
    return (("idProperty", name),) if name is not None else ()
