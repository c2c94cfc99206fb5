"""The call log: what was asked, and how it was answered."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["Call", "CallLog"]

_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class Call:
    """One request. `route` is independent of the path's version (`objects.batch_upsert`); `object_type` is the
    plural name, or the type id of a custom object; `inputs` counts a batch's inputs; `fault` names the fault that
    struck. `status` 0: the connection was cut."""

    number: int
    at: str
    method: str
    path: str
    query: Mapping[str, list[str]]
    route: str
    object_type: str | None
    status: int
    inputs: int
    token: str | None
    fault: str | None
    correlation_id: str
    body: Any

    def wire(self) -> dict[str, Any]:
        return asdict(self)


class CallLog:
    """The last 10,000 calls, and counts of all of them."""

    def __init__(self) -> None:
        self._calls: deque[Call] = deque(maxlen=_REMEMBERED)
        self.counts: Counter[str] = Counter()
        self.statuses: Counter[int] = Counter()
        self.total = 0

    def add(self, call: Call) -> None:
        self.total += 1
        self._calls.append(call)
        self.statuses[call.status] += 1
        self.counts[f"{call.route} {call.object_type}" if call.object_type else call.route] += 1

    def all(self) -> list[Call]:
        """Oldest first."""
        return list(self._calls)

    def clear(self) -> None:
        self.__init__()  # type: ignore[misc]
