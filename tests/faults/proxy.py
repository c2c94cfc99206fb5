"""A TCP proxy before PostgreSQL that cuts connections, or lets them go half open: alive to the eye, and silent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Self

from sqlalchemy import URL

from crm_sync.database import parse_database_url


class Proxy:
    """Use as an async context manager; `url` is the way to the database through it.

    Bytes that are held wait in the proxy: nothing is lost while a connection lives, as in a network that is slow.
    """

    def __init__(self, url: str) -> None:
        self._target = parse_database_url(url)
        self._server: asyncio.Server | None = None
        self._pipes: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._requests_pass, self._answers_pass = asyncio.Event(), asyncio.Event()
        self.is_refusing = False
        self.accepted = 0
        self.requests_held = asyncio.Event()
        self.release()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        for pipe in self._pipes:
            pipe.cancel()
        await asyncio.gather(*self._pipes, return_exceptions=True)

    @property
    def url(self) -> str:
        assert self._server is not None
        port = self._server.sockets[0].getsockname()[1]
        away = self._target.difference_update_query(["host", "port"]).set(host="127.0.0.1", port=port)
        return away.render_as_string(hide_password=False)

    @property
    def open_connections(self) -> int:
        return len(self._writers) // 2

    def hold_requests(self) -> None:
        """What clients send does not reach the server from now on; `requests_held` is set when something waits."""
        self.requests_held.clear()
        self._requests_pass.clear()

    def hold_answers(self) -> None:
        """What the server sends does not reach clients from now on."""
        self._answers_pass.clear()

    def release(self) -> None:
        self._requests_pass.set()
        self._answers_pass.set()

    def cut(self) -> None:
        """Reset every connection, in both directions. What is held is lost."""
        for writer in list(self._writers):
            writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.is_refusing:
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await self._connect()
        except OSError:
            writer.transport.abort()
            return
        self.accepted += 1
        ends = {writer, far_writer}
        self._writers |= ends

        def pump(
            source: asyncio.StreamReader, sink: asyncio.StreamWriter, gate: asyncio.Event, held: Callable[[], None]
        ) -> asyncio.Task[None]:
            task = asyncio.create_task(self._pump(source, sink, gate, held))
            self._pipes.add(task)
            task.add_done_callback(self._pipes.discard)
            return task

        try:
            await asyncio.wait(
                [
                    pump(reader, far_writer, self._requests_pass, self.requests_held.set),
                    pump(far_reader, writer, self._answers_pass, lambda: None),
                ],
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            self._writers -= ends
            for end in ends:
                end.transport.abort()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await open_connection(self._target)

    async def _pump(
        self,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        gate: asyncio.Event,
        held: Callable[[], None],
    ) -> None:
        try:
            while some := await source.read(1 << 16):
                if not gate.is_set():
                    held()
                    await gate.wait()
                sink.write(some)
                await sink.drain()
        except OSError:
            pass


async def open_connection(url: URL) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    folder = url.query.get("host")
    if isinstance(folder, str) and folder.startswith("/"):
        return await asyncio.open_unix_connection(f"{folder}/.s.PGSQL.{url.query.get('port', 5432)}")
    return await asyncio.open_connection(url.host or "127.0.0.1", url.port or 5432)
