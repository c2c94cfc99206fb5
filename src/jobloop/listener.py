"""Listener: hears NOTIFY on a connection of its own and wakes the loops of this process.

A notification is a hint, never the only way: loops poll all the same. The connection is probed, because a half-open one
hears nothing and looks alive; when it is lost the listener connects again and wakes everybody, since what was sent in
the meantime is gone. Needs a direct connection: a transaction pooler does not pass notifications on.
"""

from __future__ import annotations

import asyncio
import logging
import random
from types import TracebackType
from typing import Any, Self

import asyncpg

from jobloop.queue import JobQueue

log = logging.getLogger("jobloop")

CHANNEL = "jobloop"
_LONGEST_PAUSE_SECONDS = 30.0


class Listener:
    """Wakes loops whose queue was enqueued to. Use as an async context manager around the loops.

    dsn             a direct `postgresql://` address
    probe_seconds   how often the connection is tried; a dead one is found after at most twice that
    """

    def __init__(self, dsn: str, *, probe_seconds: float = 30.0) -> None:
        self._dsn = dsn
        self._probe_seconds = probe_seconds
        self._waiting: dict[str, list[asyncio.Event]] = {}
        self._task: asyncio.Task[None] | None = None
        self.is_listening = asyncio.Event()

    def wake_event(self, queue: JobQueue) -> asyncio.Event:
        """An event that is set whenever `queue` may have fresh rows; the loop clears it."""
        event = asyncio.Event()
        channel = f"{queue.table.name}.{queue.columns.status.name}"
        self._waiting.setdefault(channel, []).append(event)
        return event

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name="jobloop listener")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task], timeout=5.0)

    async def _run(self) -> None:
        pause_seconds = 0.5
        while True:
            try:
                connection = await asyncpg.connect(
                    self._dsn, timeout=self._probe_seconds, server_settings={"application_name": "jobloop listener"}
                )
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as exc:
                log.warning("listener cannot connect, polling goes on: %s", exc or type(exc).__name__)
                await asyncio.sleep(pause_seconds * random.uniform(0.5, 1))
                pause_seconds = min(pause_seconds * 2, _LONGEST_PAUSE_SECONDS)
                continue
            pause_seconds = 0.5
            try:
                await self._listen(connection)
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as exc:
                log.warning("listener lost its connection, connecting again: %s", exc or type(exc).__name__)
            finally:
                self.is_listening.clear()
                connection.terminate()

    async def _listen(self, connection: Any) -> None:
        """Hear until the connection fails; raises what a probe of it raised."""
        lost = asyncio.Event()
        connection.add_termination_listener(lambda _: lost.set())
        await connection.add_listener(CHANNEL, self._heard)
        self.is_listening.set()
        self._wake_all()
        while True:
            try:
                async with asyncio.timeout(self._probe_seconds):
                    await lost.wait()
            except TimeoutError:
                await connection.execute("SELECT 1", timeout=self._probe_seconds)
            else:
                raise ConnectionError("the server closed it")

    def _heard(self, connection: Any, pid: int, channel: str, payload: object) -> None:
        for event in self._waiting.get(str(payload), ()):
            event.set()

    def _wake_all(self) -> None:
        for events in self._waiting.values():
            for event in events:
                event.set()
