"""A property's definition: what values it takes and how it is shown on the wire."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

from .clock import iso
from .problems import PropertyError

__all__ = ["PropertyDefinition", "instant_ms"]

_EMAIL = re.compile(
    r"[^\s@<>(),;:\"\[\]\\]+@(?:[^\s@<>(),;:\"\[\]\\.\-][^\s@<>(),;:\"\[\]\\.]*\.)+[^\s@<>(),;:\"\[\]\\.\d]{2,}"
)
_DAY_MS = 86_400_000
_MAX_LENGTH = 65_536


@dataclass(slots=True)
class PropertyDefinition:
    """`type` is one of string, number, date, datetime, enumeration, bool; `options` maps value → label."""

    name: str
    label: str
    type: str = "string"
    field_type: str = "text"
    group_name: str = ""
    description: str = ""
    options: dict[str, str] = field(default_factory=dict)
    read_only: bool = False
    unique: bool = False
    calculated: bool = False
    hubspot_defined: bool = False
    hidden: bool = False
    form_field: bool = False
    display_order: int = -1
    created_ms: int = 0
    updated_ms: int = 0
    archived_ms: int | None = None
    is_email: bool = False
    external_options: bool = False

    def parse(self, value: str) -> str | PropertyError:
        """The value as HubSpot stores it, or why it is refused. Never called for the clearing `""`."""
        if self.type == "string":
            return self._parse_text(value)
        if self.type in ("enumeration", "bool"):
            return self._parse_option(value)
        if self.type == "number":
            return self._parse_number(value)
        return self._parse_date(value)

    def _parse_text(self, value: str) -> str | PropertyError:
        if len(value) > _MAX_LENGTH:
            return self._error("PROPERTY_LENGTH_EXCEEDED", f"{value[:20]}… is longer than {_MAX_LENGTH} characters")
        if (self.is_email or self.unique) and value != value.strip():
            return self._error("LEADING_TRAILING_WHITESPACE", f"{value!r} has leading or trailing whitespace")
        if not self.is_email:
            return value
        if len(value) > 254 or _EMAIL.fullmatch(value) is None:
            return self._error("INVALID_EMAIL", f"Email address {value} is invalid")
        return value.lower()

    def _parse_option(self, value: str) -> str | PropertyError:
        if self.external_options:
            return value
        chosen = value.strip(";").split(";") if self.field_type == "checkbox" else [value]
        if self.type == "bool" and value.lower() in ("true", "false"):
            return value.lower()
        for one in chosen:
            if one not in self.options:
                allowed = ", ".join(list(self.options)[:20])
                return self._error("INVALID_OPTION", f"{one} was not one of the allowed options: [{allowed}]")
        return value

    def added(self, parsed: str, before: str) -> str:
        """What is stored of a parsed value: `;blue` adds to the checkboxes that are ticked already [D]."""
        if self.field_type != "checkbox" or ";" not in parsed:
            return parsed
        kept = before.split(";") if parsed.startswith(";") else []
        return ";".join(dict.fromkeys(one for one in [*kept, *parsed.split(";")] if one))

    def _parse_number(self, value: str) -> str | PropertyError:
        try:
            number = float(value)
        except ValueError:
            number = float("nan")
        if number != number or number in (float("inf"), float("-inf")) or not value.isascii():
            return self._error("INVALID_LONG", f"{value} was not a valid number.")
        return value.strip()

    def _parse_date(self, value: str) -> str | PropertyError:
        at_ms = instant_ms(value)
        if at_ms is None:
            return self._error("INVALID_DATE", f"{value} was not a valid long or ISO 8601 date.")
        if self.type == "datetime":
            return iso(at_ms)
        if at_ms % _DAY_MS:
            return self._error("INVALID_DATE", f"{value} is at {iso(at_ms)[11:19]} UTC, not midnight!")
        return iso(at_ms)[:10]

    def _error(self, code: str, message: str) -> PropertyError:
        return PropertyError(self.name, code, message)

    def wire(self) -> dict[str, Any]:
        """The definition as the properties endpoints answer it."""
        body: dict[str, Any] = {
            "updatedAt": iso(self.updated_ms),
            "createdAt": iso(self.created_ms),
            "name": self.name,
            "label": self.label,
            "type": self.type,
            "fieldType": self.field_type,
            "description": self.description,
            "groupName": self.group_name,
            "options": [
                {"label": label, "value": value, "description": "", "displayOrder": order, "hidden": False}
                for order, (value, label) in enumerate(self.options.items())
            ],
            "displayOrder": self.display_order,
            "calculated": self.calculated,
            "externalOptions": self.external_options,
            "archived": self.archived_ms is not None,
            "hasUniqueValue": self.unique,
            "hidden": self.hidden,
            "hubspotDefined": self.hubspot_defined,
            "modificationMetadata": {
                "archivable": not self.hubspot_defined,
                "readOnlyDefinition": self.hubspot_defined,
                "readOnlyValue": self.read_only,
                "readOnlyOptions": self.hubspot_defined,
            },
            "formField": self.form_field,
            "dataSensitivity": "non_sensitive",
        }
        if self.archived_ms is not None:
            body["archivedAt"] = iso(self.archived_ms)
        return body

    def change(self, body: Mapping[str, Any]) -> None:
        """Take over what a PATCH may change; `body` is already checked for shape."""
        self.label = body.get("label", self.label)
        self.description = body.get("description", self.description)
        self.group_name = body.get("groupName", self.group_name)
        self.field_type = body.get("fieldType", self.field_type)
        self.display_order = body.get("displayOrder", self.display_order)
        self.hidden = body.get("hidden", self.hidden)
        self.form_field = body.get("formField", self.form_field)
        if "options" in body:
            self.options = {option["value"]: option["label"] for option in body["options"]}


def instant_ms(text: str) -> int | None:
    """Milliseconds of an epoch number, an ISO date or an ISO timestamp; None when it is none of these."""
    digits = text[1:] if text.startswith("-") else text
    if digits.isascii() and digits.isdecimal():
        at_ms = int(text) if len(digits) <= 15 else None
        return at_ms if at_ms is not None and -62_135_596_800_000 <= at_ms < 253_402_300_800_000 else None
    try:
        if len(text) == 10:
            day = date.fromisoformat(text)
            moment = datetime(day.year, day.month, day.day, tzinfo=UTC)
        else:
            moment = datetime.fromisoformat(text)
            if moment.tzinfo is None:
                moment = moment.replace(tzinfo=UTC)
        return round(moment.timestamp() * 1000)
    except (ValueError, OverflowError):
        return None
