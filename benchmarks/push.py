"""Push 10,000 contacts through `crm-sync serve` to the emulator: calls, rows, memory, time to the first claim.

    make bench ONLY=benchmarks/push.py ARGS="--contacts 10000"

The application runs in a process of its own, so its memory is its own; the emulator and PostgreSQL run beside it on
the same machine, so the seconds are this machine's, and no statement about HubSpot's.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil
import sqlalchemy as sa
from rich.console import Console
from rich.table import Table

from crm_sync import migrate
from crm_sync.database import create_engine
from crm_sync.embedded_postgres import EmbeddedPostgres
from crm_sync.hubspot import HubSpotClient
from crm_sync.push import PropertyNames, setup_properties
from hubspot_emulator import EmulatorServer

RESULTS = Path(__file__).parent / "results"
CRM_SYNC = Path(sys.executable).with_name("crm-sync")
PATIENCE_SECONDS = 180
FILL = """
    INSERT INTO contacts (email, name, phone_number, domain_id, page_id,
                          hubspot_sync_status, hubspot_processing_status)
    SELECT format('person%s@example.com', n), format('Ada Number%s', n), format('+44 20 7946 %s', n),
           gen_random_uuid(), gen_random_uuid(), 'Queued', 'Queued'
    FROM generate_series(1, :contacts) AS n
"""


@dataclass
class Result:
    """`first_call_after_ready_seconds` is below 0 when contacts were claimed before the first request was answered."""

    contacts: int
    statuses: dict[str, int]
    batch_calls: int
    other_calls: int
    seconds: float
    contacts_per_second: float
    peak_memory_mb: float
    start_to_ready_seconds: float
    first_call_after_ready_seconds: float
    machine: str


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--contacts", type=int, default=10_000)
    arguments = parser.parse_args()
    result = asyncio.run(measure(arguments.contacts))
    show(result)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "push.json").write_text(json.dumps(asdict(result), indent=2) + "\n")
    return 0 if result.statuses == {"Complete": arguments.contacts} else 1


async def measure(contacts: int) -> Result:
    with tempfile.TemporaryDirectory(prefix="bench-push-") as folder:
        postgres = EmbeddedPostgres(Path(folder)).start()
        try:
            with EmulatorServer(tier="unlimited") as hubspot:
                return await _push(postgres, hubspot, contacts)
        finally:
            postgres.stop(delete=True)


async def _push(postgres: EmbeddedPostgres, hubspot: EmulatorServer, contacts: int) -> Result:
    await migrate.upgrade(postgres.url())
    async with HubSpotClient(hubspot.url, hubspot.token) as client:
        await setup_properties(client, PropertyNames())
    set_up_calls = len(hubspot.calls())
    engine = create_engine(postgres.url())
    try:
        async with engine.begin() as connection:
            await connection.execute(sa.text(FILL), {"contacts": contacts})
            await connection.execute(sa.text("ANALYZE contacts"))
        started_at = time.time()
        with _serve(postgres, hubspot) as application:
            ready_at = await asyncio.to_thread(_ready_at, application)
            seconds = await _until_settled(engine, started_at)
            peak_mb = _peak_mb(application.pid)
            application.terminate()
            application.wait(60)
        statuses = await _statuses(engine)
    finally:
        await engine.dispose()
    batches = hubspot.calls("objects.batch_upsert")
    first_call_at = datetime.fromisoformat(batches[0].at).timestamp()
    busy_seconds = seconds - (first_call_at - started_at)
    return Result(
        contacts=contacts,
        statuses=dict(statuses),
        batch_calls=len(batches),
        other_calls=len(hubspot.calls()) - set_up_calls - len(batches),
        seconds=round(busy_seconds, 2),
        contacts_per_second=round(contacts / busy_seconds, 1),
        peak_memory_mb=round(peak_mb, 1),
        start_to_ready_seconds=round(ready_at - started_at, 2),
        first_call_after_ready_seconds=round(first_call_at - ready_at, 3),
        machine=f"{psutil.cpu_count()} CPUs, {platform.machine()}, Python {platform.python_version()}, "
        f"{datetime.now(UTC):%Y-%m-%d}",
    )


def _serve(postgres: EmbeddedPostgres, hubspot: EmulatorServer) -> subprocess.Popen[str]:
    environment = {
        "PATH": os.environ["PATH"],
        "DATABASE_URL": postgres.url().render_as_string(hide_password=False),
        "HUBSPOT_API_BASE_URL": hubspot.url,
        "HUBSPOT_API_KEY": hubspot.token,
        "HUBSPOT_REQUESTS_PER_10_SECONDS": "10000",
    }
    return subprocess.Popen(
        [str(CRM_SYNC), "serve", "--port", "0"],
        env=environment,
        cwd=tempfile.gettempdir(),
        stderr=subprocess.PIPE,
        text=True,
    )


def _ready_at(application: subprocess.Popen[str]) -> float:
    assert application.stderr is not None
    for line in application.stderr:
        if "ready: http" in line:
            return time.time()
    raise RuntimeError(f"the application ended with {application.wait()}")


async def _until_settled(engine: sa.ext.asyncio.AsyncEngine, since: float) -> float:
    while True:
        statuses = await _statuses(engine)
        if not statuses["Queued"] + statuses["Processing"]:
            return time.time() - since
        if time.time() - since > PATIENCE_SECONDS:
            raise TimeoutError(f"not done within {PATIENCE_SECONDS} s: {dict(statuses)}")
        await asyncio.sleep(0.1)


async def _statuses(engine: sa.ext.asyncio.AsyncEngine) -> Counter[str]:
    async with engine.connect() as connection:
        rows = await connection.execute(
            sa.text("SELECT hubspot_processing_status::text, count(*) FROM contacts GROUP BY 1")
        )
        return Counter(dict(tuple(row) for row in rows))


def _peak_mb(pid: int) -> float:
    """The most that the process ever had in memory; where the system does not tell, what it has now."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 1024
    except (OSError, IndexError):
        return psutil.Process(pid).memory_info().rss / 2**20


def show(result: Result) -> None:
    table = Table(title=f"Push of {result.contacts:,} contacts", title_justify="left", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for name, value in asdict(result).items():
        if name != "contacts":
            table.add_row(name.replace("_", " "), f"{value:,}" if isinstance(value, int | float) else str(value))
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main())
