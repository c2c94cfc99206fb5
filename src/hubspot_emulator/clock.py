"""The portal's clock: the real one, moved or frozen at will."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

__all__ = ["Clock", "iso"]

_HUNDRED_YEARS_SECONDS = 36_525 * 86_400
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Clock:
    """Wall-clock milliseconds since 1970-01-01 UTC, shifted by `advance` and stopped by `freeze`.

    Rate windows, the search index's lag and every timestamp on the wire follow this clock, so a test
    that advances it needs no sleep.
    """

    def __init__(self) -> None:
        self._shift_ms = 0
        self._frozen_ms: int | None = None

    def now_ms(self) -> int:
        if self._frozen_ms is not None:
            return self._frozen_ms
        return time.time_ns() // 1_000_000 + self._shift_ms

    def now(self) -> datetime:
        return _EPOCH + timedelta(milliseconds=self.now_ms())

    @property
    def frozen(self) -> bool:
        return self._frozen_ms is not None

    def freeze(self, at: datetime | None = None) -> None:
        """Stop at `at` (aware), or at the present moment."""
        self._frozen_ms = self.now_ms() if at is None else int((at - _EPOCH) / timedelta(milliseconds=1))

    def thaw(self) -> None:
        """Run on from where the clock stands."""
        if self._frozen_ms is not None:
            self._shift_ms = self._frozen_ms - time.time_ns() // 1_000_000
            self._frozen_ms = None

    def advance(self, seconds: float) -> None:
        """Raises ValueError for more than a hundred years."""
        if not abs(seconds) <= _HUNDRED_YEARS_SECONDS:
            raise ValueError(f"the clock advances by at most a hundred years, not by {seconds} seconds")
        moved_ms = round(seconds * 1000)
        if self._frozen_ms is not None:
            self._frozen_ms += moved_ms
        else:
            self._shift_ms += moved_ms

    def reset(self) -> None:
        """Back to the real clock."""
        self._shift_ms = 0
        self._frozen_ms = None


def iso(at_ms: int) -> str:
    """`2026-11-21T23:59:46.123Z`, the only timestamp format of the CRM endpoints [O]."""
    seconds, milliseconds = divmod(at_ms, 1000)
    return f"{(_EPOCH + timedelta(seconds=seconds)).isoformat()[:19]}.{milliseconds:03d}Z"
