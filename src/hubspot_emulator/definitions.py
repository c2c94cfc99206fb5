"""Defining properties: what a request to create or change one may say."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .clock import Clock
from .problems import BadRequest, Conflict, NotFound
from .propertydef import PropertyDefinition
from .table import Table

__all__ = [
    "archive_property",
    "change_group",
    "change_property",
    "define_group",
    "define_property",
    "defined",
    "group",
    "refuse_hubspots_own",
    "remove_group",
]

_FIELD_TYPES = {
    "string": {"text", "textarea", "file", "html", "phonenumber"},
    "number": {"number", "calculation_equation"},
    "bool": {"booleancheckbox", "calculation_equation"},
    "enumeration": {"select", "radio", "checkbox", "booleancheckbox"},
    "date": {"date"},
    "datetime": {"date"},
}
_NAME = re.compile(r"[a-z][a-z0-9_]{0,99}")


def defined(table: Table, name: str, *, archived: bool = False) -> PropertyDefinition:
    """Raises NotFound unless the property is there, and archived or not as asked."""
    definition = table.properties.get(name)
    if definition is None or (definition.archived_ms is not None) != archived:
        raise NotFound(f"Property {name} does not exist for object type {table.type.type_id}")
    return definition


def define_property(table: Table, body: Mapping[str, Any], clock: Clock) -> PropertyDefinition:
    """A custom property. Raises Conflict when the name is taken, BadRequest for a body that cannot be."""
    required = ("name", "label", "type", "fieldType", "groupName")
    if lacking := [key for key in required if not isinstance(body.get(key), str) or not body[key]]:
        raise BadRequest(f"Some required fields were not set: [{', '.join(lacking)}]")
    name = body["name"]
    if _NAME.fullmatch(name) is None:
        raise BadRequest(f"Property name {name!r} must start with a letter and hold a-z, 0-9 and _ only")
    if body["fieldType"] not in _FIELD_TYPES.get(body["type"], set()):
        raise BadRequest(f"fieldType {body['fieldType']} does not suit type {body['type']}")
    _check(table, body)
    existing = table.properties.get(name)
    if existing is not None and existing.archived_ms is None:
        raise Conflict(f"Property {name} already exists", propertyName=[name])
    now_ms = clock.now_ms()
    definition = PropertyDefinition(
        name=name,
        label=body["label"],
        type=body["type"],
        field_type=body["fieldType"],
        unique=body.get("hasUniqueValue", False),
        calculated=body["fieldType"] == "calculation_equation",
        read_only=body["fieldType"] == "calculation_equation",
        created_ms=now_ms,
        updated_ms=now_ms,
    )
    definition.change(body)
    if definition.type == "bool":
        definition.options = {"true": "True", "false": "False"}
    elif definition.type == "enumeration" and not definition.options:
        raise BadRequest(f"Property {name} is an enumeration and needs options")
    table.properties[name] = definition
    if definition.unique:
        table.unique[name] = {}
    table.version += 1
    return definition


def change_property(table: Table, name: str, body: Mapping[str, Any], clock: Clock) -> PropertyDefinition:
    definition = defined(table, name)
    if definition.hubspot_defined and set(body) - {"label", "description", "displayOrder", "formField"}:
        raise BadRequest(f"Property {name} is defined by HubSpot and cannot be changed")
    _check(table, body)
    definition.change(body)
    definition.updated_ms = clock.now_ms()
    return definition


def archive_property(table: Table, name: str, clock: Clock) -> None:
    definition = defined(table, name)
    refuse_hubspots_own(table, name)
    definition.archived_ms = clock.now_ms()
    table.unique.pop(name, None)
    table.version += 1


def refuse_hubspots_own(table: Table, name: str) -> None:
    """Raises BadRequest for a property that every account has."""
    definition = table.properties.get(name)
    if definition is not None and definition.hubspot_defined:
        raise BadRequest(f"Property {name} is defined by HubSpot and cannot be archived")


def group(table: Table, name: str) -> dict[str, Any]:
    """Raises NotFound."""
    if name not in table.groups:
        raise NotFound(f"Property group {name} does not exist")
    return table.groups[name]


def define_group(table: Table, body: Mapping[str, Any]) -> dict[str, Any]:
    name, label, order = body.get("name"), body.get("label"), body.get("displayOrder", -1)
    if not isinstance(name, str) or not isinstance(label, str) or _NAME.fullmatch(name) is None:
        raise BadRequest("Some required fields were not set: [name, label]")
    if isinstance(order, bool) or not isinstance(order, int):
        raise BadRequest("Invalid input JSON: displayOrder must be a number")
    if name in table.groups:
        raise Conflict(f"Property group {name} already exists")
    return table.add_group(name, label, order)


def change_group(table: Table, name: str, body: Mapping[str, Any]) -> dict[str, Any]:
    changed = group(table, name)
    label, order = body.get("label", changed["label"]), body.get("displayOrder", changed["displayOrder"])
    if not isinstance(label, str) or isinstance(order, bool) or not isinstance(order, int):
        raise BadRequest("Invalid input JSON: label must be text, displayOrder a number")
    changed |= {"label": label, "displayOrder": order}
    return changed


def remove_group(table: Table, name: str) -> None:
    """Raises BadRequest while properties are in it."""
    group(table, name)
    if any(one.group_name == name and one.archived_ms is None for one in table.properties.values()):
        raise BadRequest(f"Property group {name} still has properties")
    del table.groups[name]


def _check(table: Table, body: Mapping[str, Any]) -> None:
    """Raises BadRequest for a value of the wrong shape, or a group that does not exist."""
    texts = ("label", "description", "groupName", "fieldType")
    if wrong := [key for key in texts if key in body and not isinstance(body[key], str)]:
        raise BadRequest(f"Invalid input JSON: {', '.join(wrong)} must be text")
    flags = ("hidden", "formField", "hasUniqueValue")
    if wrong := [key for key in flags if key in body and not isinstance(body[key], bool)]:
        raise BadRequest(f"Invalid input JSON: {', '.join(wrong)} must be true or false")
    order = body.get("displayOrder", 0)
    if isinstance(order, bool) or not isinstance(order, int):
        raise BadRequest("Invalid input JSON: displayOrder must be a number")
    if "groupName" in body and body["groupName"] not in table.groups:
        raise BadRequest(f"Property group {body['groupName']} does not exist")
    options = body.get("options", [])
    if not isinstance(options, list) or not all(
        isinstance(one, Mapping) and isinstance(one.get("value"), str) and isinstance(one.get("label"), str)
        for one in options
    ):
        raise BadRequest("Invalid input JSON: options must be a list of {label, value}")
