"""A client of which answers lack what HubSpot's do at times, for what no fault of the emulator makes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from crm_sync.hubspot import Bucket, Budget, HubSpotClient, LocalRateLimiter
from crm_sync.hubspot.associations import AssociationPage
from crm_sync.hubspot.page import Page
from tests.pull.pulling import Pulls


class LossyClient(HubSpotClient):
    """`silent` times an id is left out of the answer about associations, once its first page has been given;
    `emptied` pages of a search come without their records; `before_part` is awaited before the second part of the
    first listed page, when the first part has come."""

    silent = 0
    emptied = 0
    before_part: Callable[[], Awaitable[None]] | None = None
    _listed = 0

    async def read_associations(
        self, from_type: str, to_type: str, inputs: Mapping[str, str | None]
    ) -> AssociationPage:
        page = await super().read_associations(from_type, to_type, inputs)
        left_out = [one for one, after in inputs.items() if after is not None][: self.silent]
        self.silent -= len(left_out)
        found = {one: targets for one, targets in page.found.items() if one not in left_out}
        following = {one: after for one, after in page.following.items() if one not in left_out}
        return AssociationPage(found, following, page.errors)

    async def search(self, object_type: str, *arguments: Any, **options: Any) -> Page:
        page = await super().search(object_type, *arguments, **options)
        if self.emptied and page.after is not None:
            self.emptied -= 1
            return replace(page, records=())
        return page

    async def list_page(self, object_type: str, **options: Any) -> Page:
        self._listed += 1
        if self._listed == 2 and self.before_part is not None:
            await self.before_part()
        return await super().list_page(object_type, **options)


@asynccontextmanager
async def lossy_client(pulls: Pulls) -> AsyncIterator[LossyClient]:
    async with LossyClient(
        pulls.emulator.url,
        pulls.emulator.token,
        rate_limiter=LocalRateLimiter(dict.fromkeys(Bucket, Budget(100_000, 1.0))),
    ) as client:
        pulls.hubspot = client
        yield client
    pulls.hubspot = None


class Gate:
    """A place in a run: the first page that was listed waits there."""

    def __init__(self) -> None:
        self.reached, self.opened = asyncio.Event(), asyncio.Event()


class GatedClient(HubSpotClient):
    gate: Gate

    async def list_page(self, object_type: str, **options: Any) -> Page:
        page = await super().list_page(object_type, **options)
        self.gate.reached.set()
        await self.gate.opened.wait()
        return page


@asynccontextmanager
async def gated_client(pulls: Pulls, gate: Gate) -> AsyncIterator[GatedClient]:
    async with GatedClient(pulls.emulator.url, pulls.emulator.token) as client:
        client.gate = gate
        pulls.hubspot = client
        yield client
