"""PgBouncer in transaction mode before a server, as a process of the test's own."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

from crm_sync.database import parse_database_url

HOW_TO_GET_IT = "PgBouncer is not installed: `apt-get install pgbouncer`, or your system's package of that name"
_CONFIG = """
[databases]
* = {server}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {folder}/users
pool_mode = transaction
default_pool_size = 5
server_round_robin = 1
logfile = {folder}/pgbouncer.log
"""


def find_pgbouncer() -> str | None:
    return shutil.which("pgbouncer", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin")


class Pooler:
    """Use as an async context manager; `url` is the way to the database through it. Runs as the server's own user.

    Connections are dealt out in turn, so that two transactions of one client seldom meet the same session.
    """

    def __init__(self, url: str, folder: Path) -> None:
        self._target = parse_database_url(url)
        self._folder = folder
        self._process: asyncio.subprocess.Process | None = None
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]

    @property
    def url(self) -> str:
        away = self._target.difference_update_query(["host", "port"]).set(host="127.0.0.1", port=self._port)
        return away.render_as_string(hide_password=False)

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self._configure)
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.kill()

    async def start(self) -> None:
        program = find_pgbouncer()
        assert program is not None, HOW_TO_GET_IT
        owner = self._folder.stat().st_uid
        identity = {} if owner == os.geteuid() else {"user": owner, "extra_groups": []}
        self._process = await asyncio.create_subprocess_exec(
            program,
            "-q",
            str(self._folder / "pgbouncer.ini"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **identity,
        )
        async with asyncio.timeout(10):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", self._port)
                except OSError:
                    assert self._process.returncode is None, (self._folder / "pgbouncer.log").read_text()
                    await asyncio.sleep(0.01)
                else:
                    writer.transport.abort()
                    return

    async def kill(self) -> None:
        """SIGKILL: every connection through it breaks at once."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    def _configure(self) -> None:
        host = self._target.query.get("host") or self._target.host or "127.0.0.1"
        port = self._target.query.get("port") or self._target.port or 5432
        user, password = self._target.username or "postgres", self._target.password or ""
        server = f"host={host} port={port} user={user}" + (f" password={password}" if password else "")
        (self._folder / "pgbouncer.ini").write_text(_CONFIG.format(server=server, port=self._port, folder=self._folder))
        (self._folder / "users").write_text(f'"{user}" "{password}"\n')
        if str(host).startswith("/"):  # the socket's folder is its owner's alone
            owner = Path(str(host)).stat().st_uid
            for path in (self._folder, *self._folder.iterdir()):
                os.chown(path, owner, -1)
