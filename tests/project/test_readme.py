"""The README's code runs, and what it names is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

import jobloop
from crm_sync.settings import Settings
from hubspot_emulator import EmulatorServer

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


async def test_the_ten_lines_work_as_they_stand(engine: AsyncEngine) -> None:
    code, _ = re.findall(r"```python\n(.*?)```", README, re.DOTALL)

    class Base(DeclarativeBase):
        pass

    names: dict[str, Any] = {
        **{name: getattr(jobloop, name) for name in jobloop.__all__},
        "Base": Base,
        "Mapped": Mapped,
        "mapped_column": mapped_column,
        "sessions": async_sessionmaker(engine),
    }
    declaration, _, last = code.rpartition("report = await")
    exec(compile(declaration, "README.md", "exec", dont_inherit=True), names)
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
        await connection.execute(text("INSERT INTO orders (id, billing_status) VALUES (1, 'Queued'), (-1, 'Queued')"))
    report = await eval(
        compile(last.strip(), "README.md", "eval", dont_inherit=True, flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), names
    )
    assert (report.completed, report.failed) == (1, 1)


def test_it_names_settings_and_make_targets_that_exist_and_stays_short() -> None:
    settings = set(re.findall(r"`([A-Z]+_[A-Z_]+)`", README))
    assert settings <= set(Settings.model_fields)
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^make (\w+)|`make (\w+)", README, re.MULTILINE):
        assert re.search(rf"^{''.join(target)}:", makefile, re.MULTILINE), target
    assert len(README.splitlines()) <= 150


def test_the_emulator_s_example_runs() -> None:
    _, code = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    exec(compile(code, "README.md", "exec"), {"EmulatorServer": EmulatorServer, "httpx": httpx})
