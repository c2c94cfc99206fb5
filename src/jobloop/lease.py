"""LeaseKeeper: renews the leases of everything a worker holds, and tells when a claim is lost."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Iterable

from jobloop.claim import Claim
from jobloop.store import Store

log = logging.getLogger("jobloop")


class LeaseKeeper:
    """One statement renews all held leases, every third of a lease.

    `on_lost` is called once for a claim that is no longer ours: its lease had expired and another worker took the
    row, or the row was deleted. A renewal that fails is tried again at the next turn: until somebody rescues the
    row, the token in it is still ours and a settle still counts. But no row is begun on a lease that is over by our
    own clock (`are_sure`): a worker that was asleep would do again what another does already.
    """

    def __init__(self, store: Store, on_lost: Callable[[Claim], None]) -> None:
        self._store = store
        self._on_lost = on_lost
        self._held: set[Claim] = set()
        self._lease_seconds = store.queue.lease.total_seconds()
        self._sure_until = self._new_until = float("inf")
        self._renewed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._held)

    def hold(self, claims: Iterable[Claim], asked_at: float) -> None:
        """Renew these from now on; they were asked for at `asked_at`, by the monotonic clock."""
        if not self._held:
            self._sure_until = float("inf")
        until = asked_at + self._lease_seconds
        self._sure_until = min(self._sure_until, until)
        self._new_until = min(self._new_until, until)
        self._held.update(claims)

    def held(self, claims: Iterable[Claim]) -> list[Claim]:
        """Those of `claims` that were neither dropped nor found lost."""
        held = self._held
        return [claim for claim in claims if claim in held]

    def are_sure(self) -> bool:
        """True if no lease that is held can have ended by now."""
        return time.monotonic() < self._sure_until

    async def until_sure(self) -> None:
        """Wait for the renewal that tells what is still ours."""
        while self._held and not self.are_sure():
            await self._renewed.wait()

    def drop(self, claims: Collection[Claim]) -> int:
        """Stop renewing `claims`; returns how many of them were still held."""
        before = len(self._held)
        self._held.difference_update(claims)
        return before - len(self._held)

    async def run(self) -> None:
        """Renew for ever; cancel to stop."""
        while True:
            await asyncio.sleep(self._lease_seconds / 3)
            try:
                await self.renew()
            except Exception as exc:
                log.warning("%s: leases not renewed, trying again: %s", self._store.queue.name, exc)

    async def renew(self) -> None:
        """Renew once; report what is lost."""
        claims = list(self._held)
        if not claims:
            return
        asked_at, self._new_until = time.monotonic(), float("inf")
        still_ours = await self._store.renew(claims)
        for claim in claims:
            if claim not in still_ours and claim in self._held:
                self._held.discard(claim)
                self._on_lost(claim)
        self._sure_until = min(asked_at + self._lease_seconds, self._new_until)
        self._renewed.set()
        self._renewed.clear()
