"""Settles: which statements write these outcomes, and what their answers say of each row (no I/O)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from jobloop import statements
from jobloop.arrays import PLAIN, Settled, Shape, by_shape, only_token, settle_arrays
from jobloop.claim import Claim
from jobloop.errors import QueueDeclarationError
from jobloop.queue import JobQueue
from jobloop.status import Role

_ROLES: Mapping[str | None, Role | None] = {None: None, **{role.value: role for role in Role}}


@dataclass(slots=True)
class Contested:
    """The settled rows that did not come to what their settlement says: nearly always none.

    lost   the claim did not hold any more, nothing was written
    kept   the row kept a status: {claim: its role}, the end that the handler itself or a user wrote; None where a user
           re-queued or cancelled it and that stands
    """

    lost: set[Claim] = field(default_factory=set)
    kept: dict[Claim, Role | None] = field(default_factory=dict)

    def tell(self, claim: Claim, role: Role | None, *, is_held: bool = True) -> None:
        """Take down one row."""
        if is_held:
            self.kept[claim] = role
        else:
            self.lost.add(claim)


@dataclass(frozen=True, slots=True)
class Settle:
    """One statement with its binds, for outcomes that are alike."""

    statement: sa.Select[Any]
    binds: dict[str, Any]
    claims: Sequence[Settled]

    def tell(self, rows: Iterable[Any], contested: Contested) -> None:
        """Take down what the statement answered (see `statements.settle`)."""
        for place, is_held, role in rows:
            contested.tell(self.claims[place - 1][0], role_of(role), is_held=is_held)


class Settles:
    """The settle statements of one queue, each made when it is first needed."""

    def __init__(self, queue: JobQueue) -> None:
        self._queue = queue
        self._of_shapes: dict[Shape, sa.Select[Any]] = {}
        self._of_one_claim = statements.complete_claim(queue) if len(queue.columns.key) == 1 else None
        self._alone = frozenset(column for column in queue.table.columns if statements.goes_alone(column))

    def of(self, settlements: Sequence[Settled]) -> Iterator[Settle]:
        """One for each role and set of value columns; one for each row where values cannot go together."""
        for shape, some in self._together(settlements):
            if shape == PLAIN and self._of_one_claim is not None and (token := only_token(some)) is not None:
                binds: dict[str, Any] = {"key_0": [claim.key for claim, _ in some], "token": token}
                yield Settle(self._of_one_claim, binds, some)
                continue
            binds = {**settle_arrays(self._queue, shape, some)}
            for name in self._alone_in(shape):
                (binds[name],) = binds[name]
            yield Settle(self._of_shape(shape), binds, some)

    def together(self, settlements: Sequence[Settled]) -> Iterator[Sequence[Settled]]:
        """What each of those statements writes."""
        return (some for _, some in self._together(settlements))

    def _together(self, settlements: Sequence[Settled]) -> Iterator[tuple[Shape, Sequence[Settled]]]:
        for shape, group in by_shape(settlements).items():
            for some in [[each] for each in group] if self._alone_in(shape) else [group]:
                yield shape, some

    def _of_shape(self, shape: Shape) -> sa.Select[Any]:
        statement = self._of_shapes.get(shape)
        if statement is None:
            statement = self._of_shapes[shape] = statements.settle(self._queue, *shape)
        return statement

    def _alone_in(self, shape: Shape) -> list[str]:
        """The binds of values that are not passed as arrays, and so only for one row at a time."""
        if not self._alone:
            return []
        return [f"value_{i}" for i, name in enumerate(shape[1]) if self._goes_alone(name)]

    def _goes_alone(self, name: str) -> bool:
        try:
            return self._queue.value_column(name) in self._alone
        except QueueDeclarationError:  # it must not be written at all, as its statement will say
            return False


def role_of(name: str | None) -> Role | None:
    """The role that a settle statement names."""
    return _ROLES[name]
