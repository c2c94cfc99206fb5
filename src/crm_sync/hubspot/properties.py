"""Property definitions and their groups: which properties the records of an object type have."""

from __future__ import annotations

from dataclasses import dataclass

from crm_sync.hubspot.caller import Caller, each
from crm_sync.hubspot.exchange import Call, Json


@dataclass(frozen=True, slots=True)
class PropertyDefinition:
    """A property of an object type: `type` is string, date …, `field_type` the form field that shows it.

    options     the values (not the labels) that an enumeration takes, () for other types
    hidden      HubSpot does not show it to people
    calculated  HubSpot computes it: it cannot be written
    unique      no two records have the same value, so that a record can be asked for by it
    """

    name: str
    label: str
    type: str
    field_type: str
    group_name: str
    description: str = ""
    options: tuple[str, ...] = ()
    hidden: bool = False
    calculated: bool = False
    archived: bool = False
    unique: bool = False

    @classmethod
    def of(cls, body: Json) -> PropertyDefinition:
        return cls(
            name=body["name"],
            label=body.get("label") or "",
            type=body["type"],
            field_type=body.get("fieldType") or "",
            group_name=body.get("groupName") or "",
            description=body.get("description") or "",
            options=tuple(str(option["value"]) for option in body.get("options") or ()),
            hidden=body.get("hidden") is True,
            calculated=body.get("calculated") is True,
            archived=body.get("archived") is True,
            unique=body.get("hasUniqueValue") is True,
        )

    def body(self) -> Json:
        """HubSpot's JSON for it; options are labelled by their values."""
        body: Json = {
            "name": self.name,
            "label": self.label,
            "type": self.type,
            "fieldType": self.field_type,
            "groupName": self.group_name,
            "description": self.description,
        }
        if self.options:
            body["options"] = [
                {"value": value, "label": value, "displayOrder": order, "hidden": False}
                for order, value in enumerate(self.options)
            ]
        return body


@dataclass(frozen=True, slots=True)
class PropertyGroup:
    """A heading under which HubSpot shows properties."""

    name: str
    label: str

    @classmethod
    def of(cls, body: Json) -> PropertyGroup:
        return cls(name=body["name"], label=body.get("label") or "")


class PropertyCalls(Caller):
    async def list_properties(self, object_type: str) -> tuple[PropertyDefinition, ...]:
        """Every property of the type in one call, hidden and calculated ones too, archived ones not."""
        path = self._paths.properties(object_type)
        return await self._get(f"{object_type}.properties", path, each(PropertyDefinition.of))

    async def create_property(self, object_type: str, definition: PropertyDefinition) -> PropertyDefinition:
        """Raises Conflict when the name is taken."""
        call = Call(
            f"{object_type}.properties.create",
            "POST",
            self._paths.properties(object_type),
            body=definition.body(),
            repeatable=False,
        )
        return await self._transport.request(call, PropertyDefinition.of)

    async def list_property_groups(self, object_type: str) -> tuple[PropertyGroup, ...]:
        path = self._paths.properties(object_type, "groups")
        return await self._get(f"{object_type}.groups", path, each(PropertyGroup.of))

    async def create_property_group(self, object_type: str, group: PropertyGroup) -> PropertyGroup:
        """Raises Conflict when the name is taken."""
        call = Call(
            f"{object_type}.groups.create",
            "POST",
            self._paths.properties(object_type, "groups"),
            body={"name": group.name, "label": group.label},
            repeatable=False,
        )
        return await self._transport.request(call, PropertyGroup.of)
