"""HubSpot's records as values: what is sent, what comes back, and the answer to a batch.

`of` functions read HubSpot's JSON and raise KeyError, TypeError or ValueError for another shape.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from crm_sync.hubspot.errors import ErrorDetail, words
from crm_sync.hubspot.exchange import Json, context_in, details_in
from crm_sync.hubspot.properties import PropertyDefinition as PropertyDefinition  # where it used to be
from crm_sync.hubspot.times import required_time_in, time_in

#: HubSpot's values are texts; None and "" both mean: no value. Sending "" clears.
Properties = Mapping[str, str | None]

#: Most inputs of one batch call.
BATCH_SIZE = 100
#: Most inputs of a batch read that asks for history.
BATCH_SIZE_WITH_HISTORY = 50


@dataclass(frozen=True, slots=True)
class PropertyVersion:
    """One value that a property had: from `at` until the next version's.

    value        None or "" when it was cleared
    source_type  who wrote it: CRM_UI, INTEGRATION, IMPORT …
    source_id    which user, app or import, as that source counts
    """

    value: str | None
    at: datetime
    source_type: str | None = None
    source_id: str | None = None

    @classmethod
    def of(cls, body: Json) -> PropertyVersion:
        return cls(body["value"], required_time_in(body["timestamp"]), body.get("sourceType"), body.get("sourceId"))


@dataclass(frozen=True, slots=True)
class InlineAssociation:
    """`type_name` is a name such as contact_to_company; the label has no name of its own here."""

    id: str
    type_name: str


@dataclass(frozen=True, slots=True)
class InlineAssociations:
    """The associated records of one type that came with a record: the same id once per type of association.

    cut  True: HubSpot gave a link to more, so this is not the whole list. Read it with `read_associations`
    """

    targets: tuple[InlineAssociation, ...]
    cut: bool

    @classmethod
    def of(cls, body: Json) -> InlineAssociations:
        targets = tuple(InlineAssociation(id_in(entry), entry["type"]) for entry in body["results"])
        return cls(targets, cut=bool((body.get("paging") or {}).get("next")))


#: Shared by all records without any; the type says that nobody writes to it.
_NO_HISTORY: Mapping[str, tuple[PropertyVersion, ...]] = {}
_NO_ASSOCIATIONS: Mapping[str, InlineAssociations] = {}


@dataclass(frozen=True, slots=True)
class Record:
    """One record as HubSpot holds it.

    id            text of digits; of a merged record, the id of the one it went into
    new           of an upsert: True when it was created just now; None elsewhere
    trace_id      the `objectWriteTraceId` of the input, where HubSpot repeats it
    history       by property, where it was asked for: its versions, newest first; a property that never had a value is
                  missing
    associations  by object type, where they were asked for, named as HubSpot names it: in the plural, custom ones fully
                  qualified (p123_membership); a type without any is missing
    """

    id: str
    properties: Properties
    created_at: datetime | None = None
    updated_at: datetime | None = None
    archived: bool = False
    new: bool | None = None
    trace_id: str | None = None
    archived_at: datetime | None = None
    history: Mapping[str, tuple[PropertyVersion, ...]] = field(default_factory=lambda: _NO_HISTORY)
    associations: Mapping[str, InlineAssociations] = field(default_factory=lambda: _NO_ASSOCIATIONS)

    @classmethod
    def of(cls, body: Json) -> Record:
        properties = body.get("properties") or {}
        if not isinstance(properties, dict):
            raise TypeError(f"a record's properties are {properties!r}")
        history, associations, archived = (
            body.get("propertiesWithHistory"),
            body.get("associations"),
            body.get("archived"),
        )
        return cls(
            id_in(body),
            properties,
            time_in(body.get("createdAt")),
            time_in(body.get("updatedAt")),
            archived is True,
            body.get("new"),
            body.get("objectWriteTraceId"),
            time_in(body.get("archivedAt")) if archived else None,
            _history_in(history) if history else _NO_HISTORY,
            _associations_in(associations) if associations else _NO_ASSOCIATIONS,
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
            ids=_named(contexts, "ids") or _named(contexts, "id") or _named(contexts, "fromObjectId"),
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


def _named(contexts: list[Mapping[str, tuple[str, ...]]], name: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(value for context in contexts for value in context.get(name, ())))


def id_in(body: Json, name: str = "id") -> str:
    """An id as text; HubSpot writes some as numbers. Raises KeyError, TypeError."""
    value = body[name]
    if type(value) is str and value:
        return value
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"an {name} is {value!r}")
    return str(value)


def _history_in(body: Json) -> Mapping[str, tuple[PropertyVersion, ...]]:
    return {name: tuple(PropertyVersion.of(version) for version in versions) for name, versions in body.items()}


def _associations_in(body: Json) -> Mapping[str, InlineAssociations]:
    return {name: InlineAssociations.of(targets) for name, targets in body.items()}
