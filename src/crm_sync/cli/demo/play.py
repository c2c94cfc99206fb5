"""The demo from curtain to curtain."""

import asyncio
import os
import time
from pathlib import Path

import sqlalchemy as sa

from crm_sync import migrate
from crm_sync.cli.demo.bill import Bill, count_up
from crm_sync.cli.demo.curtain import Curtain
from crm_sync.cli.demo.stage import application, contacts_file, demo_settings, fresh_postgres
from crm_sync.intake import import_contacts
from crm_sync.operate import queue_status
from crm_sync.push import setup_properties
from crm_sync.runtime import Runtime
from crm_sync.settings import Settings
from hubspot_emulator import EmulatorServer

ENQUEUE = """\
UPDATE contacts
   SET hubspot_sync_status = 'Queued', hubspot_processing_status = 'Queued'"""
_POLL_SECONDS = 0.1


async def play(settings: Settings, file: Path | None, *, faults: bool) -> None:
    """Raises CrmSyncError. Ctrl-C ends it; nothing but the demo's own data directory was touched."""
    csv = contacts_file(file)
    data_dir = settings.DATA_DIR / "demo"
    curtain = Curtain()
    curtain.opens()
    with fresh_postgres(data_dir) as postgres, EmulatorServer() as hubspot:
        curtain.step("PostgreSQL", f"a private server in {_short(postgres.directory)}")
        await migrate.upgrade(postgres.url())
        curtain.step("Migrations", f"alembic upgrade head: revision {migrate.head()}")
        curtain.step("HubSpot", f"an emulated account on {hubspot.url}, free tier: at most 100 calls in 10 seconds")
        own = demo_settings(settings, data_dir, hubspot)
        runtime = Runtime(own, postgres.url())
        try:
            async with application(own) as (address, running):
                curtain.step("Application", f"crm-sync serve on {address}, its scheduler looks every second")
                made = await setup_properties(runtime.hubspot, runtime.property_names)
                names = ", ".join(step.name for step in made if step.kind == "property")
                curtain.step("Properties", f"crm-sync push setup: {names}")
                report = await import_contacts(runtime.engine, csv, rejected_path=data_dir / f"{csv.stem}.rejected.csv")
                curtain.imported(csv, report)
                if faults:
                    _lay_faults(hubspot)
                    curtain.step(
                        "Bad luck", "the emulator answers one call with a 502 page and one with 401, on purpose"
                    )
                calls_before = len(hubspot.calls())
                bill = await _push(runtime, curtain, running)
                bill.calls = len(hubspot.calls()) - calls_before
                bill.in_hubspot = len(hubspot.records("contacts"))
        finally:
            await runtime.aclose()
    curtain.closes(bill, f"DATA_DIR={_short(data_dir)}", is_usable=settings.DATABASE_URL is None)


async def _push(runtime: Runtime, curtain: Curtain, running: "asyncio.Task[None]") -> Bill:
    """Queue everything with plain SQL and watch until the application has settled every row."""
    curtain.sql(ENQUEUE)
    queue = runtime.contact_queue()
    began_at = time.monotonic()
    async with runtime.engine.begin() as connection:
        total = (await connection.execute(sa.text(ENQUEUE))).rowcount
    with curtain.progress(total) as progress:
        while True:
            status = await queue_status(runtime.engine, queue)
            progress(status)
            if status.queued + status.processing == 0:
                break
            if running.done():
                raise KeyboardInterrupt
            await asyncio.sleep(_POLL_SECONDS)
    return await count_up(runtime, time.monotonic() - began_at)


def _lay_faults(hubspot: EmulatorServer) -> None:
    """A broken gateway, which the client repeats at once, and a refusal, which the rows' own retry gets over."""
    hubspot.fault("502", path="*/batch/upsert", nth=4)
    hubspot.fault("401", path="*/batch/upsert", nth=9)


def _short(path: Path) -> str:
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative
