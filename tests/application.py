"""The real application for tests: settings on a fresh database, its lifespan, contacts put in by plain SQL."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import httpx
from fastapi import FastAPI
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from crm_sync.settings import Settings
from crm_sync.web.app import create_app
from crm_sync.web.room import Room
from hubspot_emulator import EmulatorServer

T = TypeVar("T")

#: As short as a scheduler's interval gets here; the first cycle comes with the start anyway.
SHORT_INTERVAL_MINUTES = 0.3 / 60
_PATIENCE_SECONDS = 60.0  # of a busy machine: it bounds how long a failure takes, and no good run


class App:
    """A running application: its parts, and a client of its endpoints."""

    def __init__(self, app: FastAPI, http: httpx.AsyncClient) -> None:
        self.app = app
        self.http = http

    @property
    def room(self) -> Room:
        room: Room = self.app.state.room
        return room


@asynccontextmanager
async def running_app(settings: Settings) -> AsyncIterator[App]:
    app = create_app(settings)
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://crm-sync.test") as http,
    ):
        yield App(app, http)


def make_settings(url: str, hubspot: EmulatorServer | None = None, **values: Any) -> Settings:
    """Settings for a test, whatever the environment says; with the emulator's address and token if given."""
    chosen: dict[str, Any] = {
        "DATABASE_URL": url,
        "HUBSPOT_SYNC_SCHEDULER_INTERVAL_MINUTES": SHORT_INTERVAL_MINUTES,
        "HUBSPOT_REQUESTS_PER_10_SECONDS": 10_000,
    }
    if hubspot is not None:
        chosen |= {"HUBSPOT_API_BASE_URL": hubspot.url, "HUBSPOT_API_KEY": hubspot.token}
    surroundings = {name: os.environ.pop(name) for name in Settings.model_fields if name in os.environ}
    try:
        return Settings(_env_file=None, **(chosen | values))  # type: ignore[call-arg]
    finally:
        os.environ.update(surroundings)


async def eventually(look: Callable[[], Awaitable[T]], is_so: Callable[[T], bool]) -> T:
    """What `look` sees once it `is_so`; fails with what it saw last when that takes too long."""
    deadline = asyncio.get_running_loop().time() + _PATIENCE_SECONDS
    while not is_so(seen := await look()):
        assert asyncio.get_running_loop().time() < deadline, f"not so within {_PATIENCE_SECONDS:g} s: {seen!r}"
        await asyncio.sleep(0.02)
    return seen


class Contacts:
    """The contacts table, as any SQL client sees it."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine

    async def add(self, count: int, *, queued: bool = True) -> None:
        """Contacts `person0@example.com` … with names, phones and ids; Queued in the same breath."""
        await self.execute(
            """
            INSERT INTO contacts (email, name, phone_number, domain_id, page_id)
            SELECT format('person%s@example.com', n), format('Ada Number%s', n), format('+44 20 7946 %s', 1000 + n),
                   gen_random_uuid(), gen_random_uuid()
            FROM generate_series(0, :count - 1) AS n
            """,
            count=count,
        )
        if queued:
            await self.enqueue()

    async def enqueue(self) -> None:
        await self.execute("UPDATE contacts SET hubspot_sync_status = 'Queued', hubspot_processing_status = 'Queued'")

    async def execute(self, statement: str, **binds: Any) -> None:
        async with self.engine.begin() as connection:
            await connection.execute(text(statement), binds)

    async def rows(self) -> list[dict[str, Any]]:
        async with self.engine.connect() as connection:
            rows = await connection.execute(text("SELECT *, now() AS now FROM contacts ORDER BY email, id"))
            return [dict(row) for row in rows.mappings()]

    async def only(self) -> dict[str, Any]:
        (row,) = await self.rows()
        return row

    async def all_in(self, status: str) -> list[dict[str, Any]]:
        """The rows, once all of them have that processing status."""
        return await eventually(self.rows, lambda rows: all(row["hubspot_processing_status"] == status for row in rows))
