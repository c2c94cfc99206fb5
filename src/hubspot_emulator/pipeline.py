"""Pipelines and their stages: which stages a deal or ticket may be in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .clock import iso
from .problems import BadRequest, Conflict, NotFound

__all__ = ["Pipeline", "Pipelines", "Stage", "standard_pipelines"]


@dataclass(slots=True)
class Stage:
    """`metadata` holds strings: `isClosed` and `probability` of a deal's stage, `ticketState` of a ticket's."""

    id: str
    label: str
    display_order: int
    metadata: dict[str, str]
    created_ms: int = 0
    updated_ms: int = 0
    archived: bool = False

    def wire(self) -> dict[str, Any]:
        return {
            "label": self.label,
            "displayOrder": self.display_order,
            "metadata": self.metadata,
            "createdAt": iso(self.created_ms),
            "updatedAt": iso(self.updated_ms),
            "writePermissions": "CRM_PERMISSIONS_ENFORCEMENT",
            "archived": self.archived,
            "id": self.id,
        }


@dataclass(slots=True)
class Pipeline:
    id: str
    label: str
    display_order: int
    stages: dict[str, Stage] = field(default_factory=dict)
    created_ms: int = 0
    updated_ms: int = 0

    def wire(self) -> dict[str, Any]:
        return {
            "label": self.label,
            "displayOrder": self.display_order,
            "id": self.id,
            "stages": [stage.wire() for stage in self.stages.values()],
            "createdAt": iso(self.created_ms),
            "updatedAt": iso(self.updated_ms),
            "archived": False,
        }

    def stage(self, stage_id: str) -> Stage:
        if stage_id not in self.stages:
            raise NotFound(f"Stage {stage_id} of pipeline {self.id} does not exist")
        return self.stages[stage_id]


class Pipelines:
    """The pipelines of one object type; none means that stages are not checked."""

    def __init__(self, pipelines: list[Pipeline]) -> None:
        self._pipelines = {one.id: one for one in pipelines}
        self._next = 1_001

    def all(self) -> list[Pipeline]:
        return sorted(self._pipelines.values(), key=lambda one: one.display_order)

    def get(self, pipeline_id: str) -> Pipeline:
        if pipeline_id not in self._pipelines:
            raise NotFound(f"Pipeline {pipeline_id} does not exist")
        return self._pipelines[pipeline_id]

    def find(self, pipeline_id: str) -> Pipeline | None:
        return self._pipelines.get(pipeline_id)

    def first(self) -> Pipeline | None:
        return next(iter(self.all()), None)

    def add(self, body: Mapping[str, Any], now_ms: int, pipeline_id: str | None = None) -> Pipeline:
        """From `{label, displayOrder, stages: [...]}`. Raises BadRequest, Conflict for a taken label."""
        label, order = _labelled(body)
        stages = body.get("stages")
        if not isinstance(stages, list) or not all(isinstance(stage, Mapping) for stage in stages):
            raise BadRequest("Some required fields were not set: [stages]")
        if any(one.label == label and one.id != pipeline_id for one in self._pipelines.values()):
            raise Conflict(f"A pipeline with the label {label} already exists")
        wanted_id = body.get("pipelineId")
        chosen = pipeline_id or (wanted_id if isinstance(wanted_id, str) and wanted_id else None) or self._take()
        if pipeline_id is None and chosen in self._pipelines:
            raise Conflict(f"Pipeline {chosen} already exists")
        pipeline = Pipeline(chosen, label, order, created_ms=now_ms, updated_ms=now_ms)
        for stage in stages:
            self.add_stage(pipeline, stage, now_ms)
        self._pipelines[pipeline.id] = pipeline
        return pipeline

    def add_stage(self, pipeline: Pipeline, body: Mapping[str, Any], now_ms: int, stage_id: str | None = None) -> Stage:
        label, order = _labelled(body)
        metadata = body.get("metadata", {})
        if not isinstance(metadata, Mapping) or not all(isinstance(value, str) for value in metadata.values()):
            raise BadRequest("Invalid input JSON: metadata must be an object of strings")
        if any(one.label == label and one.id != stage_id for one in pipeline.stages.values()):
            raise Conflict(f"A stage with the label {label} already exists")
        wanted_id = body.get("stageId")
        chosen = stage_id or (wanted_id if isinstance(wanted_id, str) and wanted_id else None) or self._take()
        pipeline.stages[chosen] = Stage(chosen, label, order, dict(metadata), now_ms, now_ms)
        pipeline.updated_ms = now_ms
        return pipeline.stages[chosen]

    def remove(self, pipeline_id: str) -> None:
        del self._pipelines[self.get(pipeline_id).id]

    def _take(self) -> str:
        self._next += 1
        return str(self._next - 1)


def _labelled(body: Mapping[str, Any]) -> tuple[str, int]:
    label, order = body.get("label"), body.get("displayOrder", 0)
    if not isinstance(label, str) or not label:
        raise BadRequest("Some required fields were not set: [label]")
    if isinstance(order, bool) or not isinstance(order, int):
        raise BadRequest("Invalid input JSON: displayOrder must be a number")
    return label, order


def standard_pipelines(type_name: str) -> Pipelines:
    """The pipeline that a new account has for deals and for tickets."""
    if type_name == "deals":
        stages = {
            "appointmentscheduled": ("Appointment scheduled", "0.2"),
            "qualifiedtobuy": ("Qualified to buy", "0.4"),
            "presentationscheduled": ("Presentation scheduled", "0.6"),
            "decisionmakerboughtin": ("Decision maker bought-in", "0.8"),
            "contractsent": ("Contract sent", "0.9"),
            "closedwon": ("Closed won", "1.0"),
            "closedlost": ("Closed lost", "0.0"),
        }
        closed = ("closedwon", "closedlost")
        listed = {
            id_: Stage(id_, label, order, {"isClosed": str(id_ in closed).lower(), "probability": probability})
            for order, (id_, (label, probability)) in enumerate(stages.items())
        }
        return Pipelines([Pipeline("default", "Sales Pipeline", 0, listed)])
    if type_name == "tickets":
        labels = ("New", "Waiting on contact", "Waiting on us", "Closed")
        listed = {
            str(number): Stage(str(number), label, number - 1, {"ticketState": "CLOSED" if number == 4 else "OPEN"})
            for number, label in enumerate(labels, 1)
        }
        return Pipelines([Pipeline("0", "Support Pipeline", 0, listed)])
    return Pipelines([])
