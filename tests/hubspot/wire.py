"""A server that answers with given bytes: for answers that no well-behaved HTTP server would give."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

HANG = b"hang"


@dataclass
class Wire:
    """`answers` are given one a request, the last one again and again. An empty one cuts the connection."""

    url: str
    answers: deque[bytes]
    requests: list[bytes] = field(default_factory=list)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            self.requests.append(head)
            answer = self.answers.popleft() if len(self.answers) > 1 else self.answers[0]
            if answer == HANG:
                await self.stopping.wait()
            writer.write(answer)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def wire(*answers: bytes) -> AsyncIterator[Wire]:
    served = Wire("", deque(answers))
    server = await asyncio.start_server(served.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    served.url = f"http://127.0.0.1:{port}"
    try:
        yield served
    finally:
        served.stopping.set()
        server.close()
        await server.wait_closed()


def answer(status: int, body: object, *headers: str, length: int | None = None) -> bytes:
    """A whole HTTP answer; `length` may lie about the body's."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [
        f"HTTP/1.1 {status} Any",
        f"Content-Length: {len(content) if length is None else length}",
        "Connection: close",
        *headers,
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content
