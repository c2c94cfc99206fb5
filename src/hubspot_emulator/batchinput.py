"""The inputs of batch requests: how many, and what each must carry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .problems import BadRequest

__all__ = [
    "MAX_INPUTS",
    "MAX_INPUTS_WITH_HISTORY",
    "id_of",
    "id_property_of",
    "inputs_of",
    "names_of",
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
