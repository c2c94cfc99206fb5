"""A PostgreSQL of the test's own, to be stopped, killed and started again."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self
from uuid import uuid4

from crm_sync.embedded_postgres import EmbeddedPostgres
from tests.faults.jobs import connect


class PrivateServer:
    """Use as an async context manager. `folder` must be one that any system user may enter."""

    def __init__(self, folder: Path, parameters: Mapping[str, str] | None = None) -> None:
        self.postgres = EmbeddedPostgres(folder, parameters=parameters)

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self.postgres.start)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.postgres.stop, delete=True)

    async def fresh_database(self) -> str:
        name = f"jobloop_test_{uuid4().hex}"
        administrator = await connect(self._url("postgres"), who="administrator")
        await administrator.execute(f"CREATE DATABASE {name}")
        await administrator.close()
        return self._url(name)

    async def stop(self, mode: str = "fast") -> None:
        """`fast` ends every session, `immediate` is a crash: what was not committed is recovered from the log."""
        status = await asyncio.to_thread(self.postgres._pg_ctl, "stop", "-m", mode)
        assert status == 0, (self.postgres.directory / "server.log").read_text()[-2000:]

    async def start(self) -> None:
        await asyncio.to_thread(self.postgres._launch)

    async def restart_somehow(self, dice: random.Random) -> str:
        """Stop it in one way or the other, leave it down for a moment, start it; returns what to count this as."""
        mode = dice.choice(["fast", "immediate"])
        await self.stop(mode)
        await asyncio.sleep(dice.uniform(0, 0.5))
        await self.start()
        return f"server restarts ({mode})"

    def _url(self, database: str) -> str:
        return self.postgres.url(database).render_as_string(hide_password=False)
