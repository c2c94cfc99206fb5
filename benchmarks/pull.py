"""The pull against the emulator: a million contacts, transform and write alone, the calls of a free tier, by stream.

    make bench ONLY=benchmarks/pull.py                                  # every part, about six minutes
    make bench ONLY=benchmarks/pull.py ARGS="write --records 200000"
    make bench ONLY=benchmarks/pull.py ARGS="million --records 1000000"

The puller is a process of its own, so its memory and its processor time are its own; the emulator and PostgreSQL run
beside it on the same machine. Rates are this machine's; what does not depend on it are memory, calls and shares.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import platform
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import sqlalchemy as sa
from rich.console import Console
from rich.table import Table

from crm_sync import migrate
from crm_sync.database import create_engine
from crm_sync.embedded_postgres import EmbeddedPostgres
from crm_sync.hubspot import HubSpotClient, LocalRateLimiter
from crm_sync.hubspot.exchange import Bucket
from crm_sync.hubspot.objects import Record
from crm_sync.hubspot.ratelimit import DEFAULT_BUDGETS, Budget
from crm_sync.pull.batch import Batch
from crm_sync.pull.cursor import Cursors
from crm_sync.pull.engine import PullEngine
from crm_sync.pull.mirror.transform import Transform
from crm_sync.pull.mirror.writer import MirrorWriter
from crm_sync.pull.report import StreamReport
from crm_sync.pull.streams import STANDARD
from crm_sync.pull.wish import Wants, Wish
from hubspot_emulator import EmulatorServer

RESULTS = Path(__file__).parent / "results"
PARTS = ("write", "million", "budget", "streams")
CONTACTS = STANDARD["contacts"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", choices=(*PARTS, []), help="default: all")
    parser.add_argument("--records", type=int, help="of `write` (200,000) and `million` (1,000,000)")
    parser.add_argument("--seconds", type=float, default=60, help="that `budget` runs for (60)")
    arguments = parser.parse_args()
    found: dict[str, Any] = {}
    with _postgres() as url:
        for part in arguments.parts or PARTS:
            found[part] = {"at": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC", "load": os.getloadavg()[0]}
            measured = _MEASURES[part](url, arguments)
            found[part] |= measured
            _show(part, found[part])
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / "pull.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    machine = f"{psutil.cpu_count()} CPUs, {platform.machine()}, Python {platform.python_version()}"
    path.write_text(json.dumps({**known, **found, "machine": machine}, indent=2) + "\n")
    return 0


# -- transform and write alone ---------------------------------------------------------------------------------------


def write(url: sa.URL, arguments: argparse.Namespace) -> dict[str, Any]:
    """Pages of 100 from memory, 1,000 records at a time; first into an empty mirror, then again, all of them changed,
    then all the same."""
    return asyncio.run(_write(url, arguments.records or 200_000))


async def _write(url: sa.URL, count: int) -> dict[str, Any]:
    engine = create_engine(url)
    found: dict[str, Any] = {"records": count}
    try:
        await _empty(engine)
        for name, version in (("inserted", 0), ("changed", 1), ("unchanged", 1)):
            records = list(_records(count, version))
            report = StreamReport("contacts")
            writer = MirrorWriter(engine, CONTACTS, Transform(CONTACTS.table), report)
            async with Cursors(engine).held("contacts") as cursor:
                began, cpu = time.perf_counter(), time.process_time()
                for start in range(0, count, 1_000):
                    part = tuple(records[start : start + 1_000])
                    batch = Batch(datetime.now(UTC), part, {"ranges": [[start, 2**63 - 1, None]]})
                    await writer.write(batch, [], cursor, {"position": {"list": batch.position}})
                seconds = time.perf_counter() - began
            assert (report.inserted, report.updated, report.unchanged) == {
                "inserted": (count, 0, 0),
                "changed": (0, count, 0),
                "unchanged": (0, 0, count),
            }[name]
            found[f"{name}, records/s"] = round(count / seconds)
            found[f"{name}, Python µs a record"] = round((time.process_time() - cpu) / count * 1e6, 1)
    finally:
        await engine.dispose()
    return found


def _records(count: int, version: int) -> Iterator[Record]:
    """Contacts with twenty properties."""
    created = datetime(2025, 1, 1, tzinfo=UTC)
    for number in range(count):
        changed = created + timedelta(seconds=number + version * 10_000_000)
        yield Record(
            str(1_000 + number),
            {
                "email": f"person{number}@example.com",
                "firstname": "Ada",
                "lastname": f"Number{version}",
                "phone": f"+44 20 7946 {number}",
                "company": "Example",
                "jobtitle": "Engineer",
                "lifecyclestage": "lead",
                "hs_lead_status": "NEW",
                "hubspot_owner_id": str(number % 100),
                "city": "London",
                "country": "United Kingdom",
                "zip": "EC1A 1BB",
                "address": f"{number} Example Street",
                "website": "https://www.example.com",
                "num_associated_deals": "3",
                "hs_email_domain": "example.com",
                "createdate": created.isoformat(),
                "lastmodifieddate": changed.isoformat(),
                "hs_object_id": str(1_000 + number),
                "fax": None,
            },
            created,
            changed,
        )


# -- a million contacts ----------------------------------------------------------------------------------------------


def million(url: sa.URL, arguments: argparse.Namespace) -> dict[str, Any]:
    """A full pull through HTTP without limits. The emulator too is a process of its own."""
    count = arguments.records or 1_000_000
    with _emulator(count) as (address, token):
        found = _puller(url, address, token, 0, None)
    assert found["fetched"] == count, found
    return found


# -- a free tier's limits --------------------------------------------------------------------------------------------


def budget(url: sa.URL, arguments: argparse.Namespace) -> dict[str, Any]:
    """100 calls in any 10 seconds: how much of that is used, by how long HubSpot takes for an answer."""
    found: dict[str, Any] = {}
    seconds = arguments.seconds
    for answer_ms in (0, 200, 400):
        with _emulator(int(seconds * 1_300), tier="free", answer_ms=answer_ms) as (address, token):
            run = _puller(url, address, token, 100, seconds)
        allowed = 100 + 10 * (seconds - 10)  # any 10 seconds hold at most 100
        found[f"answers after {answer_ms} ms: share of allowed calls"] = round(run["calls"] / allowed, 3)
        found[f"answers after {answer_ms} ms: records/s"] = run["records/s"]
        found[f"answers after {answer_ms} ms: % of a core"] = run["% of a core"]
    return found


# -- calls by stream -------------------------------------------------------------------------------------------------


def streams(url: sa.URL, _arguments: argparse.Namespace) -> dict[str, Any]:
    """Calls of a full pull of the seeded portal, then of an incremental one, with definitions known from before."""
    return asyncio.run(_streams(url))


async def _streams(url: sa.URL) -> dict[str, Any]:
    engine = create_engine(url)
    found: dict[str, Any] = {}
    try:
        await _empty(engine)
        with EmulatorServer(tier="unlimited") as hubspot:
            hubspot.seed(1)
            async with HubSpotClient(hubspot.url, hubspot.token, rate_limiter=_limiter(0)) as client:
                pull = PullEngine(client, engine, STANDARD)
                for kind, wish in (("first", Wish()), ("full", Wish(Wants.FULL)), ("incremental", Wish())):
                    for stream in STANDARD.values():
                        report = StreamReport(stream.name)
                        await pull.run(stream, wish, report)
                        found[f"{stream.name}, {kind}"] = f"{report.fetched:,} records, {report.calls} calls" + (
                            f", {report.calls_per_1000:.1f} a thousand" if report.fetched >= 1000 else ""
                        )
    finally:
        await engine.dispose()
    return found


# -- processes -------------------------------------------------------------------------------------------------------


@contextmanager
def _emulator(contacts: int, *, tier: str = "unlimited", answer_ms: int = 0) -> Iterator[tuple[str, str]]:
    """An emulator with so many contacts, in a process of its own."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(there, contacts, tier, answer_ms), daemon=True)
    process.start()
    try:
        yield here.recv()
    finally:
        here.send("stop")
        process.join(30)


def _serve(pipe: Any, contacts: int, tier: str, answer_ms: int) -> None:
    with EmulatorServer(tier=tier) as hubspot:
        table = hubspot.portal.table("contacts")
        at_ms = 1_735_689_600_000
        for number in range(contacts):
            table.add({"email": f"person{number}@example.com", "firstname": "Ada", "lastname": "Example"}, at_ms)
        if answer_ms:
            hubspot.fault("slow", times=0, seconds=answer_ms / 1000)
        pipe.send((hubspot.url, hubspot.token))
        pipe.recv()


def _puller(url: sa.URL, address: str, token: str, calls: int, seconds: float | None) -> dict[str, Any]:
    """A full pull of contacts in a process of its own, for so many seconds at most."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    text = url.render_as_string(hide_password=False)
    process = context.Process(target=_pull, args=(there, text, address, token, calls, seconds))
    process.start()
    found: dict[str, Any] = here.recv()
    process.join(30)
    return found


def _pull(pipe: Any, url: str, address: str, token: str, calls: int, seconds: float | None) -> None:
    pipe.send(asyncio.run(_pulled(url, address, token, calls, seconds)))


async def _pulled(url: str, address: str, token: str, calls: int, seconds: float | None) -> dict[str, Any]:
    engine = create_engine(url)
    report = StreamReport("contacts")
    await _empty(engine)
    async with HubSpotClient(address, token, rate_limiter=_limiter(calls)) as client:
        await client.account()
        before_mb, cpu = _peak_mb(), time.process_time()
        began = time.perf_counter()
        pull = PullEngine(client, engine, STANDARD)
        try:
            async with asyncio.timeout(seconds):
                await pull.run(CONTACTS, Wish(Wants.FULL), report)
        except TimeoutError:
            pass
        took = time.perf_counter() - began
    await engine.dispose()
    return {
        "fetched": report.fetched,
        "calls": report.calls,
        "seconds": round(took, 1),
        "records/s": round(report.fetched / took),
        "% of a core": round(100 * (time.process_time() - cpu) / took),
        "memory at the start, MB": round(before_mb),
        "peak above it, MB": round(_peak_mb() - before_mb, 1),
    }


def _limiter(calls: int) -> LocalRateLimiter:
    """0: without limits."""
    free = Budget(1_000_000, 1.0)
    if calls:
        return LocalRateLimiter({**DEFAULT_BUDGETS, Bucket.BURST: Budget(calls, 10.0)})
    return LocalRateLimiter(dict.fromkeys(Bucket, free))


def _peak_mb() -> float:
    """Of this program alone: `getrusage` would count what started it, too."""
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024


@contextmanager
def _postgres() -> Iterator[sa.URL]:
    with tempfile.TemporaryDirectory(prefix="bench-pull-") as folder:
        postgres = EmbeddedPostgres(Path(folder)).start()
        try:
            asyncio.run(migrate.upgrade(postgres.url()))
            yield postgres.url()
        finally:
            postgres.stop(delete=True)


async def _empty(engine: sa.ext.asyncio.AsyncEngine) -> None:
    names = ", ".join(f"hubspot.{stream.table.name}" for stream in STANDARD.values())
    async with engine.begin() as connection:
        await connection.execute(sa.text(f"TRUNCATE {names}, hubspot.associations, hubspot.properties, sync_cursors"))


def _show(part: str, found: dict[str, Any]) -> None:
    table = Table(title=f"{part}: {_MEASURES[part].__doc__}", title_justify="left", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for name, value in found.items():
        table.add_row(name, f"{value:,}" if isinstance(value, int) else str(value))
    Console().print(table)


_MEASURES = {"write": write, "million": million, "budget": budget, "streams": streams}

if __name__ == "__main__":
    sys.exit(main())
