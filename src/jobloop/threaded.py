"""threaded: a blocking function as a handler, in threads of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial, wraps
from inspect import iscoroutinefunction
from typing import Any, TypeVar

from jobloop.errors import QueueDeclarationError

T = TypeVar("T")

#: Threads are made when they are needed, so this is only the most: the loop's concurrency is the real bound.
_MOST_THREADS = 1000


def threaded(fn: Callable[..., T]) -> Callable[..., Awaitable[T]]:
    """Make a blocking function a handler: `each(threaded(fn))` or `batch(threaded(fn))` runs it in a thread.

    It has threads of its own, as many as the loop runs calls at once: asyncio's pool has six on a small machine, and
    others wait for those too.

    A thread cannot be cancelled. When its worker is stopped, the worker waits a few seconds for the answer and settles
    by it; a thread that takes longer is left behind with its row, which is rescued when the lease ends.
    """

    if is_async(fn):
        raise QueueDeclarationError(f"handler {name_of(fn)} is async already: do not wrap it with threaded")
    threads = ThreadPoolExecutor(_MOST_THREADS, thread_name_prefix=name_of(fn))

    @wraps(fn)
    async def run(*arguments: Any) -> T:
        in_context = partial(copy_context().run, fn, *arguments)
        call = asyncio.get_running_loop().run_in_executor(threads, in_context)
        while not call.done():
            try:
                await asyncio.shield(call)
            except asyncio.CancelledError:
                continue
        return call.result()

    run.is_threaded = True  # type: ignore[attr-defined]
    return run


def is_threaded(fn: Any) -> bool:
    """Whether `fn` is a blocking function that `threaded` wrapped."""
    return getattr(fn, "is_threaded", False)


def is_async(fn: Any) -> bool:
    """Whether calling `fn` gives something to await."""
    return iscoroutinefunction(fn) or iscoroutinefunction(getattr(fn, "__call__", None))  # noqa: B004


def name_of(fn: Any) -> str:
    """What to call `fn` in a message."""
    return str(getattr(fn, "__name__", repr(fn)))
