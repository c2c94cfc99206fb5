"""Paging: one page after the other, by the place that each page names for the next."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol, TypeVar

from crm_sync.errors import PullError


class Paged(Protocol):
    @property
    def after(self) -> str | None:
        """Where the next page begins; None on the last one."""


PageT = TypeVar("PageT", bound=Paged)


async def pages(read: Callable[[str | None], Awaitable[PageT]], after: str | None = None) -> AsyncIterator[PageT]:
    """Every page from `after` on. Raises PullError when HubSpot sends the reader in a circle of one page."""
    while True:
        page = await read(after)
        yield page
        if page.after is None:
            return
        if page.after == after:
            raise PullError(f"HubSpot names {after!r} as the page after {after!r}: the list would never end.")
        after = page.after
