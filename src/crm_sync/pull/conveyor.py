"""Fetching and writing side by side: while one batch is written, the next is on its way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import TypeVar

T = TypeVar("T")


async def convey(source: AsyncIterator[T], consume: Callable[[T], Awaitable[None]], *, ahead: int = 1) -> None:
    """Pass everything that `source` yields to `consume`, in order, with at most `ahead` waiting in between.

    What either raises ends both, and is raised.
    """
    waiting: asyncio.Queue[T | None] = asyncio.Queue(maxsize=ahead)

    async def fetch() -> None:
        async with aclosing(source) as items:  # type: ignore[type-var]
            async for item in items:
                await waiting.put(item)
        await waiting.put(None)

    fetching = asyncio.create_task(fetch(), name="fetch")
    try:
        while (item := await _next(waiting, fetching)) is not None:
            await consume(item)
        await fetching
    finally:
        fetching.cancel()
        await asyncio.gather(fetching, return_exceptions=True)


async def _next(waiting: asyncio.Queue[T | None], fetching: asyncio.Task[None]) -> T | None:
    """The next item; raises what the fetching raised, once everything before it was passed on."""
    while waiting.empty() and not fetching.done():
        taking = asyncio.create_task(waiting.get(), name="take")
        try:
            await asyncio.wait((taking, fetching), return_when=asyncio.FIRST_COMPLETED)
            if taking.done():
                return taking.result()
        finally:
            if not taking.done():
                taking.cancel()
                await asyncio.gather(taking, return_exceptions=True)
    if waiting.empty():
        fetching.result()
    return waiting.get_nowait()
