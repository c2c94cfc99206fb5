"""Pipelines: the stages that a deal, a ticket or another type of record goes through."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from crm_sync.hubspot.caller import Caller, each
from crm_sync.hubspot.exchange import Json
from crm_sync.hubspot.objects import id_in
from crm_sync.hubspot.times import time_in


@dataclass(frozen=True, slots=True)
class PipelineStage:
    """A stage; its `id` is what a record's stage property holds.

    metadata  texts: `isClosed` and `probability` for deals, `ticketState` for tickets
    """

    id: str
    label: str
    display_order: int
    archived: bool = False
    created_at: datetime | None = None
    updated_at: datetime | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, body: Json) -> PipelineStage:
        metadata = body.get("metadata") or {}
        return cls(
            id=id_in(body),
            label=body["label"],
            display_order=int(body["displayOrder"]),
            archived=body.get("archived") is True,
            created_at=time_in(body.get("createdAt")),
            updated_at=time_in(body.get("updatedAt")),
            metadata={name: str(value) for name, value in metadata.items()},
        )


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A pipeline with its stages, which are in the order of HubSpot's answer: sort by `display_order` to show them."""

    id: str
    label: str
    display_order: int
    archived: bool = False
    created_at: datetime | None = None
    updated_at: datetime | None = None
    stages: tuple[PipelineStage, ...] = ()

    @classmethod
    def of(cls, body: Json) -> Pipeline:
        return cls(
            id=id_in(body),
            label=body["label"],
            display_order=int(body["displayOrder"]),
            archived=body.get("archived") is True,
            created_at=time_in(body.get("createdAt")),
            updated_at=time_in(body.get("updatedAt")),
            stages=tuple(PipelineStage.of(stage) for stage in body["stages"]),
        )


class PipelineCalls(Caller):
    async def list_pipelines(self, object_type: str) -> tuple[Pipeline, ...]:
        """Every pipeline of the type with its stages, in one call; () for a type without.

        Deleted ones do not come, though the history of records goes on naming them.
        """
        return await self._get(f"{object_type}.pipelines", self._paths.pipelines(object_type), each(Pipeline.of))
