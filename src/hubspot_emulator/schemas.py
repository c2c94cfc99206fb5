"""Custom objects: schemas that make an object type of their own."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .catalogue import group_of
from .clock import iso
from .definitions import define_property
from .objecttype import ObjectType
from .portal import Portal
from .problems import BadRequest, Conflict, NotFound
from .table import Table

__all__ = ["Schema", "Schemas"]

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,99}")


@dataclass(slots=True)
class Schema:
    """What defines a custom object beside its properties."""

    table: Table
    labels: dict[str, str]
    searchable: list[str]
    display: str
    secondary: list[str]
    description: str
    created_ms: int
    updated_ms: int
    associations: list[dict[str, Any]] = field(default_factory=list)

    def wire(self) -> dict[str, Any]:
        type_ = self.table.type
        return {
            "labels": self.labels,
            "requiredProperties": list(self.table.required),
            "searchableProperties": self.searchable,
            "primaryDisplayProperty": self.display,
            "secondaryDisplayProperties": self.secondary,
            "description": self.description,
            "archived": False,
            "restorable": True,
            "allowsSensitiveProperties": False,
            "id": type_.type_id.partition("-")[2],
            "objectTypeId": type_.type_id,
            "fullyQualifiedName": type_.fully_qualified_name,
            "name": type_.name,
            "createdAt": iso(self.created_ms),
            "updatedAt": iso(self.updated_ms),
            "createdByUserId": 9_501,
            "updatedByUserId": 9_501,
            "properties": [one.wire() for one in self.table.properties.values() if one.archived_ms is None],
            "associations": self.associations,
        }


class Schemas:
    """The custom object types of a portal."""

    def __init__(self, portal: Portal) -> None:
        self._portal = portal
        self._schemas: dict[str, Schema] = {}
        self._next = 1

    def all(self) -> list[Schema]:
        return list(self._schemas.values())

    def get(self, name: str) -> Schema:
        """By fully qualified name or type id. Raises NotFound, for standard types as well."""
        try:
            table = self._portal.table(name)
        except BadRequest:
            raise NotFound(f"Schema {name} does not exist") from None
        schema = self._schemas.get(table.type.type_id)
        if schema is None:
            raise NotFound(f"{name} is no custom object")
        return schema

    def create(self, body: Mapping[str, Any]) -> Schema:
        """Raises BadRequest, Conflict for a taken name."""
        name, labels = body.get("name"), body.get("labels")
        if not isinstance(name, str) or _NAME.fullmatch(name) is None:
            raise BadRequest(f"Schema name {name!r} must start with a letter and hold letters, digits and _")
        if not isinstance(labels, Mapping) or not all(
            isinstance(labels.get(one), str) for one in ("singular", "plural")
        ):
            raise BadRequest("Some required fields were not set: [labels]")
        required, searchable, secondary = (
            _texts(body, key) for key in ("requiredProperties", "searchableProperties", "secondaryDisplayProperties")
        )
        targets = [self._portal.table(one) for one in _texts(body, "associatedObjects")]
        raw_properties = body.get("properties")
        if not isinstance(raw_properties, list) or not raw_properties:
            raise BadRequest("Some required fields were not set: [properties]")
        display = body.get("primaryDisplayProperty") or (required[0] if required else "hs_object_id")
        full_name = f"p{self._portal.id}_{name.lower()}"
        if any(schema.table.type.fully_qualified_name == full_name for schema in self._schemas.values()):
            raise Conflict(f"Schema {name} already exists")
        object_type = ObjectType(
            name=name.lower(),
            singular=name.lower(),
            type_id=f"2-{1_000_000 + self._next}",
            default_properties=("hs_createdate", "hs_lastmodifieddate", "hs_object_id"),
            display_property=str(display),
            searched_properties=tuple(searchable),
            read_scope="crm.objects.custom.read",
            write_scope="crm.objects.custom.write",
            fully_qualified_name=full_name,
        )
        table = self._build(object_type, raw_properties, [*required, *searchable, str(display)])
        table.required = tuple(required)
        self._next += 1
        now_ms = self._portal.clock.now_ms()
        description = body.get("description")
        schema = Schema(
            table,
            {"singular": labels["singular"], "plural": labels["plural"]},
            searchable,
            str(display),
            secondary,
            description if isinstance(description, str) else "",
            now_ms,
            now_ms,
        )
        self._schemas[object_type.type_id] = schema
        for target in targets:
            self.associate(schema, target, None)
        return schema

    def _build(self, object_type: ObjectType, raw_properties: list[Any], used: list[str]) -> Table:
        """The type with its properties; leaves nothing behind when one of them is refused."""
        table = self._portal.add_type(object_type)
        try:
            for raw in raw_properties:
                if not isinstance(raw, Mapping):
                    raise BadRequest("Invalid input JSON: properties must be a list of objects")
                define_property(table, {"groupName": group_of(object_type), **raw}, self._portal.clock)
            if unknown := [name for name in used if name not in table.properties]:
                raise BadRequest(f"Properties {unknown} are not defined by the schema")
        except Exception:
            self._portal.drop_type(object_type)
            raise
        return table

    def change(self, schema: Schema, body: Mapping[str, Any]) -> Schema:
        """Labels, description, and which properties are required, searched and displayed."""
        required = _texts(body, "requiredProperties") if "requiredProperties" in body else None
        searchable = _texts(body, "searchableProperties") if "searchableProperties" in body else None
        secondary = _texts(body, "secondaryDisplayProperties") if "secondaryDisplayProperties" in body else None
        named = [*(required or []), *(searchable or []), *(secondary or [])]
        if unknown := [name for name in named if name not in schema.table.properties]:
            raise BadRequest(f"Properties {unknown} are not defined by the schema")
        labels = body.get("labels", {})
        if not isinstance(labels, Mapping) or not all(isinstance(value, str) for value in labels.values()):
            raise BadRequest("Invalid input JSON: labels must be an object of strings")
        schema.labels |= {key: value for key, value in labels.items() if key in ("singular", "plural")}
        schema.table.required = schema.table.required if required is None else tuple(required)
        schema.searchable = schema.searchable if searchable is None else searchable
        schema.secondary = schema.secondary if secondary is None else secondary
        if isinstance(body.get("description"), str):
            schema.description = body["description"]
        schema.updated_ms = self._portal.clock.now_ms()
        return schema

    def remove(self, schema: Schema) -> None:
        """Raises BadRequest while there are records of the type [D]."""
        if any(not record.archived for record in schema.table.records.values()):
            raise BadRequest("A schema with records cannot be deleted")
        for record in list(schema.table.records.values()):
            self._portal.purge(schema.table, record)
        del self._schemas[schema.table.type.type_id]
        self._portal.drop_type(schema.table.type)

    def associate(self, schema: Schema, target: Table, name: str | None) -> dict[str, Any]:
        """Define an association to another type; answers both directions' definition, as the wire has it."""
        types = self._portal.relations.store.types
        type_ = types.default(schema.table.type, target.type)
        if name is not None:
            type_, _ = types.add_label(schema.table.type, target.type, name, name, None)
        definition = {
            "fromObjectTypeId": schema.table.type.type_id,
            "toObjectTypeId": target.type.type_id,
            "name": type_.name,
            "id": str(type_.type_id),
            "createdAt": iso(self._portal.clock.now_ms()),
            "updatedAt": iso(self._portal.clock.now_ms()),
        }
        schema.associations.append(definition)
        return definition

    def dissociate(self, schema: Schema, identifier: str) -> None:
        """By name or id. Raises NotFound."""
        for position, one in enumerate(schema.associations):
            if identifier in (one["id"], one["name"]):
                del schema.associations[position]
                return
        raise NotFound(f"Association {identifier} does not exist")


def _texts(body: Mapping[str, Any], key: str) -> list[str]:
    values = body.get(key, [])
    if not isinstance(values, list) or not all(isinstance(one, str) for one in values):
        raise BadRequest(f"Invalid input JSON: {key} must be a list of strings")
    return values
