"""Batch writes: all or nothing, unless every input carries a trace id.

A batch is one journey: shape → duplicates → prepare each input → conflicts → write → answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .batchinput import MAX_INPUTS, MAX_INPUTS_WITH_HISTORY, id_of, id_property_of, inputs_of, names_of, trace_id_of
from .clock import iso
from .portal import Portal
from .problems import BadRequest, Conflict, InvalidProperties, NotFound, Problem
from .record import Record, shown
from .relations import Link
from .table import Table

__all__ = ["Batch", "Reply"]

Reply = tuple[int, dict[str, Any]]
"""HTTP status and body."""


@dataclass(slots=True)
class _Prepared:
    trace_id: str | None
    cleaned: dict[str, str]
    record: Record | None
    links: tuple[Link, ...] = ()


class Batch:
    """Batch operations over one table. Each method takes a parsed body and returns status and body."""

    def __init__(self, portal: Portal, table: Table) -> None:
        self._portal = portal
        self._table = table
        self._started_ms = portal.clock.now_ms()

    # writes

    def create(self, body: Mapping[str, Any]) -> Reply:
        """201, or 207. Raises BadRequest, InvalidProperties, Conflict: nothing was written then."""
        inputs = inputs_of(body)

        def prepare(one: Mapping[str, Any]) -> _Prepared:
            cleaned = self._portal.values.for_new(self._table, one.get("properties"))
            links = self._portal.relations.wanted(self._table, one.get("associations"), merged=False)
            return _Prepared(trace_id_of(one), cleaned, None, tuple(links))

        return self._write(inputs, prepare, created=201)

    def update(self, body: Mapping[str, Any]) -> Reply:
        """200, or 207 with the ids that do not exist. Record ids only: merged ids do not resolve here [D]."""
        inputs = inputs_of(body)
        self._refuse_duplicates(id_of(one) for one in inputs)

        def prepare(one: Mapping[str, Any]) -> _Prepared:
            record = self._portal.find(self._table, id_of(one), merged=False)
            if record is None:
                raise self._missing([id_of(one)])
            return _Prepared(
                trace_id_of(one), self._portal.values.cleaned(self._table, one.get("properties"), record), record
            )

        return self._write(inputs, prepare, created=200, may_be_missing=True)

    def upsert(self, body: Mapping[str, Any]) -> Reply:
        """200, or 207; every result says `new`. `idProperty` is a unique property, the same for all inputs unless
        `upsert_takes_one_id_property` is off."""
        inputs = inputs_of(body)
        table, portal = self._table, self._portal
        chosen = [self._upsert_key(one) for one in inputs]
        id_properties = set(chosen)
        if len(id_properties) != 1 and portal.behaviour.upsert_takes_one_id_property:
            raise BadRequest("All inputs of an upsert must have the same idProperty")
        for name in id_properties:
            portal.unique_property(table, name)
            named = [one for one, own in zip(inputs, chosen, strict=True) if own == name]
            self._refuse_duplicates(table.key(name, id_of(one)) for one in named)

        def prepare(one: Mapping[str, Any]) -> _Prepared:
            raw, id_property = one.get("properties"), self._upsert_key(one)
            record = table.holder(id_property, id_of(one))
            if record is not None:
                return _Prepared(trace_id_of(one), portal.values.cleaned(table, raw, record), record)
            with_key = {id_property: id_of(one), **raw} if isinstance(raw, Mapping) else raw
            return _Prepared(trace_id_of(one), portal.values.for_new(table, with_key), None)

        partial = "email" not in id_properties or portal.behaviour.email_upsert_may_be_partial
        return self._write(inputs, prepare, created=200, says_new=True, may_be_partial=partial)

    @staticmethod
    def _upsert_key(one: Mapping[str, Any]) -> str:
        """The property that an input of an upsert goes by. Raises BadRequest."""
        name = id_property_of(one)
        if name is None or name == "hs_object_id":
            raise BadRequest("Some required fields were not set: [idProperty]")
        return name

    def archive(self, body: Mapping[str, Any]) -> None:
        """204 whether or not the ids exist."""
        for id_ in [id_of(one) for one in inputs_of(body)]:
            record = self._portal.find(self._table, id_, merged=False)
            if record is not None:
                self._portal.archive(self._table, record)

    def _write(
        self,
        inputs: Sequence[Mapping[str, Any]],
        prepare: Callable[[Mapping[str, Any]], _Prepared],
        *,
        created: int,
        says_new: bool = False,
        may_be_partial: bool = True,
        may_be_missing: bool = False,
    ) -> Reply:
        traced = self._traced(inputs) and may_be_partial
        ready: list[_Prepared] = []
        failed: dict[int, Problem] = {}
        claimed: set[tuple[str, str]] = set()
        for position, one in enumerate(inputs):
            try:
                prepared = prepare(one)
                if problem := self._portal.conflict(self._table, prepared.cleaned, prepared.record):
                    raise problem
            except Problem as problem:
                failed[position] = problem
                continue
            self._refuse_claimed(prepared, claimed)
            ready.append(prepared)
        self._refuse_whole(failed, traced, may_be_missing)
        self._refuse_duplicate_records(ready)
        results = [self._apply(one, says_new) for one in ready]
        errors = self._errors(inputs, failed, traced)
        return self._answer(results, errors, created)

    def _apply(self, one: _Prepared, says_new: bool) -> dict[str, Any]:
        is_new = one.record is None
        if one.record is None:
            record = self._portal.insert(self._table, one.cleaned, one.links)
        else:
            record = self._portal.change(self._table, one.record, one.cleaned)
        result = shown(record)
        if says_new:
            result["new"] = is_new
        if one.trace_id is not None:
            result["objectWriteTraceId"] = one.trace_id
        return result

    # reads

    def read(self, body: Mapping[str, Any], *, archived: bool = False) -> Reply:
        """200, or 207 when some ids do not exist. Merged ids do not resolve here."""
        history = names_of(body, "propertiesWithHistory")
        inputs = inputs_of(body, MAX_INPUTS_WITH_HISTORY if history else MAX_INPUTS)
        names = names_of(body, "properties") or self._table.type.default_properties
        id_property = id_property_of(body)
        missing: list[str] = []
        found: dict[int, Record] = {}
        for one in inputs:
            record = self._portal.find(
                self._table, id_of(one), id_property=id_property, archived=archived, merged=False
            )
            if record is None:
                missing.append(id_of(one))
            else:
                found[record.id] = record
        results = [shown(record, [*names, *history], history) for record in found.values()]
        errors = [self._missing(missing).batch_entry()] if missing else []
        return self._answer(results, errors, 200)

    # rules

    def _traced(self, inputs: Sequence[Mapping[str, Any]]) -> bool:
        """Every input has a trace id of its own [D]."""
        if not self._portal.behaviour.trace_ids_supported:
            return False
        traces = {trace_id_of(one) for one in inputs}
        return None not in traces and len(traces) == len(inputs)

    def _refuse_duplicates(self, keys: Iterable[str]) -> None:
        seen: set[str] = set()
        for key in keys:
            if key in seen:
                raise BadRequest(f"Duplicate IDs found in batch input: [{key}]. IDs must be unique", ids=[key])
            seen.add(key)

    def _refuse_duplicate_records(self, ready: Sequence[_Prepared]) -> None:
        """Two inputs that lead to one record, such as a first and a secondary e-mail."""
        if not self._portal.behaviour.duplicate_records_fail_batch:
            return
        self._refuse_duplicates(str(one.record.id) for one in ready if one.record is not None)

    def _refuse_claimed(self, one: _Prepared, claimed: set[tuple[str, str]]) -> None:
        """Raises BadRequest for a unique value that an earlier input of the batch claims, as for duplicate ids."""
        for name in self._table.unique:
            value = one.cleaned.get(name)
            key = (name, self._table.key(name, value)) if value else None
            if key in claimed:
                raise BadRequest(f"Duplicate values found in batch input: {name} {value}", propertyName=[name])
            if key is not None:
                claimed.add(key)

    def _refuse_whole(self, failed: Mapping[int, Problem], traced: bool, may_be_missing: bool) -> None:
        """Raises what fails the whole batch; `may_be_missing`: an id that is not there fails only its own input."""
        if not failed:
            return
        in_order = [failed[position] for position in sorted(failed)]
        conflicts = [one for one in in_order if isinstance(one, Conflict)]
        if conflicts and (self._portal.behaviour.conflict_fails_batch or not traced):
            raise conflicts[0]
        invalid = [one for one in in_order if not (may_be_missing and isinstance(one, NotFound))]
        if invalid and not traced:
            details = [error for one in invalid if isinstance(one, InvalidProperties) for error in one.errors]
            raise InvalidProperties(details, self._portal.id) if details else invalid[0]

    def _errors(
        self, inputs: Sequence[Mapping[str, Any]], failed: Mapping[int, Problem], traced: bool
    ) -> list[dict[str, Any]]:
        if not traced:
            missing = [id_of(inputs[position]) for position in sorted(failed)]
            return [self._missing(missing).batch_entry()] if missing else []
        entries = []
        for position in sorted(failed):
            entry = failed[position].batch_entry()
            entry["context"]["objectWriteTraceId"] = [trace_id_of(inputs[position])]
            entries.append(entry)
        return entries

    def _missing(self, ids: Sequence[str]) -> NotFound:
        word = self._table.type.singular.upper()
        message = f"Could not get some {word} objects, they may be deleted or not exist. Check that ids are valid."
        return NotFound(message, ids=ids)

    def _answer(self, results: list[dict[str, Any]], errors: list[dict[str, Any]], status: int) -> Reply:
        if self._portal.behaviour.shuffle_batch_results and len(results) > 1:
            first = results[0]
            self._portal.random.shuffle(results)
            if results[0] is first:
                results.append(results.pop(0))
        body: dict[str, Any] = {
            "status": "COMPLETE",
            "results": results,
            "startedAt": iso(self._started_ms),
            "completedAt": iso(self._portal.clock.now_ms()),
        }
        if errors:
            body["numErrors"] = len(errors)
            body["errors"] = errors
            status = 207
        if self._portal.loses_a_result():
            results.pop()
        return status, body
