"""Settles: which statements write these outcomes, and what their answers say of each row (no I/O)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from jobloop import statements
from jobloop.arrays import PLAIN, Settled, Shape, by_shape, settle_arrays
from jobloop.queue import JobQueue
from jobloop.status import Role

_ROLES: Mapping[str | None, Role | None] = {None: None, **{role.value: role for role in Role}}


@dataclass(frozen=True, slots=True)
class Settle:
    """One statement with its binds, for outcomes that are alike."""

    statement: sa.Select[Any]
    binds: dict[str, Any]
    claims: Sequence[Settled]
    to: Role

    def roles(self, rows: Iterable[Any]) -> dict[Any, Role | None]:
        """{key: role} of the rows whose claim held, from the statement's answer (see `statements.settle`).

        The role is the settlement's; or the end that the handler itself wrote; or None, where a user re-queued or
        cancelled the row meanwhile and that stands.
        """
        settled: dict[Any, Role | None] = dict.fromkeys([claim.key for claim, _ in self.claims], self.to)
        for place, is_held, role in rows:
            key = self.claims[place - 1][0].key
            if is_held:
                settled[key] = role_of(role)
            else:
                settled.pop(key, None)
        return settled


class Settles:
    """The settle statements of one queue, each made when it is first needed."""

    def __init__(self, queue: JobQueue) -> None:
        self._queue = queue
        self._of_shapes: dict[Shape, sa.Select[Any]] = {}
        self._of_one_claim = statements.complete_claim(queue) if len(queue.columns.key) == 1 else None
        self._alone = frozenset(column for column in queue.table.columns if statements.goes_alone(column))

    def of(self, settlements: Iterable[Settled]) -> Iterator[Settle]:
        """One for each role and set of value columns; one for each row where values cannot go together."""
        for shape, group in by_shape(settlements).items():
            alone = self._alone_in(shape)
            for some in [[each] for each in group] if alone else [group]:
                if shape == PLAIN and self._of_one_claim is not None and (token := _only_token(some)) is not None:
                    binds: dict[str, Any] = {"key_0": [claim.key for claim, _ in some], "token": token}
                    yield Settle(self._of_one_claim, binds, some, shape[0])
                    continue
                binds = {**settle_arrays(self._queue, shape, some)}
                for name in alone:
                    (binds[name],) = binds[name]
                yield Settle(self._of_shape(shape), binds, some, shape[0])

    def _of_shape(self, shape: Shape) -> sa.Select[Any]:
        statement = self._of_shapes.get(shape)
        if statement is None:
            statement = self._of_shapes[shape] = statements.settle(self._queue, *shape)
        return statement

    def _alone_in(self, shape: Shape) -> list[str]:
        """The binds of values that are not passed as arrays, and so only for one row at a time."""
        if not self._alone:
            return []
        return [f"value_{i}" for i, name in enumerate(shape[1]) if self._queue.value_column(name) in self._alone]


def role_of(name: str | None) -> Role | None:
    """The role that a settle statement names."""
    return _ROLES[name]


def _only_token(some: Sequence[Settled]) -> UUID | None:
    """The token of all these claims, if one statement made them."""
    token = some[0][0].token
    return token if all(claim.token is token for claim, _ in some) else None
