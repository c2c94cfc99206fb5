"""Caller: what the operations on every noun share. HubSpotClient is made of its kinds, one a noun."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from crm_sync.hubspot.exchange import Call, Json
from crm_sync.hubspot.paths import ApiPaths, Query
from crm_sync.hubspot.transport import Transport

T = TypeVar("T")


class Caller:
    """Knows where things are at HubSpot, and sends calls there."""

    def __init__(self, transport: Transport, paths: ApiPaths) -> None:
        self._transport = transport
        self._paths = paths

    async def _get(self, operation: str, path: str, read: Callable[[Json], T], query: Query = ()) -> T:
        return await self._transport.request(Call(operation, "GET", path, query=query), read)


def each(of: Callable[[Json], T]) -> Callable[[Json], tuple[T, ...]]:
    """Reads the `results` of an answer."""
    return lambda body: tuple(of(entry) for entry in body["results"])


def next_after(body: Json) -> str | None:
    """Where the next page begins: `paging.next.after`; None on the last one."""
    after = ((body.get("paging") or {}).get("next") or {}).get("after")
    return str(after) if after is not None else None
