"""What a write may say: property values checked and put into the form that HubSpot stores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .behaviour import Behaviour
from .catalogue import LIFECYCLE_STAGES
from .pipeline import Pipelines
from .problems import BadRequest, InvalidProperties, PropertyError
from .record import Record
from .table import Table

__all__ = ["Values", "forward_only"]


class Values:
    """The checks of one portal; `pipelines` by type id."""

    def __init__(self, portal_id: int, behaviour: Behaviour, pipelines: Mapping[str, Pipelines]) -> None:
        self._portal_id = portal_id
        self._behaviour = behaviour
        self._pipelines = pipelines

    def for_new(self, table: Table, raw: object) -> dict[str, str]:
        """As `cleaned`, for a record that is to be created: required properties must be there."""
        cleaned = self.cleaned(table, raw)
        if lacking := [name for name in table.required if not cleaned.get(name)]:
            errors = [PropertyError(name, "REQUIRED_FIELD", f"{name} is required") for name in lacking]
            raise InvalidProperties(errors, self._portal_id)
        return cleaned

    def cleaned(self, table: Table, raw: object, record: Record | None = None) -> dict[str, str]:
        """Property values as HubSpot would store them; `""` stands for cleared. `record`: what they are for.

        Raises InvalidProperties with every refused value, BadRequest when `raw` is no map of strings.
        """
        if not isinstance(raw, Mapping):
            raise BadRequest("Invalid input JSON: properties must be an object of strings")
        definitions = table.properties
        cleaned: dict[str, str] = {}
        errors: list[PropertyError] = []
        for name, value in raw.items():
            definition = definitions.get(name)
            if definition is None or definition.archived_ms is not None:
                errors.append(PropertyError(name, "PROPERTY_DOESNT_EXIST", f'Property "{name}" does not exist'))
                continue
            text = self._text(name, value)
            if definition.read_only:
                message = f'"{name}" is a read only property; its value cannot be set.'
                errors.append(PropertyError(name, "READ_ONLY_VALUE", message))
            elif not text:
                cleaned[name] = ""
            else:
                parsed = definition.parse(text)
                if isinstance(parsed, PropertyError):
                    errors.append(parsed)
                else:
                    before = record.properties.get(name, "") if record is not None else ""
                    cleaned[name] = definition.added(parsed, before)
        if error := self._stage_error(table, cleaned, record):
            errors.append(error)
        if errors:
            raise InvalidProperties(errors, self._portal_id)
        return cleaned

    def _stage_error(self, table: Table, cleaned: dict[str, str], record: Record | None) -> PropertyError | None:
        """Refuses a stage that is not one of its pipeline's; sets what a deal's stage implies."""
        type_ = table.type
        if type_.stage_property is None or type_.pipeline_property is None:
            return None
        pipelines = self._pipelines[type_.type_id]
        first = pipelines.first()
        if first is None:
            return None
        before = record.properties if record is not None else {}
        pipeline_id = cleaned.get(type_.pipeline_property) or before.get(type_.pipeline_property)
        if pipeline_id is None:
            pipeline_id = cleaned[type_.pipeline_property] = first.id
        pipeline = pipelines.find(pipeline_id)
        if pipeline is None:
            return PropertyError(type_.pipeline_property, "INVALID_OPTION", f"{pipeline_id} is no pipeline")
        stage_id = cleaned.get(type_.stage_property)
        if not stage_id:
            return None
        stage = pipeline.stages.get(stage_id)
        if stage is None:
            message = f"{stage_id} is no stage of pipeline {pipeline_id}"
            return PropertyError(type_.stage_property, "INVALID_OPTION", message)
        if "isClosed" in stage.metadata:
            cleaned["hs_is_closed"] = stage.metadata["isClosed"]
            cleaned["hs_is_closed_won"] = str(stage.metadata.get("probability") == "1.0").lower()
        return None

    def _text(self, name: str, value: Any) -> str:
        if value is None:
            return ""
        if isinstance(value, str):
            return value
        if self._behaviour.accept_json_scalars and isinstance(value, bool | int | float):
            return str(value).lower() if isinstance(value, bool) else str(value)
        raise BadRequest(f"Invalid input JSON: the value of property {name} is not a string", propertyName=[name])


def forward_only(record: Record, cleaned: Mapping[str, str]) -> dict[str, str]:
    """The values without a lifecycle stage that would go backwards, which HubSpot leaves out silently [O]."""
    wanted = cleaned.get("lifecyclestage")
    current = record.properties.get("lifecyclestage")
    if not wanted or not current:
        return dict(cleaned)
    stages = LIFECYCLE_STAGES
    if wanted in stages and current in stages and stages.index(wanted) < stages.index(current):
        return {name: value for name, value in cleaned.items() if name != "lifecyclestage"}
    return dict(cleaned)
