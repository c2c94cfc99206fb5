"""Entities: instances of the user's class built of a claim's values, detached, as if a session had loaded them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any

from sqlalchemy.orm import instrumentation

from jobloop.queue import JobQueue


class Entities:
    """Builds entities of a simple mapping; those of any other SQLAlchemy has to load, at several times the cost.

    What was not claimed (a relationship, a column that the queue does not declare) raises `DetachedInstanceError` when
    it is touched, as after the end of a session.
    """

    def __init__(self, queue: JobQueue) -> None:
        mapper = queue.mapper
        self._mapper = mapper
        self._manager = mapper.class_manager
        self._names = tuple(queue.row_columns)
        self._has_all = all(mapper.columns.get(name) is column for name, column in queue.row_columns.items())
        keys = [mapper.get_property_by_column(column).key for column in mapper.primary_key]
        places = [self._names.index(name) for name in keys if name in self._names]
        self._has_all &= len(places) == len(keys)
        self._key = _key_at(places)
        self._unloaded = frozenset(attribute.key for attribute in mapper.column_attrs).difference(self._names)

    @property
    def is_simple(self) -> bool:
        """True if loading a row of this mapping means no more than setting its columns.

        Not so with inheritance, where the row says which class it is; with a listener to "load" events, as mutable
        types, composites and `@reconstructor` have; with instrumentation of the user's own.
        """
        return (
            self._has_all
            and self._mapper.polymorphic_on is None
            and self._mapper.inherits is None
            and type(self._manager) is instrumentation.ClassManager
            and not self._manager.dispatch.load
        )

    def __call__(self, values: Sequence[Any]) -> Any:
        entity: Any = self._manager.new_instance()
        attributes = entity.__dict__
        attributes.update(zip(self._names, values, strict=False))
        state = attributes["_sa_instance_state"]
        # A key and no session: that is what SQLAlchemy calls detached.
        state.key = (self._manager.class_, self._key(values), None)
        if self._unloaded:
            state.expired_attributes = set(self._unloaded)
        return entity


def _key_at(places: Sequence[int]) -> Callable[[Sequence[Any]], tuple[Any, ...]]:
    """The values at these places of a row, as a tuple."""
    if len(places) == 1:
        (place,) = places
        return lambda values: (values[place],)
    return itemgetter(*places) if places else lambda _values: ()
