"""Run the web application until SIGINT or SIGTERM, then stop it in good order.

The application's lifespan runs around uvicorn and not inside it, so that a start that fails is an exception with a
sentence and not a traceback in the log, and so that no signal cuts the stop short.
"""

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable, Iterator

import uvicorn
from fastapi import FastAPI

from crm_sync.errors import SettingsError
from crm_sync.settings import Settings
from crm_sync.web.app import create_app

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_OPEN_REQUESTS_SECONDS = 10


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """uvicorn would raise the signal again after its own stop, before ours is done."""
        yield


async def serve(settings: Settings, *, ready: Callable[[str, uvicorn.Server], None] | None = None) -> None:
    """Serve on WEB_HOST and WEB_PORT until told to stop; `ready` gets the address once requests are answered.

    A second signal does not wait for open requests. Raises SettingsError when the address cannot be had, and
    DatabaseError.
    """
    with listening_socket(settings.WEB_HOST, settings.WEB_PORT) as listener:
        app = create_app(settings)
        async with app.router.lifespan_context(app):
            await _run(app, listener, ready)


def listening_socket(host: str, port: int) -> socket.socket:
    """A bound socket; port 0 takes a free one. Raises SettingsError."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as exc:
        raise SettingsError(
            f"Cannot listen on {host}:{port}: {exc.strerror or exc}. Set WEB_HOST and WEB_PORT to another address."
        ) from exc
    return listener


async def _run(app: FastAPI, listener: socket.socket, ready: Callable[[str, uvicorn.Server], None] | None) -> None:
    config = uvicorn.Config(
        app, lifespan="off", log_config=None, access_log=False, timeout_graceful_shutdown=_OPEN_REQUESTS_SECONDS
    )
    server = _Server(config)
    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        with contextlib.suppress(RuntimeError, ValueError):  # not in the main thread: the caller stops the server
            loop.add_signal_handler(number, server.handle_exit, number, None)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(server.serve(sockets=[listener]), name="web server")
        while ready is not None and not running.done():
            if server.started:
                host, port = listener.getsockname()[:2]
                ready(f"http://{f'[{host}]' if ':' in host else host}:{port}", server)
                break
            await asyncio.sleep(0.01)
