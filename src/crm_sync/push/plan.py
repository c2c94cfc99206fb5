"""The plan of a push (pure): which records a batch of rows writes, each once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any
from uuid import UUID

from crm_sync.hubspot.objects import RecordInput
from crm_sync.push.mappings import ObjectMapping, UnmappableRow
from jobloop.outcome import Fail


@dataclass(frozen=True, slots=True)
class Write:
    """One record to write and the rows that stand for it; they all get its outcome.

    row_ids     the row whose values are sent comes first
    key         the unique property's value, in normal form
    record_id   HubSpot's id of the record, None when it has none yet
    """

    row_ids: tuple[UUID, ...]
    key: str
    properties: Mapping[str, str]
    record_id: str | None = None

    @property
    def trace_id(self) -> str:
        """Unique within a batch, since a row stands in one write only."""
        return str(self.row_ids[0])

    def update_input(self) -> RecordInput:
        return RecordInput(self.record_id or "", self.properties, self.trace_id)

    def upsert_input(self, key_property: str) -> RecordInput:
        return RecordInput(self.key, self.without(key_property), self.trace_id)

    def without(self, key_property: str) -> Mapping[str, str]:
        """The properties but for the key: a record that is found by a secondary e-mail keeps its main one."""
        return {name: value for name, value in self.properties.items() if name != key_property}


@dataclass(frozen=True, slots=True)
class Plan:
    """What a batch of rows comes to. Every row is in one update, one upsert, or `refused`."""

    updates: tuple[Write, ...] = ()
    upserts: tuple[Write, ...] = ()
    refused: Mapping[UUID, Fail] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Mapped:
    row: Any
    properties: Mapping[str, str]
    key: str
    record_id: str | None

    @property
    def age(self) -> tuple[Any, str]:
        return (self.row.updated_at, str(self.row.id))


def plan_writes(mapping: ObjectMapping, rows: Iterable[Any], day: date) -> Plan:
    """Group rows into writes, at most one for each record.

    Rows with the same record id are one write, rows without an id but with the same key another. A row without an
    id joins the write that gives its key to a record with an id: both mean that record. In each write the row that
    was updated last gives the values.
    """
    refused: dict[UUID, Fail] = {}
    by_record: dict[str, list[_Mapped]] = {}
    by_key: dict[str, list[_Mapped]] = {}
    for row in rows:
        try:
            mapped = _mapped(mapping, row, day)
        except UnmappableRow as exc:
            refused[row.id] = Fail(str(exc))
            continue
        if mapped.record_id is None:
            by_key.setdefault(mapped.key, []).append(mapped)
        else:
            by_record.setdefault(mapped.record_id, []).append(mapped)
    for group in by_record.values():
        group.extend(by_key.pop(max(group, key=_age).key, ()))
    return Plan(
        updates=tuple(_write(group) for group in by_record.values()),
        upserts=tuple(_write(group) for group in by_key.values()),
        refused=refused,
    )


def _mapped(mapping: ObjectMapping, row: Any, day: date) -> _Mapped:
    properties = mapping.properties(row, day)
    record_id = str(getattr(row, mapping.id_column) or "").strip()
    return _Mapped(row, properties, properties[mapping.key_property], record_id or None)


def _write(group: Sequence[_Mapped]) -> Write:
    newest, *others = sorted(group, key=_age, reverse=True)
    record_id = next((mapped.record_id for mapped in group if mapped.record_id is not None), None)
    return Write(
        row_ids=(newest.row.id, *(other.row.id for other in others)),
        key=newest.key,
        properties=newest.properties,
        record_id=record_id,
    )


def _age(mapped: _Mapped) -> tuple[Any, str]:
    return mapped.age
