"""What the command line asks of every workload."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from contest.field import Entry


@dataclass(frozen=True)
class Options:
    """`present` holds the names of all who can and shall take part; raw always does, as the reference."""

    jobs: int
    repetitions: int
    backlog: int
    rounds: int
    idle_seconds: float
    present: frozenset[str]
    say: Callable[[str], None]

    def among(self, entries: Iterable[Entry]) -> list[Entry]:
        return [entry for entry in entries if entry.name in self.present]
