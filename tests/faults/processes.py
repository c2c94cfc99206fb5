"""Starting, stopping, freezing and killing workers, and waiting for what they do. Every wait has an end."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import psutil

from tests.faults.worker import Orders

ROOT = Path(__file__).resolve().parents[2]
LONGEST_SECONDS = 30.0
#: Words in a worker's log that are counted: what it did about faults.
NOTEWORTHY = (
    "left to the rescue",
    "settle failed, trying again",
    "cannot claim, trying again",
    "was lost",
    "trying the statement again",
    "listener lost its connection",
    "Traceback",
)


async def eventually(
    question: Callable[[], Awaitable[Any]], what: str, *, within_seconds: float = LONGEST_SECONDS
) -> Any:
    """Ask until the answer is true; returns it. Fails with `what` in its words."""
    try:
        async with asyncio.timeout(within_seconds):
            while not (answer := await question()):
                await asyncio.sleep(0.01)
            return answer
    except TimeoutError:
        raise AssertionError(f"not within {within_seconds:g} s: {what}") from None


class WorkerProcess:
    """One running `tests.faults.worker`."""

    def __init__(self, orders: Orders, process: asyncio.subprocess.Process, log: Path) -> None:
        self.orders = orders
        self.log = log
        self._process = process
        self._heard: list[str] = []
        self.complaints: Counter[str] = Counter()
        self._more = asyncio.Event()
        self._ear = asyncio.create_task(self._listen(), name=f"ear of {orders.name}")

    @classmethod
    async def start(cls, orders: Orders, *, environment: Mapping[str, str] | None = None) -> WorkerProcess:
        """Start it and wait until it is ready; with `environment` on top of our own."""
        handle, name = tempfile.mkstemp(prefix=f"jobloop-{orders.name}-", suffix=".log")
        with os.fdopen(handle, "wb") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "tests.faults.worker",
                orders.to_json(),
                cwd=ROOT,
                env=os.environ | dict(environment or {}),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
            )
        worker = cls(orders, process, Path(name))
        await worker.says("ready")
        return worker

    @property
    def is_running(self) -> bool:
        return self._process.returncode is None

    async def says(self, words: str, times: int = 1) -> str:
        """Wait until it has said a line that begins with `words`, `times` times; returns the last of them."""
        async with asyncio.timeout(LONGEST_SECONDS):
            while True:
                self._more.clear()
                found = [line for line in self._heard if line == words or line.startswith(f"{words} ")]
                if len(found) >= times:
                    return found[times - 1]
                assert not self._ear.done(), f"{self.orders.name} ended before it said {words!r}:\n{self.log_text()}"
                await self._more.wait()

    async def logs(self, *words: str) -> None:
        """Wait until one line of its log has all these words."""

        async def is_logged() -> bool:
            return any(all(word in line for word in words) for line in self.log_text().splitlines())

        await eventually(is_logged, f"{self.orders.name} logs {words}")

    def log_text(self) -> str:
        return self.log.read_text(errors="replace")

    def go(self) -> None:
        """Let the handlers that wait at the gate go on."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"go\n")

    async def kill(self) -> None:
        """SIGKILL, and wait until the process is gone. Works on a frozen one too."""
        if self.is_running:
            self._process.kill()
        await self._ended()

    async def freeze(self) -> None:
        """SIGSTOP, and wait until the kernel says that it is stopped."""
        self.send_stop()
        process = psutil.Process(self._process.pid)

        async def is_stopped() -> bool:
            return process.status() == psutil.STATUS_STOPPED

        await eventually(is_stopped, "the worker is frozen")

    def send_stop(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    async def stop(self) -> dict[str, Any]:
        """SIGTERM, and wait for its end; returns its report."""
        self._process.terminate()
        said = await self.says("report")
        await self._ended()
        return json.loads(said.partition(" ")[2])

    async def _ended(self) -> None:
        async with asyncio.timeout(LONGEST_SECONDS):
            await self._process.wait()
            await self._ear
        if self.log.exists():
            self.complaints.update(
                f"log: {words}" for words in NOTEWORTHY for line in self.log_text().splitlines() if words in line
            )
            self.log.unlink()

    async def _listen(self) -> None:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            self._heard.append(line.decode().strip())
            self._more.set()
        self._more.set()


class Crowd:
    """Starts workers for one test and kills whoever is left at its end."""

    def __init__(self) -> None:
        self.workers: list[WorkerProcess] = []

    async def start(self, orders: Orders, *, environment: Mapping[str, str] | None = None) -> WorkerProcess:
        worker = await WorkerProcess.start(orders, environment=environment)
        self.workers.append(worker)
        return worker

    async def close(self) -> None:
        for worker in self.workers:
            await worker.kill()
