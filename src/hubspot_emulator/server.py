"""The emulator as a server: in a thread of a test, or in the foreground."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from .account import Account
from .app import EmulatorApp
from .behaviour import STANDING_LAG_SECONDS, Behaviour
from .calls import Call
from .clock import Clock
from .faults import Fault
from .portal import Portal
from .seed import SeedSizes
from .tokens import DEFAULT_TOKEN

__all__ = ["EmulatorServer", "serve"]

_START_SECONDS = 10
_STOP_SECONDS = 10


class EmulatorServer:
    """A HubSpot on a loopback port for the length of a `with` (or `async with`) block.

        with EmulatorServer(port=0) as hubspot:
            httpx.get(f"{hubspot.url}/crm/v3/objects/contacts",
                      headers={"Authorization": f"Bearer {hubspot.token}"})

    `port` 0 takes a free one; `seed` is that of chance (result order, probability of faults). `url` answers from the
    moment the block is entered. Two servers share nothing.
    """

    def __init__(
        self,
        port: int = 0,
        *,
        host: str = "127.0.0.1",
        tier: str = "free",
        behaviour: Behaviour | None = None,
        seed: int = 0,
        portal_id: int = 20_260_301,
        log_level: str = "warning",
    ) -> None:
        self.account = Account(tier=tier, behaviour=behaviour, seed=seed, portal_id=portal_id)
        self.token = DEFAULT_TOKEN
        self._address = (host, port)
        self._log_level = log_level
        self._thread: threading.Thread | None = None
        self._server: _Server | None = None
        self.url = ""

    # the life of the server

    def start(self) -> Self:
        """Returns when the port answers. Raises OSError when the port is taken."""
        if self._thread is not None:
            raise RuntimeError("this emulator is already running")
        listener = socket.create_server(self._address)
        host, port = listener.getsockname()[:2]
        self.url = f"http://{host}:{port}"
        answering = threading.Event()
        self._server = _Server(self.account, self._log_level, answering.set)
        self._thread = threading.Thread(
            target=self._server.run_on, args=(listener,), name=f"hubspot-emulator-{port}", daemon=True
        )
        self._thread.start()
        if not answering.wait(_START_SECONDS):
            raise RuntimeError("the emulator did not start")
        return self

    def stop(self) -> None:
        """Returns when the port is closed; open connections are dropped."""
        if self._thread is None or self._server is None:
            return
        self._server.should_exit = True
        self._thread.join(_STOP_SECONDS)
        self._thread = self._server = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        return await asyncio.to_thread(self.start)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.stop)

    # what a test looks at and does

    @property
    def portal(self) -> Portal:
        """The records themselves, without HTTP; a reset puts a new portal in its place."""
        return self.account.portal

    @property
    def clock(self) -> Clock:
        return self.account.clock

    @property
    def behaviour(self) -> Behaviour:
        return self.account.behaviour

    def calls(self, route: str | None = None, object_type: str | None = None) -> list[Call]:
        """API calls since the reset, oldest first; of one route (`objects.batch_upsert`) or object type."""
        with self.account.lock:
            return [
                call
                for call in self.account.calls.all()
                if route in (None, call.route) and object_type in (None, call.object_type)
            ]

    def counts(self) -> dict[str, int]:
        """Calls by `route object_type`, such as `objects.batch_upsert contacts`."""
        with self.account.lock:
            return dict(self.account.calls.counts)

    def records(self, object_type: str, *, archived: bool = False) -> list[dict[str, Any]]:
        """Properties of every record of a type, in id order, with `hs_object_id`."""
        with self.account.lock:
            table = self.portal.table(object_type)
            return [
                {**record.properties, **{name: record.value(name) for name in table.type.always}}
                for record in table.from_id(0)
                if record.archived == archived
            ]

    def fault(self, kind: str, **options: Any) -> Fault:
        """Lay a fault: `fault("502-after", path="*/batch/upsert", nth=2)`. See `Fault` for the options."""
        with self.account.lock:
            return self.account.faults.lay(kind, **options)

    def clear_faults(self) -> None:
        with self.account.lock:
            self.account.faults.clear()

    def add_token(self, value: str, scopes: Iterable[str] | None = None, status: str = "active") -> str:
        """A further token, or other scopes or another status for a known one; `scopes` None means all."""
        with self.account.lock:
            return self.account.tokens.add(value, scopes, status).value

    def set_tier(self, tier: str) -> None:
        """Other limits from now on, with empty buckets."""
        with self.account.lock:
            self.account.quota.set_tier(tier)

    def seed(self, number: int, **sizes: int) -> dict[str, int]:
        """Fill the empty portal from one integer; `sizes` are the fields of `SeedSizes`. Counts by type."""
        return self.account.seed(number, SeedSizes(**sizes))

    def reset(self) -> None:
        """Back to the state after the start, without stopping."""
        self.account.reset()


class _Server(uvicorn.Server):
    """uvicorn that says when it answers, and whose connections a fault can cut."""

    def __init__(self, account: Account, log_level: str, on_ready: Callable[[], None]) -> None:
        self._on_ready = on_ready
        connections: dict[tuple[str, int], asyncio.Transport] = {}

        class CuttableProtocol(H11Protocol):
            def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
                super().connection_made(transport)
                connections[transport.get_extra_info("peername")[:2]] = transport

            def connection_lost(self, exc: Exception | None) -> None:
                if self.client is not None:
                    connections.pop(self.client[:2], None)
                super().connection_lost(exc)

        def cut(client: tuple[str, int]) -> None:
            transport = connections.get(client[:2])
            if transport is not None:
                transport.abort()

        config = uvicorn.Config(
            EmulatorApp(account, cut),
            http=CuttableProtocol,
            ws="none",
            lifespan="off",
            access_log=False,
            log_level=log_level,
            timeout_graceful_shutdown=1,
            server_header=False,
            date_header=False,  # the application dates its answers by the portal's clock
        )
        super().__init__(config)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_ready()

    def run_on(self, listener: socket.socket) -> None:
        try:
            self.run(sockets=[listener])
        finally:
            listener.close()


def serve(
    port: int = 8025,
    *,
    host: str = "127.0.0.1",
    tier: str = "free",
    behaviour: Behaviour | None = None,
    seed: int = 0,
    fill_from: int | None = None,
    on_ready: Callable[[str], None] | None = None,
) -> None:
    """Serve in the foreground until interrupted, from an empty portal or, given `fill_from`, one generated from it.

    `behaviour` None: the defaults, and a search index that lags. `seed` is that of chance.
    `on_ready` is called with the address when it answers. Raises OSError when the port is taken.
    """
    listener = socket.create_server((host, port))
    behaviour = behaviour or Behaviour(search_lag_seconds=STANDING_LAG_SECONDS)
    account = Account(tier=tier, behaviour=behaviour, seed=seed)
    if fill_from is not None:
        account.seed(fill_from)
    address, bound_port = listener.getsockname()[:2]

    def ready() -> None:
        if on_ready is not None:
            on_ready(f"http://{address}:{bound_port}")

    # uvicorn raises the signal that stopped it again; for whoever serves, Ctrl-C is the ordinary end.
    with suppress(KeyboardInterrupt):
        _Server(account, "warning", ready).run_on(listener)
