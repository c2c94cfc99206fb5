"""Claim: the proof that this attempt owns a row (pure)."""

from __future__ import annotations

from collections.abc import Callable
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
    record        the claimed values, as `read` takes them
    read          makes of the record what the handler gets, a light row or an instance of the model; not before its
                  turn comes, so that few objects wait, for the garbage collector looks at all of them
    """

    key: Any
    token: UUID
    retry_count: int
    record: Any
    read: Callable[[Any], Any]
