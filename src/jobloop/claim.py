"""Claim: the proof that this attempt owns a row (pure)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID


@dataclass(slots=True, eq=False)
class Claim:
    """Whoever holds this may renew and settle the row, until the token in the row is another.

    Two claims are never equal, whatever they hold.

    key           the row's primary key: the value itself, or a tuple for a composite key
    token         fresh with every claim statement
    retry_count   failed attempts of the present request, before this one
    row           what the handler gets: a light row or an instance of the model
    """

    key: Any
    token: UUID
    retry_count: int
    row: Any = None
