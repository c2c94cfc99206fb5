"""PostgreSQL stopped, crashed and read-only under load; its disk full. A server of the test's own."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from tests.faults.chaos import Chaos, Plan
from tests.faults.conftest import orders_for
from tests.faults.jobs import Table
from tests.faults.oracle import judge
from tests.faults.processes import Crowd, eventually
from tests.faults.server import PrivateServer

ROWS = 20


@pytest.fixture
def folder() -> Iterator[Path]:
    """One that any system user may enter, which pytest's own is not."""
    path = Path(tempfile.mkdtemp(prefix="jobloop-faults-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
async def server(folder: Path) -> AsyncIterator[PrivateServer]:
    async with PrivateServer(folder) as server:
        yield server


@pytest.fixture
async def own_jobs(server: PrivateServer) -> AsyncIterator[Table]:
    table = await Table.create(await server.fresh_database())
    yield table
    await table.close()


@pytest.mark.parametrize("mode", ["fast", "immediate"])
async def test_handlers_that_run_while_the_server_is_away_settle_when_it_is_back(
    server: PrivateServer, own_jobs: Table, crowd: Crowd, mode: str
) -> None:
    """Their work is done; nothing is done twice, and nothing is counted as failed."""
    await own_jobs.enqueue(ROWS)
    worker = await crowd.start(orders_for(own_jobs, concurrency=ROWS, batch_size=ROWS, is_gated=True))
    await worker.says("started", times=ROWS)
    await server.stop(mode)
    worker.go()
    await server.start()
    await eventually(lambda: is_all(own_jobs, "Complete"), "every row is settled after the restart")
    report = await worker.stop()

    assert (report["completed"], report["retried"], report["lost"]) == (ROWS, 0, 0)
    verdict = await judge(own_jobs)
    assert verdict.violations == []
    assert verdict.counts["starts"] == ROWS


async def test_server_that_is_stopped_and_crashed_again_and_again_loses_nothing(
    server: PrivateServer, own_jobs: Table, crowd: Crowd
) -> None:
    seed = int(os.environ.get("CHAOS_SEED") or random.SystemRandom().randrange(1 << 31))
    print(f"CHAOS_SEED={seed}")
    plan = Plan(
        seed=seed,
        seconds=7,
        workers=2,
        rows=60,
        user_pause_seconds=0.01,
        kill_every_seconds=3,
        freeze_every_seconds=60,
    )
    chaos = Chaos(own_jobs, plan, crowd)
    chaos.restart, chaos.restart_every_seconds = server.restart_somehow, 1.5
    verdict = await chaos.run()
    print(verdict)

    assert verdict.violations == []
    assert sum(count for what, count in verdict.counts.items() if what.startswith("server restarts")) >= 1


async def test_read_only_database_is_waited_for_and_said(server: PrivateServer, own_jobs: Table, crowd: Crowd) -> None:
    """As after a failover, on the connections to the server that is no longer the primary."""
    await own_jobs.enqueue(ROWS)
    worker = await crowd.start(orders_for(own_jobs, concurrency=ROWS, batch_size=ROWS, is_gated=True, probe_seconds=1))
    await worker.says("started", times=ROWS)
    await own_jobs.sql("ALTER SYSTEM SET default_transaction_read_only = on")
    await own_jobs.sql("SELECT pg_reload_conf()")
    worker.go()

    for step in ("cannot claim", "settle failed"):
        await worker.logs(step, "read-only transaction")
    assert await own_jobs.statuses() == {"Processing": ROWS}

    await own_jobs.sql("ALTER SYSTEM RESET default_transaction_read_only")
    await own_jobs.sql("SELECT pg_reload_conf()")
    await eventually(lambda: is_all(own_jobs, "Complete"), "every row is settled when it may write again")
    await own_jobs.enqueue(5, first=ROWS + 1)
    await eventually(lambda: is_all(own_jobs, "Complete", ROWS + 5), "new rows are claimed again")
    report = await worker.stop()

    assert (report["lost"], report["retried"]) == (0, 0)
    verdict = await judge(own_jobs)
    assert verdict.violations == []
    assert verdict.counts["starts"] == ROWS + 5


async def test_full_disk_is_waited_for_and_said(folder: Path, crowd: Crowd) -> None:
    """The table's tablespace is a small filesystem, which somebody else fills up."""
    small = folder / "small"
    await asyncio.to_thread(mount_small_filesystem, small)
    try:
        async with PrivateServer(folder) as server:
            await fill_up_and_recover(server, small, crowd)
    finally:
        await asyncio.to_thread(unmount, small)


async def fill_up_and_recover(server: PrivateServer, small: Path, crowd: Crowd) -> None:
    account = server.postgres._at_home.account
    await asyncio.to_thread(account.own, small)
    jobs = await Table.create(await server.fresh_database())
    await jobs.sql(f"CREATE TABLESPACE small LOCATION '{small}'")
    await jobs.sql("ALTER TABLE jobs SET TABLESPACE small")
    await jobs.sql("CREATE TABLE ballast (filler text) TABLESPACE small")
    await jobs.enqueue(200)
    worker = await crowd.start(orders_for(jobs, concurrency=50, batch_size=50, is_gated=True))
    await worker.says("started", times=50)
    with pytest.raises(asyncpg.DiskFullError):
        await jobs.sql("INSERT INTO ballast SELECT i FROM generate_series(1, 1000000) i")
    worker.go()

    await worker.logs("settle failed", "No space left on device")
    await jobs.sql("DROP TABLE ballast")
    await eventually(lambda: is_all(jobs, "Complete", 200), "every row is settled when there is room again")
    report = await worker.stop()

    assert (report["completed"], report["lost"], report["retried"]) == (200, 0, 0)
    verdict = await judge(jobs)
    assert verdict.violations == []
    assert verdict.counts["starts"] == 200
    await jobs.close()


def mount_small_filesystem(path: Path) -> None:
    path.mkdir()
    if os.geteuid() != 0:
        pytest.skip("a full disk needs a small filesystem to fill: run the tests as root, who may mount one")
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(path)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(
            f"a full disk needs a small filesystem to fill, and none can be mounted here: {done.stderr.strip()}"
        )


def unmount(path: Path) -> None:
    subprocess.run(["umount", str(path)], capture_output=True, check=False)


async def is_all(jobs: Table, status: str, rows: int = ROWS) -> bool:
    try:
        return await jobs.statuses() == {status: rows}
    except Exception:  # the server may still be coming up
        return False
