"""OpenAPI files as a check of answers. HubSpot's files are HubSpot's: none is part of this repository.

Point `HUBSPOT_OPENAPI_DIR` at a folder of them (JSON, OpenAPI 3.0, in any nesting). Then the walk of `test_openapi.py`
and every successful answer to the `api` fixture is held against the schema of its path, method and status.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

DIRECTORY = os.environ.get("HUBSPOT_OPENAPI_DIR")


class Documents:
    """Answer schemas by path and method, over any number of documents."""

    def __init__(self, documents: list[dict[str, Any]]) -> None:
        self._paths: list[tuple[re.Pattern[str], dict[str, Any], dict[str, Any]]] = []
        for document in documents:
            for template, methods in document.get("paths", {}).items():
                pattern = re.compile(re.sub(r"\{[^}]+\}", "[^/]+", template.rstrip("/")) + "/?")
                self._paths.append((pattern, methods, document))

    def problems(self, method: str, path: str, status: int, body: Any) -> list[str]:
        """What is wrong with an answer; empty when nothing is, or no document knows the path."""
        found: list[str] = []
        for pattern, methods, document in self._paths:
            operation = methods.get(method.lower())
            if operation is None or pattern.fullmatch(path) is None:
                continue
            answers = operation.get("responses", {})
            answer = _resolved(answers.get(str(status)) or answers.get("default") or {}, document)
            schema = answer.get("content", {}).get("application/json", {}).get("schema")
            if schema is None:
                return []
            found = list(_differences(body, schema, document, "$", 0))
            if not found:
                return []
        return found

    def knows(self, method: str, path: str) -> bool:
        return any(
            method.lower() in methods and pattern.fullmatch(path) is not None for pattern, methods, _ in self._paths
        )


def _resolved(schema: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    for _ in range(20):
        reference = schema.get("$ref")
        if reference is None:
            return schema
        node: Any = document
        for part in reference.removeprefix("#/").split("/"):
            node = node[part]
        schema = node
    raise ValueError("a reference that leads round in a circle")


_KINDS = {"string": str, "boolean": bool, "array": list, "object": dict}


def _differences(value: Any, schema: dict[str, Any], document: dict[str, Any], place: str, depth: int) -> Iterator[str]:
    schema = _resolved(schema, document)
    if depth > 30:
        return
    for part in schema.get("allOf", []):
        yield from _differences(value, part, document, place, depth + 1)
    choices = schema.get("oneOf") or schema.get("anyOf")
    if choices and all(list(_differences(value, one, document, place, depth + 1)) for one in choices):
        yield f"{place}: none of the choices fits {value!r:.60}"
    if value is None:
        # Property values may be null, whatever the documents say [O].
        if not schema.get("nullable") and ".properties." not in place:
            yield f"{place}: null"
        return
    kind = schema.get("type")
    if kind in _KINDS and not isinstance(value, _KINDS[kind]):
        yield f"{place}: {value!r:.60} is no {kind}"
        return
    if kind in ("integer", "number") and (isinstance(value, bool) or not isinstance(value, int | float)):
        yield f"{place}: {value!r:.60} is no {kind}"
    if "enum" in schema and value not in schema["enum"]:
        yield f"{place}: {value!r} is none of {schema['enum']}"
    if schema.get("format") == "date-time" and isinstance(value, str):
        try:
            datetime.fromisoformat(value)
        except ValueError:
            yield f"{place}: {value!r} is no date-time"
    if isinstance(value, dict):
        for name in schema.get("required", []):
            if name not in value:
                yield f"{place}: {name} is missing"
        known = schema.get("properties", {})
        other = schema.get("additionalProperties")
        for name, child in value.items():
            if name in known:
                yield from _differences(child, known[name], document, f"{place}.{name}", depth + 1)
            elif isinstance(other, dict):
                yield from _differences(child, other, document, f"{place}.{name}", depth + 1)
    if isinstance(value, list) and "items" in schema:
        for position, child in enumerate(value):
            yield from _differences(child, schema["items"], document, f"{place}[{position}]", depth + 1)


def documents_of(directory: str) -> Documents:
    """Every file of the folder that describes paths."""
    texts = [path.read_text("utf-8") for path in sorted(Path(directory).rglob("*.json"))]
    return Documents([one for one in map(json.loads, texts) if isinstance(one, dict) and "paths" in one])


class Watch:
    """An httpx response hook that collects what is wrong with successful answers."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self.problems: list[str] = []

    def __call__(self, answer: httpx.Response) -> None:
        if not answer.is_success or answer.status_code == 204 or answer.request.url.path.startswith("/_emulator"):
            return
        try:
            answer.read()
            body = answer.json()
        except (httpx.HTTPError, ValueError):
            return  # a fault that was asked for
        path, method = answer.request.url.path, answer.request.method
        found = self._documents.problems(method, path, answer.status_code, body)
        self.problems += [f"{method} {path} {answer.status_code}: {one}" for one in found]
