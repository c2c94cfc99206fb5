"""DatabaseClock: the database's time without asking it each time. Workers' own clocks may differ from each other."""

from __future__ import annotations

import time
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine


class DatabaseClock:
    """What the database's clock said at `at`, and the time that has passed since by the monotonic one."""

    def __init__(self, at: datetime) -> None:
        self._at = at
        self._began = time.monotonic()

    @classmethod
    async def of(cls, engine: AsyncEngine) -> DatabaseClock:
        async with engine.connect() as connection:
            return cls((await connection.execute(sa.select(sa.func.clock_timestamp()))).scalar_one())

    def now(self) -> datetime:
        return self._at + timedelta(seconds=time.monotonic() - self._began)
