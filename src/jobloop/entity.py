"""Entities: instances of the user's class built of a claim's values, detached, as if a session had loaded them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import instrumentation
from sqlalchemy.orm.attributes import instance_state
from sqlalchemy.orm.state import InstanceState

from jobloop.errors import QueueDeclarationError
from jobloop.queue import JobQueue


def attach(entities: Iterable[Any], session: AsyncSession) -> None:
    """Make detached entities part of a session, as its loader does. `session.add` would begin a transaction."""
    sync = session.sync_session
    for entity in entities:
        state = instance_state(entity)
        state.session_id = sync.hash_key
        sync.identity_map.add(state)


class Entities:
    """Builds entities of a simple mapping; those of any other SQLAlchemy has to load, at several times the cost.

    What was not claimed (a relationship, a column that the queue does not declare) raises `DetachedInstanceError` when
    it is touched, as after the end of a session.
    """

    def __init__(self, queue: JobQueue) -> None:
        mapper = queue.mapper
        version = mapper.version_id_col
        if version is not None and version not in queue.row_columns.values():
            # SQLAlchemy would load the present version when it is needed, and overwrite what came meanwhile.
            raise QueueDeclarationError(
                f"{queue.name}: `columns` leaves out {version.name!r}, by which {queue.model.__name__} notices "
                f"concurrent changes; add it, or work with light rows"
            )
        self._mapper = mapper
        self._manager = mapper.class_manager
        self._names = tuple(queue.row_columns)
        self._has_all = all(mapper.columns.get(name) is column for name, column in queue.row_columns.items())
        keys = [mapper.get_property_by_column(column).key for column in mapper.primary_key]
        self._has_all &= set(keys) <= set(self._names)
        self._key = _key_at(keys)
        self._unloaded = {attribute.key for attribute in mapper.column_attrs}.difference(self._names)

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

    def reading(self, first: int, conversions: Mapping[str, Callable[[Any], Any]]) -> Callable[[Any], Any]:
        """What makes an entity of a record: its values from place `first` on are those of the queue's `row_columns`.

        The instance is what a loader of SQLAlchemy makes; it does not ask again for every row what the mapping is like.
        """
        manager, names, key_of, unloaded = self._manager, self._names, self._key, self._unloaded
        model: Any = manager.class_
        converted = tuple(conversions.items())

        def read(record: Any) -> Any:
            entity = model.__new__(model)
            attributes = entity.__dict__
            attributes.update(zip(names, record[first:], strict=False))
            for name, convert in converted:
                attributes[name] = convert(attributes[name])
            state = attributes["_sa_instance_state"] = InstanceState(entity, manager)
            # A key and no session: that is what SQLAlchemy calls detached.
            state.key = (model, key_of(attributes), None)
            if unloaded:
                state.expired_attributes = unloaded.copy()
            return entity

        return read


def _key_at(names: Sequence[str]) -> Callable[[Mapping[str, Any]], tuple[Any, ...]]:
    """The values of these attributes, as a tuple."""
    if len(names) == 1:
        (name,) = names
        return lambda attributes: (attributes[name],)
    return itemgetter(*names) if names else lambda _attributes: ()
