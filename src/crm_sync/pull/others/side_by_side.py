"""Many small pieces of work, a few at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

T = TypeVar("T")


async def side_by_side(items: Iterable[T], do: Callable[[T], Awaitable[None]], *, at_once: int) -> None:
    """Do every item, begun in order, `at_once` of them at any moment.

    What one raises ends all, and is raised; of several, one.
    """
    waiting = iter(items)

    async def work() -> None:
        for item in waiting:  # shared: whoever is free takes the next
            await do(item)

    try:
        async with asyncio.TaskGroup() as group:
            for number in range(at_once):
                group.create_task(work(), name=f"side by side {number}")
    except BaseExceptionGroup as raised:
        raise raised.exceptions[0] from None
