"""The installed command in a process of its own, in an empty folder and with an empty environment."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

CRM_SYNC = Path(sys.executable).with_name("crm-sync")
_PATIENCE_SECONDS = 60


class Shell:
    """Runs `crm-sync`; `environment` is all that it sees beside PATH and HOME."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self.environment = environment
        self._started: list[subprocess.Popen[str]] = []

    def run(self, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(CRM_SYNC), *arguments],
            cwd=self.folder,
            env=self._environment(more),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_PATIENCE_SECONDS,
            check=False,
        )

    def start(self, *arguments: str, **more: str) -> subprocess.Popen[str]:
        """Standard error and output come out of `stdout` together."""
        process = subprocess.Popen(
            [str(CRM_SYNC), *arguments],
            cwd=self.folder,
            env=self._environment(more),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._started.append(process)
        return process

    def end(self) -> None:
        """Whatever a failed test left running."""
        for process in self._started:
            if process.poll() is None:
                process.kill()
            process.wait()

    def _environment(self, more: dict[str, str]) -> dict[str, str]:
        around = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
        return {**around, "TERM": "dumb", "COLUMNS": "200", **self.environment, **more}


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """No settings at all; a test adds those that it needs to `environment`."""
    shell = Shell(tmp_path, {})
    yield shell
    shell.end()


def failed(done: subprocess.CompletedProcess[str], code: int) -> str:
    """Its standard error, in one line, once it has been seen to be a clean failure with that exit code."""
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    return " ".join(done.stderr.replace("│", " ").split())
