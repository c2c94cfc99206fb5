"""Who takes part, in which settings, and each one's Python: ours is the interpreter at hand, a rival's its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

BENCHMARKS = Path(__file__).resolve().parent.parent
RIVALS = BENCHMARKS / ".rivals"
_UVLOOP = "uvloop==0.23.0"
_INSTALL_SECONDS = 300


@dataclass(frozen=True)
class Entry:
    """A contender in certain settings. `arguments` are options of `contest.player`; `most_jobs` bounds a slow one."""

    name: str
    module: str
    requirements: tuple[str, ...] = ()
    arguments: Mapping[str, Any] = field(default_factory=dict)
    most_jobs: int = sys.maxsize

    def given(self, **arguments: Any) -> Entry:
        return replace(self, arguments={**self.arguments, **arguments})

    @property
    def folder(self) -> Path:
        return RIVALS / ("-".join(self.requirements).replace("==", "-").partition("[")[0] or "uvloop")

    def command(self, role: str, **arguments: Any) -> list[str]:
        python = str(self.folder / "bin" / "python") if self.requirements else sys.executable
        words = [python, "-m", f"contest.contenders.{self.module}", role]
        for name, value in {**self.arguments, **arguments}.items():
            option = f"--{name.replace('_', '-')}"
            if value is True:
                words.append(option)
            elif value not in (False, None):
                words += [option, str(value)]
        return words

    def environment(self) -> dict[str, str]:
        environment = {"PATH": os.environ.get("PATH", os.defpath), "PYTHONDONTWRITEBYTECODE": "1"}
        if not self.requirements:
            environment["PYTHONPATH"] = str(self.folder)
        return environment


#: Claims of 500 rows for all who claim in batches. Settings were tried until more brought nothing.
RAW = Entry("raw", "raw", arguments={"batch": 500})
RAW_TASKS = Entry("raw with a task a job", "raw", arguments={"batch": 500, "tasks": True})
EACH = Entry("each", "jobloop", arguments={"form": "each", "batch": 500, "concurrency": 10})
LIGHT = Entry("each of 2 columns", "jobloop", arguments={"form": "light", "batch": 500, "concurrency": 10})
ENTITIES = Entry("each of entities", "jobloop", arguments={"form": "each-entities", "batch": 500, "concurrency": 10})
BATCH = Entry("batch", "jobloop", arguments={"form": "batch", "batch": 500, "concurrency": 2})
BATCH_ENTITIES = Entry(
    "batch of entities", "jobloop", arguments={"form": "batch-entities", "batch": 500, "concurrency": 2}
)
SESSION = Entry("session", "jobloop_sessions", arguments={"form": "id", "batch": 500, "concurrency": 10})
EACH_SESSION = Entry(
    "each in a session", "jobloop_sessions", arguments={"form": "each", "batch": 500, "concurrency": 10}
)
BATCH_SESSION = Entry(
    "batch in a session", "jobloop_sessions", arguments={"form": "batch", "batch": 500, "concurrency": 2}
)
OLDER = Entry("older loop", "older_loop", arguments={"batch": 500}, most_jobs=8_000)
PGQUEUER = Entry("pgqueuer", "pgqueuer", ("pgqueuer==1.6.0", "asyncpg==0.32.0"), {"concurrency": 1000})
PROCRASTINATE = Entry(
    "procrastinate",
    "procrastinate",
    ("procrastinate==3.10.0", "psycopg[binary,pool]==3.3.9"),
    {"concurrency": 20},
    most_jobs=4_000,
)
OURS = (EACH, LIGHT, ENTITIES, BATCH, BATCH_ENTITIES, SESSION, EACH_SESSION, BATCH_SESSION)
RIVALS_OF_OURS = (PGQUEUER, PROCRASTINATE)
EVERYBODY = (RAW, RAW_TASKS, *OURS, OLDER, *RIVALS_OF_OURS)


def prepare(entries: tuple[Entry, ...]) -> dict[str, str]:
    """Make the environments that are missing, and uvloop for ours; returns {name: why not}."""
    RIVALS.mkdir(exist_ok=True)
    (RIVALS / ".gitignore").write_text("*\n")
    absent = {}
    for entry in entries:
        if problem := _install(entry):
            absent[entry.name] = problem
    return absent


def _install(entry: Entry) -> str | None:
    done = entry.folder / ".installed"
    if done.exists():
        return None
    pip = [sys.executable, "-m", "pip", "--python", str(entry.folder / "bin" / "python"), "install", "--quiet"]
    if entry.requirements:
        commands = [[sys.executable, "-m", "venv", str(entry.folder)], [*pip, _UVLOOP, *entry.requirements]]
    else:
        commands = [[sys.executable, "-m", "pip", "install", "--quiet", "--target", str(entry.folder), _UVLOOP]]
    for command in commands:
        try:
            made = subprocess.run(command, capture_output=True, text=True, timeout=_INSTALL_SECONDS, check=False)
        except (OSError, subprocess.TimeoutExpired) as exc:
            return str(exc)
        if made.returncode:
            return (made.stderr.strip() or made.stdout.strip() or "pip failed").splitlines()[-1]
    done.touch()
    return None
