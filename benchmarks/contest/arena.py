"""The arena: one PostgreSQL server for all, a fresh database for every run, and the processes that play in it."""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Self

import asyncpg

from contest.field import BENCHMARKS, Entry
from contest.tally import Tally
from crm_sync.embedded_postgres import EmbeddedPostgres

#: All that differs from initdb's defaults: fsync, synchronous_commit, full_page_writes and autovacuum are on.
SETTINGS = {"shared_buffers": "1GB", "max_wal_size": "4GB"}
_PREPARE_SECONDS = 900
_END_SECONDS = 30


class Failed(Exception):
    """A contender's process did not do what it was told; the text is its last words."""


class Player:
    """One process of a contender, told what to do over its standard input."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self.process = process
        self._log = log

    async def ready(self) -> None:
        assert self.process.stdout
        line = await asyncio.wait_for(self.process.stdout.readline(), _END_SECONDS)
        if line.strip() != b"ready":
            raise Failed(self._last_words())

    async def say(self, word: str) -> None:
        assert self.process.stdin
        self.process.stdin.write(f"{word}\n".encode())
        await self.process.stdin.drain()

    async def end(self, seconds: float = _END_SECONDS) -> dict[str, Any]:
        """Wait for its end; returns what it said at last. Raises `Failed`."""
        try:
            out, _ = await asyncio.wait_for(self.process.communicate(), seconds)
        except TimeoutError:
            self.kill()
            raise Failed(f"did not end within {seconds:.0f} s: {self._last_words()}") from None
        if self.process.returncode:
            raise Failed(self._last_words())
        return json.loads(out.splitlines()[-1])

    def kill(self) -> None:
        if self.process.returncode is None:
            self.process.kill()

    def has_died(self) -> bool:
        return self.process.returncode is not None

    def _last_words(self) -> str:
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it gave no reason"


class Arena:
    """Use `Arena.open()`."""

    def __init__(self, server: EmbeddedPostgres, folder: Path) -> None:
        self._server = server
        self._folder = folder
        self._made: set[str] = set()
        self._about: dict[str, dict[str, Any]] = {}

    @classmethod
    @contextmanager
    def open(cls) -> Iterator[Self]:
        with tempfile.TemporaryDirectory(prefix="bench-queues-") as name:
            folder = Path(name)
            server = EmbeddedPostgres(folder / "server", parameters=SETTINGS).start()
            try:
                yield cls(server, folder)
            finally:
                server.stop(delete=True)

    def dsn(self, database: str) -> str:
        return self._server.url(database).set(drivername="postgresql").render_as_string(hide_password=False)

    @asynccontextmanager
    async def connect(self, database: str = "postgres") -> AsyncIterator[Any]:
        connection = await asyncpg.connect(self.dsn(database))
        try:
            yield connection
        finally:
            await connection.close(timeout=_END_SECONDS)

    # -- databases ------------------------------------------------------------------------------------------------

    async def fresh(self, entry: Entry, jobs: int, *, once: bool = False) -> str:
        """A new database with that many jobs waiting, vacuumed, the server checkpointed; returns its name.

        The first of a kind is made by the contender itself and, unless this is for `once`, kept as a template.
        """
        options = [name for name in ("order", "notify") if entry.arguments.get(name)]
        template = "_".join(["template", entry.module, *options, str(jobs)])
        if once:
            name = template.replace("template", "once")
            await self._make(name, entry, jobs)
            return name
        if template not in self._made:
            await self._make(template, entry, jobs)
            self._made.add(template)
        name = template.replace("template", "run")
        async with self.connect() as connection:
            await connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
            await connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
        await self.settle(name)
        return name

    async def settle(self, database: str) -> None:
        """Whatever happened before, the next run begins with a vacuumed table and nothing for the server to write."""
        async with self.connect(database) as connection:
            await connection.execute("VACUUM (ANALYZE)", timeout=_PREPARE_SECONDS)
            await connection.execute("CHECKPOINT", timeout=_PREPARE_SECONDS)

    async def drop(self, *databases: str) -> None:
        async with self.connect() as connection:
            for database in databases:
                await connection.execute(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")
                self._made.discard(database)

    async def _make(self, name: str, entry: Entry, jobs: int) -> None:
        await self.drop(name)
        async with self.connect() as connection:
            await connection.execute(f"CREATE DATABASE {name}")
        await (await self.start(entry, "install", name)).end(_PREPARE_SECONDS)
        if jobs:
            await (await self.start(entry, "fill", name, jobs=jobs)).end(_PREPARE_SECONDS)
        await self.settle(name)

    # -- processes ------------------------------------------------------------------------------------------------

    async def start(self, entry: Entry, role: str, database: str, **arguments: Any) -> Player:
        log = self._folder / f"{entry.module}.log"
        with log.open("w") as errors:
            process = await asyncio.create_subprocess_exec(
                *entry.command(role, dsn=self.dsn(database), **arguments),
                cwd=BENCHMARKS,
                env=entry.environment(),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                limit=2**24,
            )
        return Player(process, log)

    async def about(self, entry: Entry) -> dict[str, Any]:
        """{"counts_sql": …, "versions": {package: version}}"""
        if entry.module not in self._about:
            self._about[entry.module] = await (await self.start(entry, "about", "postgres")).end()
        return self._about[entry.module]

    async def counts(self, entry: Entry, connection: Any) -> tuple[int, int]:
        """(jobs not finished, jobs finished), as the contender's own tables say."""
        unfinished, finished = await connection.fetchrow((await self.about(entry))["counts_sql"])
        return unfinished, finished

    def tally(self, jobs: int) -> tuple[Path, Tally]:
        path = self._folder / f"{time.monotonic_ns()}.tally"
        return path, Tally(path, jobs, create=True)

    async def server_version(self) -> str:
        async with self.connect() as connection:
            return str(await connection.fetchval("SHOW server_version"))

    def forget(self, *tallies: Path) -> None:
        for path in tallies:
            os.unlink(path)
