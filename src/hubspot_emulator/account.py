"""The account behind the API: portal, tokens, quota, faults and call log, reset together."""

from __future__ import annotations

import dataclasses
import threading
from uuid import UUID

from .behaviour import Behaviour
from .calls import CallLog
from .clock import Clock
from .faults import Faults
from .portal import Portal
from .quota import TIERS, Quota
from .schemas import Schemas
from .search import Search
from .seed import SeedSizes, seed_portal
from .tokens import Tokens

__all__ = ["Account"]


class Account:
    """Everything one emulator owns. Two accounts in one process share nothing.

    `lock` guards it: the server holds it for one request at a time, in-process inspection may hold it too.
    """

    def __init__(
        self, *, tier: str = "free", behaviour: Behaviour | None = None, seed: int = 0, portal_id: int = 20_260_301
    ) -> None:
        if tier not in TIERS:
            raise ValueError(f"unknown tier {tier!r}; known: {', '.join(TIERS)}")
        self.lock = threading.RLock()
        self.clock = Clock()
        self.behaviour = behaviour or Behaviour()
        self._initial = (tier, seed, portal_id, dataclasses.replace(self.behaviour))
        self._correlations = 0
        self._fill()

    def _fill(self) -> None:
        tier, seed, portal_id, _ = self._initial
        self.portal = Portal(clock=self.clock, behaviour=self.behaviour, portal_id=portal_id, seed=seed)
        self.search = Search(self.portal)
        self.schemas = Schemas(self.portal)
        self.tokens = Tokens()
        self.quota = Quota(self.clock, self.behaviour, tier)
        self.faults = Faults(seed)
        self.calls = CallLog()

    def reset(self) -> None:
        """As new: no records, the first token alone, full quota, no faults, no calls, the real clock."""
        with self.lock:
            self.clock.reset()
            for field in dataclasses.fields(Behaviour):
                setattr(self.behaviour, field.name, getattr(self._initial[3], field.name))
            self._fill()

    def seed(self, number: int, sizes: SeedSizes | None = None) -> dict[str, int]:
        """Fill the portal; counts by object type. Raises ValueError when there are records already."""
        with self.lock:
            if any(table.records for table in self.portal.tables.values()):
                raise ValueError("the portal has records already; reset it first")
            return seed_portal(self.portal, number, sizes)

    def correlation_id(self) -> str:
        """A UUID that differs from every other of this emulator."""
        self._correlations += 1
        return str(UUID(int=0x0E300000_0000_4000_8000_000000000000 + self._correlations))
