"""Pulls of an emulator into a migrated database."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from crm_sync.hubspot import Bucket, Budget, HubSpotClient, LocalRateLimiter, RetryRules
from crm_sync.pull.report import StreamReport
from crm_sync.pull.service import PullOptions, PullService
from crm_sync.pull.stream import Stream
from crm_sync.pull.streams import STANDARD
from crm_sync.pull.wish import Wants, Wish
from hubspot_emulator import EmulatorServer
from tests.pull.mirror import differences

#: What a search index may be behind by, and more: after it, a run sees what was done before.
PAST_THE_LAG_SECONDS = 90.0
CRM = ("contacts", "companies", "deals", "notes")


@dataclass
class Pulls:
    emulator: EmulatorServer
    engine: AsyncEngine
    api_version: str = "v3"
    options: PullOptions = field(default_factory=PullOptions)
    hubspot: HubSpotClient | None = None
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    @asynccontextmanager
    async def client(self) -> AsyncIterator[HubSpotClient]:
        """One that waits neither between its attempts nor for a free place."""
        async with HubSpotClient(
            self.emulator.url,
            self.emulator.token,
            api_version=self.api_version,
            rate_limiter=LocalRateLimiter(dict.fromkeys(Bucket, Budget(100_000, 1.0))),
            retries=RetryRules(scale=0),
        ) as client:
            yield client

    async def pull(self, stream: str, wants: Wants = Wants.CHANGES, **wish: Any) -> StreamReport:
        if self.hubspot is None:
            self.hubspot = await self.stack.enter_async_context(self.client())
        hubspot = self.hubspot
        return await PullService(lambda _: hubspot, self.engine, self.options).run(stream, Wish(wants, **wish))

    async def full(self, *streams: str, **wish: Any) -> dict[str, StreamReport]:
        return {stream: await self.pull(stream, Wants.FULL, **wish) for stream in streams}

    async def changes(self, *streams: str, **wish: Any) -> dict[str, StreamReport]:
        """An incremental run of each, when the index has caught up."""
        await self.let_time_pass()
        return {stream: await self.pull(stream, **wish) for stream in streams}

    async def let_time_pass(self, seconds: float = PAST_THE_LAG_SECONDS) -> None:
        """In HubSpot; the client hears of it."""
        with self.emulator.account.lock:
            self.emulator.clock.advance(seconds)
        if self.hubspot is not None:
            await self.hubspot.account()

    async def release(self) -> None:
        """The holds of processes that are gone have ended, as they do in a minute."""
        await self.sql("UPDATE sync_cursors SET held_until = now() - interval '1 second' WHERE holder IS NOT NULL")

    async def sql(self, statement: str, **binds: Any) -> list[Any]:
        async with self.engine.begin() as connection:
            result = await connection.execute(sa.text(statement), binds)
            return list(result.all()) if result.returns_rows else []

    async def cursor(self, stream: str) -> Any:
        (row,) = await self.sql("SELECT * FROM sync_cursors WHERE stream = :stream", stream=stream)
        return row

    async def row(self, stream: str, record_id: str | int) -> Any:
        found = await self.sql(f"SELECT * FROM hubspot.{stream} WHERE hubspot_id = :id", id=int(record_id))
        return found[0] if found else None

    async def dump(self) -> dict[str, list[Any]]:
        """Every table, as text."""
        tables = await self.sql(
            "SELECT table_schema, table_name FROM information_schema.tables WHERE table_type = 'BASE TABLE'"
            " AND table_schema IN ('public', 'hubspot')"
        )
        return {
            f"{schema}.{name}": sorted(str(row) for row in await self.sql(f'SELECT * FROM "{schema}"."{name}"'))
            for schema, name in tables
        }

    async def differences(self, *streams: str | Stream) -> list[str]:
        chosen: Iterable[Stream] = (STANDARD[one] if isinstance(one, str) else one for one in streams)
        return await differences(self.emulator, self.engine, chosen)

    async def assert_equal(self, *streams: str | Stream) -> None:
        """The mirror is what the portal holds, and nothing waits to be asked for."""
        assert await self.differences(*streams) == []
        for one in streams:
            name = one if isinstance(one, str) else one.name
            assert not await self.sql(f"SELECT hubspot_id FROM hubspot.{name} WHERE missing_since IS NOT NULL")
            cursor = await self.cursor(name)
            assert (cursor.passes, cursor.holder) == ([], None)
