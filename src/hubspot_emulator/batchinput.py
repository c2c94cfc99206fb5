"""The inputs of batch requests: how many, and what each must carry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .problems import BadRequest

__all__ = [
    "MAX_INPUTS",
    "MAX_INPUTS_WITH_HISTORY",
    "ends_of",
    "id_of",
    "id_property_of",
    "inputs_of",
    "names_of",
    "pairs_of",
    "trace_id_of",
]

MAX_INPUTS = 100
MAX_INPUTS_WITH_HISTORY = 50


def inputs_of(body: Mapping[str, Any], limit: int = MAX_INPUTS) -> list[Mapping[str, Any]]:
    """The `inputs` of a batch request. Raises BadRequest when missing, empty, or more than `limit`."""
    inputs = body.get("inputs")
    if inputs is None:
        raise BadRequest("Some required fields were not set: [inputs]")
    if not isinstance(inputs, list) or not all(isinstance(one, Mapping) for one in inputs):
        raise BadRequest("Invalid input JSON: inputs must be a list of objects")
    if not inputs:
        raise BadRequest("inputs must not be empty")
    if len(inputs) > limit:
        raise BadRequest(f"The request has {len(inputs)} inputs, the limit is {limit}")
    return inputs


def id_of(one: Mapping[str, Any]) -> str:
    id_ = one.get("id")
    if not isinstance(id_, str) or not id_:
        raise BadRequest("Some required fields were not set: [id]")
    return id_


def id_property_of(one: Mapping[str, Any]) -> str | None:
    name = one.get("idProperty")
    if name is not None and not isinstance(name, str):
        raise BadRequest("Invalid input JSON: idProperty must be a string")
    return name or None


def trace_id_of(one: Mapping[str, Any]) -> str | None:
    trace_id = one.get("objectWriteTraceId")
    if trace_id is not None and not isinstance(trace_id, str):
        raise BadRequest("Invalid input JSON: objectWriteTraceId must be a string")
    return trace_id


def names_of(body: Mapping[str, Any], key: str) -> list[str]:
    names = body.get(key) or []
    if not isinstance(names, list) or not all(isinstance(one, str) for one in names):
        raise BadRequest(f"Invalid input JSON: {key} must be a list of strings")
    return names


def pairs_of(body: Mapping[str, Any], limit: int = MAX_INPUTS) -> list[tuple[Mapping[str, Any], str, str]]:
    """(input, from id, to id) of every `{from: {id}, to: {id}}`. Raises BadRequest before anything can be written."""
    return [(one, _end_of(one, "from"), _end_of(one, "to")) for one in inputs_of(body, limit)]


def ends_of(body: Mapping[str, Any], limit: int = MAX_INPUTS) -> list[tuple[str, str]]:
    """(from id, to id) of every pair in `{from: {id}, to: [{id}, …]}`. Raises BadRequest."""
    pairs: list[tuple[str, str]] = []
    for one in inputs_of(body, limit):
        to = one.get("to")
        if not isinstance(to, list):
            raise BadRequest("Some required fields were not set: [to]")
        pairs += [(_end_of(one, "from"), _end_of({"to": other}, "to")) for other in to]
    return pairs


def _end_of(one: Mapping[str, Any], key: str) -> str:
    raw = one.get(key)
    id_ = raw.get("id") if isinstance(raw, Mapping) else None
    if not isinstance(id_, str) or not id_:
        raise BadRequest(f"Some required fields were not set: [{key}.id]")
    return id_
