"""Wish: what is asked of a pull."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from crm_sync.errors import PullError

BATCH_SIZE: Final = 1_000
MOST_AT_ONCE: Final = 10_000


class Wants(StrEnum):
    CHANGES = "changes"  # what changed since the last pull; everything, the first time
    FULL = "full"  # every record
    ASSOCIATIONS = "associations"  # the associations of the records that are here


@dataclass(frozen=True, slots=True)
class Wish:
    """One pull of one stream.

    since       changes since then, instead of since the last pull
    batch_size  records fetched and written at once, 1 to 10,000; a page of HubSpot's is the least
    catch_up    look at deletions and associations now, whatever their intervals
    targets     associations to these streams only, none for (); None: those of the stream
    dry_run     count what would be written, and write nothing

    Raises PullError for a batch size out of bounds.
    """

    wants: Wants = Wants.CHANGES
    since: datetime | None = None
    batch_size: int = BATCH_SIZE
    catch_up: bool = False
    targets: tuple[str, ...] | None = None
    dry_run: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.batch_size <= MOST_AT_ONCE:
            raise PullError(f"A batch size is a number from 1 to {MOST_AT_ONCE:,}, not {self.batch_size}.")
