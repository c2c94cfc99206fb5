"""Waiting that can be ended, and things that are due every so often."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import Any


async def until(stop: asyncio.Event, step: Coroutine[Any, Any, Any], *, seconds: float | None = None) -> None:
    """Await `step`, but no longer than until `stop` is set or `seconds` have passed. A failure of `step` is raised."""
    wanted, stopped = asyncio.ensure_future(step), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait((wanted, stopped), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if wanted.done():
            wanted.result()
    finally:
        wanted.cancel()
        stopped.cancel()


class Every:
    """Due at once, and then whenever `seconds` have passed since it was last due."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._due_at = time.monotonic()

    def is_due(self) -> bool:
        """True once each time."""
        if time.monotonic() < self._due_at:
            return False
        self._due_at = time.monotonic() + self._seconds
        return True
