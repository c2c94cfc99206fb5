"""How much of one token's limit several processes use together, and how often HubSpot refuses a call of theirs.

    python -m benchmarks.hubspot_limits [--processes 3] [--windows 5]

Each process is another interpreter, the database a private PostgreSQL, HubSpot the emulator's free tier: 100 calls in
any 10 seconds.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from datetime import datetime
from pathlib import Path

from crm_sync import migrate
from crm_sync.embedded_postgres import EmbeddedPostgres
from hubspot_emulator import EmulatorServer

CALLS, WINDOW_SECONDS = 100, 10.0
ROOT = Path(__file__).parents[1]


async def measure(database_url: str, processes: int, windows: int) -> None:
    with EmulatorServer() as hubspot:
        command = [sys.executable, "-m", "tests.faults.hubspot_caller"]
        command += ["--hubspot", hubspot.url, "--database", database_url, "--token", hubspot.token]
        command += ["--calls", str(CALLS), "--window-seconds", str(WINDOW_SECONDS), "--searches", "0"]
        command += ["--concurrency", "10", "--seconds", str((windows + 1) * WINDOW_SECONDS)]
        running = [await asyncio.create_subprocess_exec(*command, cwd=ROOT) for _ in range(processes)]
        await asyncio.gather(*(process.wait() for process in running))
        calls = hubspot.calls()
    times = [datetime.fromisoformat(call.at).timestamp() for call in calls]
    apart = [later - at for at, later in zip(times, times[CALLS:], strict=False)]
    seconds = sum(apart) / len(apart)
    refused = sum(1 for call in calls if call.status == 429)
    print(
        f"{processes} processes, {len(calls)} calls: {CALLS} of them take {seconds:.2f} s on average, "
        f"{WINDOW_SECONDS / seconds:.1%} of the limit is used, {refused} are refused"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=3)
    parser.add_argument("--windows", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="jobloop-benchmark-") as directory:
        Path(directory).chmod(0o755)
        server = EmbeddedPostgres(Path(directory) / "data").start()
        try:
            asyncio.run(migrate.upgrade(server.url()))
            url = server.url().render_as_string(hide_password=False)
            asyncio.run(measure(url, options.processes, options.windows))
        finally:
            server.stop(delete=True)


if __name__ == "__main__":
    main()
