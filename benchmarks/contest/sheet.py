"""Sheets of figures: shown as tables, kept as JSON, written into the documentation as Markdown."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

_BEGIN, _END = "<!-- figures: begin -->", "<!-- figures: end -->"


@dataclass
class Sheet:
    """The result of one workload. `rows` map headings to figures; a heading is shown if any row has it."""

    title: str
    about: str
    rows: list[dict[str, Any]] = field(default_factory=list)
    measured: str = ""

    @property
    def headings(self) -> list[str]:
        names = dict.fromkeys(name for row in self.rows for name in row)
        shown = [name for name in names if any(row.get(name) not in (None, "") for row in self.rows)]
        return sorted(shown, key=_place)

    def show(self, console: Console) -> None:
        table = Table(title=self.title, caption=self.about, title_justify="left", caption_justify="left")
        for name in self.headings:
            table.add_column(name, justify="left" if name in ("who", "remarks") else "right")
        for row in self.rows:
            table.add_row(*(text(name, row.get(name)) for name in self.headings))
        console.print(table)

    def markdown(self) -> str:
        lines = [f"### {self.title}", "", f"{self.about} Measured {self.measured}.", ""]
        lines.append("| " + " | ".join(self.headings) + " |")
        lines.append("|" + "|".join("---" if name in ("who", "remarks") else "---:" for name in self.headings) + "|")
        lines += ["| " + " | ".join(text(name, row.get(name)) for name in self.headings) + " |" for row in self.rows]
        return "\n".join(lines)


def _place(heading: str) -> int:
    """Who and how fast first, then the ratios; remarks last."""
    if heading in ("who", "jobs/s"):
        return 0
    return {"of ": 1, "rem": 3}.get(heading[:3], 2)


def text(heading: str, value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, int | float):
        return str(value)
    if heading.startswith("of ") or abs(value) < 10:
        return f"{value:.2f}" if isinstance(value, float) else str(value)
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.1f}"


def keep(path: Path, name: str, sheet: Sheet, setting: dict[str, Any]) -> None:
    """Write the sheet of a workload; those of others stay as they are."""
    kept = json.loads(path.read_text()) if path.exists() else {}
    kept["setting"] = {**kept.get("setting", {}), **setting}
    kept.setdefault("sheets", {})[name] = asdict(sheet)
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(kept, indent=2, ensure_ascii=False) + "\n")


def markdown(path: Path, order: Iterable[str]) -> str:
    """What `keep` wrote, as Markdown; a name may have more behind the workload's, such as its size."""
    kept = json.loads(path.read_text())
    setting = ", ".join(f"{name} {value}" for name, value in kept["setting"].items())
    parts = [f"{setting}."]
    for workload in order:
        sizes = [(len(name), name) for name in kept["sheets"] if name.split()[0] == workload]
        parts += [Sheet(**kept["sheets"][name]).markdown() for _, name in sorted(sizes)]
    return "\n\n".join(parts)


def put_into(document: Path, figures: str) -> None:
    """Replace what is between the two marks of a document."""
    old = document.read_text()
    new, found = re.subn(f"{_BEGIN}.*{_END}", lambda _: f"{_BEGIN}\n{figures}\n{_END}", old, flags=re.DOTALL)
    if not found:
        raise SystemExit(f"{document} has no {_BEGIN} … {_END}")
    document.write_text(new)
