"""The stage: a PostgreSQL with queued contacts, an emulator, and the application as a process between them."""

from __future__ import annotations

import http.client
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from crm_sync import migrate
from crm_sync.database import create_engine
from crm_sync.embedded_postgres import EmbeddedPostgres
from crm_sync.hubspot import HubSpotClient
from crm_sync.push import PropertyNames, setup_properties

CRM_SYNC = Path(sys.executable).with_name("crm-sync")
TOKEN = "pat-emulator-all-scopes"
_END_SECONDS = 60
_EMULATOR = """
import sys
from hubspot_emulator.server import serve
serve(0, tier=sys.argv[1], on_ready=lambda url: print(url, flush=True))
"""
_FILL = """
    INSERT INTO contacts (email, name, phone_number, domain_id, page_id,
                          hubspot_sync_status, hubspot_processing_status)
    SELECT format('person%s@example.com', n), format('Ada Number%s', n), format('+44 20 7946 %s', n),
           gen_random_uuid(), gen_random_uuid(), 'Queued', 'Queued'
    FROM generate_series(1, :contacts) AS n
"""


@asynccontextmanager
async def postgres_with(contacts: int) -> AsyncIterator[tuple[str, AsyncEngine]]:
    """(address, engine) of a migrated database with that many contacts queued."""
    with tempfile.TemporaryDirectory(prefix="bench-push-") as folder:
        server = EmbeddedPostgres(Path(folder)).start()
        engine = create_engine(server.url())
        try:
            await migrate.upgrade(server.url())
            async with engine.begin() as connection:
                await connection.execute(sa.text(_FILL), {"contacts": contacts})
            async with engine.connect() as connection:
                await connection.execution_options(isolation_level="AUTOCOMMIT")
                await connection.execute(sa.text("VACUUM ANALYZE contacts"))
            yield server.url().render_as_string(hide_password=False), engine
        finally:
            await engine.dispose()
            server.stop(delete=True)


class HubSpot:
    """The emulator as a process of its own."""

    def __init__(self, url: str) -> None:
        self.url = url

    @classmethod
    @contextmanager
    def at(cls, tier: str) -> Iterator[HubSpot]:
        process = subprocess.Popen([sys.executable, "-c", _EMULATOR, tier], stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            yield cls(process.stdout.readline().strip())
        finally:
            process.terminate()
            process.wait(_END_SECONDS)

    async def set_up(self) -> None:
        """Make the custom properties, and forget the calls that it took."""
        async with HubSpotClient(self.url, TOKEN) as client:
            await setup_properties(client, PropertyNames())
        self._control("DELETE", "/_emulator/calls")

    def answer_in(self, seconds: float) -> None:
        """Let every batch take so long, as HubSpot's do."""
        fault = {"kind": "slow", "route": "objects.batch_*", "times": 0, "seconds": seconds}
        self._control("POST", "/_emulator/faults", json.dumps(fault).encode())

    def calls(self) -> list[dict[str, Any]]:
        """The last 10,000, oldest first."""
        answer: list[dict[str, Any]] = json.loads(self._control("GET", "/_emulator/calls?limit=10000"))["calls"]
        return answer

    def _control(self, method: str, path: str, body: bytes | None = None) -> bytes:
        connection = http.client.HTTPConnection(self.url.removeprefix("http://"), timeout=_END_SECONDS)
        try:
            connection.request(method, path, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            if answer.status >= 300:
                raise RuntimeError(f"{method} {path}: {answer.status} {answer.read()!r}")
            return answer.read()
        finally:
            connection.close()


@contextmanager
def application(command: str, database_url: str, hubspot: HubSpot, **settings: str) -> Iterator[subprocess.Popen[str]]:
    """`crm-sync COMMAND`; its log can be read from `stderr`."""
    environment = {
        **{name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ},
        "DATABASE_URL": database_url,
        "HUBSPOT_API_BASE_URL": hubspot.url,
        "HUBSPOT_API_KEY": TOKEN,
        **settings,
    }
    words = [str(CRM_SYNC), *command.split()]
    process = subprocess.Popen(
        words, env=environment, cwd=tempfile.gettempdir(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=_END_SECONDS)


async def statuses(engine: AsyncEngine) -> Counter[str]:
    async with engine.connect() as connection:
        rows = await connection.execute(
            sa.text("SELECT hubspot_processing_status::text, count(*) FROM contacts GROUP BY 1")
        )
        return Counter(dict(tuple(row) for row in rows))


async def is_settled(engine: AsyncEngine) -> bool:
    """Cheap, however many contacts there are: both conditions have a partial index."""
    async with engine.connect() as connection:
        for status in ("Queued", "Processing"):
            one = sa.text(f"SELECT 1 FROM contacts WHERE hubspot_processing_status = '{status}' LIMIT 1")
            if await connection.scalar(one):
                return False
    return True


def time_of(call: dict[str, Any]) -> float:
    """Seconds since 1970."""
    return datetime.fromisoformat(call["at"]).timestamp()


def peak_mb(pid: int) -> float:
    """The most that the process ever had in memory; where the system does not tell, what it has now."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 1024
    except (OSError, IndexError):
        return float(psutil.Process(pid).memory_info().rss) / 2**20


def machine() -> str:
    """Where and when a figure was measured."""
    return (
        f"{psutil.cpu_count()} CPUs, {platform.machine()}, Python {platform.python_version()}, "
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, load {psutil.getloadavg()[0]:.1f}"
    )
