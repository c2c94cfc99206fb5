"""Pauser: a worker's part in pausing its queue. It heeds what handlers answer, and probes when the time has come."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any

from jobloop.claim import Claim
from jobloop.control import Control
from jobloop.forms import Answer
from jobloop.outcome import Complete, Pause
from jobloop.pause import PauseState, PauseWatch, is_well, probe_after
from jobloop.store import Store

log = logging.getLogger("jobloop")

#: The pause is in the database a little later than it was decided.
_MARGIN_SECONDS = 0.5


class Pauser:
    """Turns answers into pauses. `on_pause` is called at once, before the database knows."""

    def __init__(self, store: Store, watch: PauseWatch, on_pause: Callable[[], None]) -> None:
        self._store = store
        self._on_pause = on_pause
        self._name = store.queue.name
        self._control = Control(store.queue, store.engine)
        self._watch = watch
        self._probing: PauseState | None = None
        self._is_paused = False
        self._probe_at = float("inf")
        self._steps: set[asyncio.Task[Any]] = set()

    async def claim(self, batch_size: int) -> tuple[list[Claim], bool]:
        """Claim, after what answers asked for is in the database; returns (claims, still to be worked).

        False: the queue was paused while the claim was under way.
        """
        if self._steps:
            await asyncio.wait(self._steps)
        self._is_paused = False
        return await self._store.claim(batch_size), not self._is_paused

    def heed(self, answer: Answer) -> None:
        """Pause the queue if this answer asks for it; lift its pause if a probe shows that the service is well."""
        if (answer is None or type(answer) is Complete) and self._probing is None and not self._watch.in_a_row:
            return  # nearly every row
        try:
            self._weigh(answer)
        except Exception:  # an invalid pause: its row fails of it, and the worker goes on
            log.exception("%s: cannot heed %r", self._name, answer)

    def _weigh(self, answer: Answer) -> None:
        probed, self._probing = self._probing, None
        wanted = self._watch.heard(answer)
        if probed is not None and is_well(answer):
            log.warning("%s: the probe succeeded, the queue runs again", self._name)
            self._begin(self._control.resume(after_probe=True), "resume")
        elif probed is not None:
            self._pause(wanted or Pause(probed.reason), probes=probed.probes + 1)
        elif wanted is not None and not self._is_paused:
            self._pause(wanted, probes=0)

    def is_time_to_probe(self) -> bool:
        """True once when the pause that this worker made has come to its end, by its own clock."""
        if time.monotonic() < self._probe_at:
            return False
        self._probe_at = float("inf")
        return True

    async def probe(self) -> list[Claim]:
        """The one row to probe with, if the queue is paused, its time has come and nobody else probes."""
        if self._store.queue.pauses is None or (state := await self._control.begin_probe()) is None:
            return []
        claims = await self._store.claim(1, although_paused=True)
        if claims:
            log.warning("%s: probing with one row whether the queue can run again", self._name)
            self._probing = state
        else:
            await self._control.end_probe()
        return claims

    async def close(self, within_seconds: float) -> None:
        """Wait for what was begun."""
        if self._steps:
            await asyncio.wait(self._steps, timeout=within_seconds)

    def _pause(self, wanted: Pause, *, probes: int) -> None:
        self._is_paused = True
        if self._store.queue.pauses is None:
            log.error("%s: would pause, but the queue has no pauses table: %s", self._name, wanted.reason)
            return
        until = wanted.until or probe_after(probes)
        wait = until if isinstance(until, timedelta) else until - datetime.now(UTC)
        self._probe_at = time.monotonic() + wait.total_seconds() + _MARGIN_SECONDS
        log.error("%s: pausing the queue until %s: %s", self._name, until, wanted.reason)
        self._on_pause()
        self._begin(self._control.pause(wanted.reason, until, paused_by="worker"), "pause")

    def _begin(self, step: Coroutine[Any, Any, Any], name: str) -> None:
        """Run a short database step beside the workers."""
        task = asyncio.create_task(step, name=f"{self._name} {name}")
        self._steps.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._steps.discard(task)
        if not task.cancelled() and (failure := task.exception()) is not None:
            log.error("%s failed: %s", task.get_name(), failure)
