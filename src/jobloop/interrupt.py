"""Running a database step to its end although the task that asked for it is cancelled."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, TypeVar

log = logging.getLogger("jobloop")
T = TypeVar("T")


async def to_the_end(step: Coroutine[Any, Any, T]) -> T:
    """Await `step`; when cancelled meanwhile, let it finish first and then raise the cancellation.

    For steps that are short and bounded: a statement cut off in flight leaves nobody who knows whether it was
    committed. A failure of the step gives way to the cancellation and is logged.
    """
    task = asyncio.ensure_future(step)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as exc:
            if task.cancelled():
                raise
            cancelled = exc
        except BaseException:  # the step's own failure: raised below, from the task
            break
    if cancelled is not None:
        if not task.cancelled() and (failure := task.exception()) is not None:
            log.error("a step failed while its caller was being cancelled", exc_info=failure)
        raise cancelled
    return task.result()
