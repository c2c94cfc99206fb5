"""All records of one object type, with the indexes that reads and uniqueness need."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterator
from typing import Any

from .catalogue import group_of, standard_properties
from .objecttype import ObjectType
from .propertydef import PropertyDefinition
from .record import Record

__all__ = ["Table"]


class Table:
    """Records by id, in id order; unique values by property; ids that a merge retired.

    Archived records stay in `records` until they are purged, but no longer hold their unique values; `archive`
    lists (when in ms, id) in the order of archiving. `required`: what a new record must have.
    """

    def __init__(self, object_type: ObjectType, first_id: int) -> None:
        self.type = object_type
        self.properties: dict[str, PropertyDefinition] = {one.name: one for one in standard_properties(object_type)}
        self.groups: dict[str, dict[str, Any]] = {}
        self.add_group(group_of(object_type), f"{object_type.singular.capitalize()} information")
        self.records: dict[int, Record] = {}
        self.ids: list[int] = []
        self.unique: dict[str, dict[str, int]] = {
            name: {} for name, one in self.properties.items() if one.unique or one.is_email
        }
        self.merged: dict[int, int] = {}
        self.next_id = first_id
        self.required: tuple[str, ...] = object_type.required_properties
        self.archive: deque[tuple[int, int]] = deque()
        self.version = 0

    def add_group(self, name: str, label: str, display_order: int = -1) -> dict[str, Any]:
        self.groups[name] = {"name": name, "label": label, "displayOrder": display_order, "archived": False}
        return self.groups[name]

    def add(self, properties: dict[str, str], at_ms: int) -> Record:
        """A new record under the next id; its unique values are free (the caller has looked)."""
        record = Record(self.next_id, self.type, properties, at_ms)
        self.next_id += 1
        self.records[record.id] = record
        self.ids.append(record.id)
        self.hold(record)
        return record

    def live(self, id_: int) -> Record | None:
        """The record with exactly this id, unless archived."""
        record = self.records.get(id_)
        return None if record is None or record.archived_ms is not None else record

    def resolve(self, id_: int) -> Record | None:
        """As `live`, but an id that was merged away leads to the record it became."""
        hops = 0
        while id_ in self.merged and hops <= len(self.merged):
            id_ = self.merged[id_]
            hops += 1
        return self.live(id_)

    def holder(self, property_name: str, value: str) -> Record | None:
        """The live record that holds a unique value; e-mails without regard to case, secondary ones as well."""
        index = self.unique.get(property_name)
        if index is None:
            return None
        id_ = index.get(self.key(property_name, value))
        return None if id_ is None else self.records[id_]

    def key(self, property_name: str, value: str) -> str:
        definition = self.properties.get(property_name)
        return value.strip().lower() if definition is not None and definition.is_email else value

    def hold(self, record: Record) -> None:
        for name, index in self.unique.items():
            for value in self._values(record, name):
                index[value] = record.id

    def release(self, record: Record) -> None:
        for name, index in self.unique.items():
            for value in self._values(record, name):
                if index.get(value) == record.id:
                    del index[value]

    def _values(self, record: Record, name: str) -> list[str]:
        value = record.properties.get(name)
        values = [] if value is None else [self.key(name, value)]
        if name == "email" and (others := record.properties.get("hs_additional_emails")):
            values += [self.key(name, other) for other in others.split(";")]
        return values

    def remove(self, record: Record) -> None:
        """Forget a record for good."""
        self.release(record)
        del self.records[record.id]
        del self.ids[bisect_left(self.ids, record.id)]

    def from_id(self, first: int) -> Iterator[Record]:
        """Records with this id or a higher one, in id order, archived ones as well."""
        for position in range(bisect_left(self.ids, first), len(self.ids)):
            yield self.records[self.ids[position]]
