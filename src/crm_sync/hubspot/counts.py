"""CallCounts: the calls that were sent, by a client in all, and by one piece of work among several at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field


@dataclass(slots=True)
class CallCounts:
    """Calls sent; a repeated call counts each time.

    by_status  HTTP status, or the error's class name when no answer came; for a client only
    """

    total: int = 0
    repeated: int = 0
    by_operation: Counter[str] = field(default_factory=Counter)
    by_status: Counter[str] = field(default_factory=Counter)

    @property
    def answered(self) -> bool:
        """Whether HubSpot, or something on the way there, ever said anything; of a client only."""
        return any(status.isdecimal() for status in self.by_status)


_tallies: ContextVar[tuple[CallCounts, ...]] = ContextVar("tallies", default=())


@contextmanager
def tallied() -> Iterator[CallCounts]:
    """Counts what this task, and every task that it starts meanwhile, sends with any client."""
    counts = CallCounts()
    reset = _tallies.set((*_tallies.get(), counts))
    try:
        yield counts
    finally:
        _tallies.reset(reset)


def tallies() -> tuple[CallCounts, ...]:
    """The counts that a call sent now belongs to, beside its client's."""
    return _tallies.get()
