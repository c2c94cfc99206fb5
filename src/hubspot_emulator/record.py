"""One record and its history, small enough that a million fit into memory."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .clock import iso
from .objecttype import ObjectType

__all__ = ["Record", "Version", "shown"]

Version = tuple[int, str]
"""When (ms) a value was written, and the value; `""` for cleared."""


class Record:
    """A record of any type.

    `properties` holds what was written, never a cleared value; the id, dates and merged ids are computed when
    they are read. `history` starts with the second write of a property: the version of a property that is
    not in it is the one of the record's creation.
    """

    __slots__ = ("archived_ms", "created_ms", "history", "id", "merged_ids", "properties", "type", "updated_ms")

    def __init__(self, id_: int, object_type: ObjectType, properties: dict[str, str], at_ms: int) -> None:
        self.id = id_
        self.type = object_type
        self.properties = properties
        self.created_ms = at_ms
        self.updated_ms = at_ms
        self.archived_ms: int | None = None
        self.history: dict[str, list[Version]] | None = None
        self.merged_ids: tuple[int, ...] = ()

    @property
    def archived(self) -> bool:
        return self.archived_ms is not None

    def value(self, name: str) -> str | None:
        """The value that the API shows; None when the property was never set, or cleared."""
        found = self.properties.get(name)
        if found is not None:
            return found
        if name == "hs_object_id":
            return str(self.id)
        if name == self.type.modified_property:
            return iso(self.updated_ms)
        if name == self.type.created_property:
            return iso(self.created_ms)
        if name == "hs_merged_object_ids" and self.merged_ids:
            return ";".join(map(str, self.merged_ids))
        return None

    def write(self, changes: dict[str, str], at_ms: int) -> bool:
        """Set values (`""` clears) and move the modified date. False when every value was there already."""
        changed = False
        for name, value in changes.items():
            before = self.properties.get(name, "")
            if value == before:
                continue
            changed = True
            if self.history is None:
                self.history = {}
            versions = self.history.get(name)
            if versions is None:
                versions = self.history[name] = [(self.created_ms, before)] if before else []
            versions.append((at_ms, value))
            if value:
                self.properties[name] = value
            else:
                self.properties.pop(name, None)
        self.updated_ms = at_ms
        return changed

    def versions(self, name: str) -> list[Version]:
        """Every version of a property, newest first."""
        if self.history is not None and name in self.history:
            return self.history[name][::-1]
        value = self.value(name)
        if value is None:
            return []
        at_ms = self.updated_ms if name == self.type.modified_property else self.created_ms
        return [(at_ms, value)]


def shown(record: Record, names: Iterable[str] | None = None, with_history: Iterable[str] = ()) -> dict[str, Any]:
    """The record on the wire. `names` None: everything that is set, as after a write; otherwise exactly the named
    properties, null where unset, and those that are always there."""
    type_ = record.type
    properties: dict[str, str | None]
    if names is None:
        properties = {**record.properties}
        if record.merged_ids:
            properties["hs_merged_object_ids"] = record.value("hs_merged_object_ids")
    else:
        value = record.value
        properties = {name: value(name) for name in names}
    created = iso(record.created_ms)
    updated = created if record.updated_ms == record.created_ms else iso(record.updated_ms)
    properties[type_.created_property] = created
    properties["hs_object_id"] = str(record.id)
    properties[type_.modified_property] = updated
    body: dict[str, Any] = {
        "id": str(record.id),
        "properties": properties,
        "createdAt": created,
        "updatedAt": updated,
        "archived": record.archived_ms is not None,
    }
    if record.archived_ms is not None:
        body["archivedAt"] = iso(record.archived_ms)
    if with_history:
        body["propertiesWithHistory"] = {
            name: [
                {"value": value, "timestamp": iso(at_ms), "sourceType": "INTEGRATION", "sourceId": "0"}
                for at_ms, value in versions
            ]
            for name in with_history
            if (versions := record.versions(name))
        }
    return body
