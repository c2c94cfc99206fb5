"""Worker: the queues and no web, in as many processes as wanted, until told to stop.

SIGTERM or SIGINT   claim nothing more; what runs gets WORKER_GRACE_SECONDS to end, the rest goes back uncounted
a second one        stop at once: what runs is cancelled and goes back uncounted
"""

import asyncio
import gc
import logging
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

from crm_sync.database import listening_dsn
from crm_sync.runtime import Runtime
from jobloop import CycleReport, JobQueue, Listener

logger = logging.getLogger(__name__)

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
WakeOf = Callable[[JobQueue], asyncio.Event]


async def work(runtime: Runtime, stop: asyncio.Event) -> list[CycleReport]:
    """Run every queue's loop until `stop` is set; returns what each did. Raises TokenMissingError at once."""
    async with _waking(runtime) as wake_of:
        loops = runtime.loops(wake_of)
        logger.info("working: %s", ", ".join(loop.queue.name for loop in loops))
        gc.freeze()  # what the application is made of stays to its end: no collection need look through it again
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(loop.run(stop), name=f"{loop.queue.name} loop") for loop in loops]
    return [task.result() for task in running]


async def work_until_signalled(runtime: Runtime) -> list[CycleReport]:
    """`work`, stopped by signals. An empty answer means that a second signal did not let it end."""
    stop = asyncio.Event()
    working = asyncio.create_task(work(runtime, stop), name="worker")
    with _signals(stop, working):
        try:
            return await working
        except asyncio.CancelledError:
            if not stop.is_set():
                raise
            return []


@contextmanager
def _signals(stop: asyncio.Event, working: asyncio.Task[list[CycleReport]]) -> Iterator[None]:
    def heard() -> None:
        if stop.is_set():
            logger.warning("told to stop again: stopping at once")
            working.cancel()
        else:
            logger.info("told to stop: what runs may end, nothing more is claimed")
            stop.set()

    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, heard)
    try:
        yield
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)


@asynccontextmanager
async def _waking(runtime: Runtime) -> AsyncIterator[WakeOf]:
    """How a loop learns of fresh rows: by NOTIFY where there is a direct connection, else by polling alone."""
    dsn = listening_dsn(runtime.settings, runtime.url)
    if dsn is None:
        logger.info("polling every %g s: no direct connection to listen on", runtime.settings.WORKER_POLL_SECONDS)
        yield lambda queue: asyncio.Event()
        return
    async with Listener(dsn) as listener:
        yield listener.wake_event
