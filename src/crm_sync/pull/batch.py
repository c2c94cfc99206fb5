"""Batch: what a pass fetched at a time, and where it goes on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from crm_sync.hubspot.objects import Record


@dataclass(frozen=True, slots=True)
class Span:
    """A listing showed every record over `after` up to `upto`, so what the mirror has there and the listing had not
    is missing."""

    after: int
    upto: int
    of_archived: bool


@dataclass(frozen=True, slots=True)
class Batch:
    """A page or several.

    read_at   when the first of its pages was asked for, by the database's clock
    position  where the pass goes on after it; None: it was the last
    gone      ids that HubSpot said it does not have
    ids       records of which only the associations are to be read
    """

    read_at: datetime
    records: tuple[Record, ...] = ()
    position: Mapping[str, Any] | None = None
    span: Span | None = None
    gone: tuple[int, ...] = ()
    ids: tuple[int, ...] = ()
    with_associations: bool = field(default=False)
