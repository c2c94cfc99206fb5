"""What search can see: records as they were until the index caught up with them."""

from __future__ import annotations

from collections import deque
from copy import copy
from typing import TYPE_CHECKING

from .behaviour import Behaviour
from .clock import Clock
from .record import Record

if TYPE_CHECKING:
    from .table import Table

__all__ = ["SearchIndex"]

_Key = tuple[str, int]


class SearchIndex:
    """Search *matches* what the index holds and *returns* what the record is now [O].

    A write becomes visible `search_lag_seconds` after it was made. Until then the state before the write is
    kept (None: the record was not there yet). With no lag, nothing is kept.
    """

    def __init__(self, clock: Clock, behaviour: Behaviour) -> None:
        self._clock = clock
        self._behaviour = behaviour
        self._due: deque[tuple[int, _Key]] = deque()
        self._stale: dict[_Key, deque[tuple[int, Record | None]]] = {}

    def snapshot(self, record: Record) -> Record | None:
        """The state before a write, to be handed to `written`; None when there is no lag to bridge."""
        if self._behaviour.search_lag_seconds <= 0:
            return None
        before = copy(record)
        before.properties = dict(record.properties)
        return before

    def written(self, table: Table, record: Record, before: Record | None) -> None:
        if self._behaviour.search_lag_seconds <= 0:
            return
        until_ms = self._clock.now_ms() + round(self._behaviour.search_lag_seconds * 1000)
        key = (table.type.type_id, record.id)
        self._stale.setdefault(key, deque()).append((until_ms, before))
        self._due.append((until_ms, key))

    def forget(self, table: Table, record: Record) -> None:
        self._stale.pop((table.type.type_id, record.id), None)

    def stale(self, table: Table) -> dict[int, Record | None]:
        """Record id → the state that still matches, for records of `table` that the index lags behind."""
        now_ms = self._clock.now_ms()
        while self._due and self._due[0][0] <= now_ms:
            _, key = self._due.popleft()
            states = self._stale.get(key)
            if states is not None:
                if states and states[0][0] <= now_ms:
                    states.popleft()
                if not states:
                    del self._stale[key]
        type_id = table.type.type_id
        return {id_: states[0][1] for (owner, id_), states in self._stale.items() if owner == type_id and states}
