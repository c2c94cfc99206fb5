"""HubSpot's records as values: what is sent, what comes back, and the answer to a batch.

`of` functions read HubSpot's JSON and raise KeyError, TypeError or ValueError for another shape.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from crm_sync.hubspot.errors import ErrorDetail, words
from crm_sync.hubspot.exchange import Json, context_in, details_in

#: HubSpot's values are texts; None and "" both mean: no value. Sending "" clears.
Properties = Mapping[str, str | None]

#: Most inputs of one batch call.
BATCH_SIZE = 100


@dataclass(frozen=True, slots=True)
class Record:
    """One record as HubSpot holds it.

    id        text of digits; of a merged record, the id of the one it went into
    new       of an upsert: True when it was created just now; None elsewhere
    trace_id  the `objectWriteTraceId` of the input, where HubSpot repeats it
    """

    id: str
    properties: Properties
    created_at: datetime | None = None
    updated_at: datetime | None = None
    archived: bool = False
    new: bool | None = None
    trace_id: str | None = None

    @classmethod
    def of(cls, body: Json) -> Record:
        record_id = body["id"]
        if not isinstance(record_id, str | int) or isinstance(record_id, bool) or not str(record_id):
            raise TypeError(f"a record's id is {record_id!r}")
        return cls(
            id=str(record_id),
            properties=dict(body.get("properties") or {}),
            created_at=_time(body.get("createdAt")),
            updated_at=_time(body.get("updatedAt")),
            archived=body.get("archived") is True,
            new=body.get("new"),
            trace_id=body.get("objectWriteTraceId"),
        )


@dataclass(frozen=True, slots=True)
class RecordInput:
    """One input of a batch write.

    id        a record id (update), or the value of the unique property (upsert)
    trace_id  repeated in the answer, so that it can be matched; unique within the batch. With one on every
              input, HubSpot answers for each input apart
    """

    id: str
    properties: Properties
    trace_id: str | None = None

    def body(self, id_property: str | None = None) -> Json:
        """HubSpot's JSON for it; `id_property` names the unique property of an upsert."""
        body: Json = {"id": self.id, "properties": dict(self.properties)}
        if id_property is not None:
            body["idProperty"] = id_property
        if self.trace_id is not None:
            body["objectWriteTraceId"] = self.trace_id
        return body


@dataclass(frozen=True, slots=True)
class BatchError:
    """One error inside a 207, for the inputs in `trace_ids` or `ids`; both empty: HubSpot does not say."""

    category: str | None
    message: str
    details: tuple[ErrorDetail, ...] = ()
    trace_ids: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()

    @classmethod
    def of(cls, body: Json) -> BatchError:
        details = details_in(body)
        contexts = [context_in(body), *(detail.context for detail in details)]
        return cls(
            category=body.get("category"),
            message=str(body.get("message") or "no message"),
            details=details,
            trace_ids=_named(contexts, "objectWriteTraceId"),
            ids=_named(contexts, "ids") or _named(contexts, "id"),
        )

    @property
    def summary(self) -> str:
        """Category and HubSpot's own words."""
        return f"{self.category or 'ERROR'}: {words(self.message, self.details)}"


@dataclass(frozen=True, slots=True)
class BatchResult:
    """The answer to a batch: `results` in HubSpot's order, not that of the inputs.

    num_errors  HubSpot's own count, which may exceed `errors`
    """

    results: tuple[Record, ...] = ()
    errors: tuple[BatchError, ...] = ()
    num_errors: int = 0

    @classmethod
    def of(cls, body: Json) -> BatchResult:
        errors = tuple(BatchError.of(entry) for entry in body.get("errors") or ())
        return cls(
            results=tuple(Record.of(entry) for entry in body["results"]),
            errors=errors,
            num_errors=int(body.get("numErrors") or len(errors)),
        )


@dataclass(frozen=True, slots=True)
class PropertyDefinition:
    """A property of an object type: `type` is string, date …, `field_type` the form field that shows it."""

    name: str
    label: str
    type: str
    field_type: str
    group_name: str
    description: str = ""

    @classmethod
    def of(cls, body: Json) -> PropertyDefinition:
        return cls(
            name=body["name"],
            label=body.get("label") or "",
            type=body["type"],
            field_type=body.get("fieldType") or "",
            group_name=body.get("groupName") or "",
            description=body.get("description") or "",
        )

    def body(self) -> Json:
        return {
            "name": self.name,
            "label": self.label,
            "type": self.type,
            "fieldType": self.field_type,
            "groupName": self.group_name,
            "description": self.description,
        }


@dataclass(frozen=True, slots=True)
class PropertyGroup:
    """A heading under which HubSpot shows properties."""

    name: str
    label: str

    @classmethod
    def of(cls, body: Json) -> PropertyGroup:
        return cls(name=body["name"], label=body.get("label") or "")


@dataclass(frozen=True, slots=True)
class Account:
    """The HubSpot account (portal) that the token belongs to."""

    portal_id: int
    time_zone: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, body: Json) -> Account:
        return cls(portal_id=int(body["portalId"]), time_zone=body.get("timeZone"), extra=body)


@dataclass(frozen=True, slots=True)
class DailyUsage:
    """The account's calls of today; `resets_at` None when HubSpot does not say."""

    used: int
    limit: int
    resets_at: datetime | None

    @classmethod
    def of(cls, body: Json) -> DailyUsage:
        usage = body["results"][0]
        return cls(
            used=int(usage["currentUsage"]),
            limit=int(usage["usageLimit"]),
            resets_at=_time(usage.get("resetsAt")),
        )


def _named(contexts: list[Mapping[str, tuple[str, ...]]], name: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(value for context in contexts for value in context.get(name, ())))


def _time(value: object) -> datetime | None:
    """HubSpot's `2026-11-21T10:00:00.000Z` as an aware time; None for no value."""
    return datetime.fromisoformat(value) if isinstance(value, str) and value else None
