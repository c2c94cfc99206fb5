"""Requests and answers between the wire and the routes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import parse_qs

from .problems import BadRequest, UnsupportedMediaType

__all__ = ["Answer", "Request"]


class Request:
    """One parsed request; query parameters and body are read when a route asks for them."""

    def __init__(self, method: str, path: str, raw_query: str, headers: Mapping[str, str], body: bytes) -> None:
        self.method = method
        self.path = path
        self.raw_query = raw_query
        self.headers = headers
        self.body = body
        self.params: dict[str, str] = {}

    @cached_property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(self.raw_query, keep_blank_values=True, max_num_fields=10_000)

    @cached_property
    def json(self) -> Any:
        """The body. Raises BadRequest for what is not JSON, UnsupportedMediaType for another content type."""
        content_type = self.headers.get("content-type", "")
        if not content_type.split(";")[0].strip().lower().endswith("json"):
            raise UnsupportedMediaType(content_type)
        try:
            return json.loads(self.body, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            raise BadRequest(f"Invalid input JSON: {error}") from error

    @property
    def object(self) -> dict[str, Any]:
        """The body as a JSON object. Raises BadRequest for anything else."""
        body = self.json
        if not isinstance(body, dict):
            raise BadRequest("Invalid input JSON: an object was expected")
        return body

    def text(self, name: str) -> str | None:
        """The last value of a query parameter; None when absent or empty."""
        values = self.query.get(name)
        return values[-1] or None if values else None

    def names(self, name: str) -> list[str]:
        """An array parameter: repeated, comma-joined, or both; without repetitions."""
        parts = [part.strip() for value in self.query.get(name, []) for part in value.split(",")]
        return list(dict.fromkeys(part for part in parts if part))

    def flag(self, name: str) -> bool:
        value = self.text(name)
        if value is None or value.lower() == "false":
            return False
        if value.lower() == "true":
            return True
        raise BadRequest(f"{name} must be true or false, not {value!r}")

    def number(self, name: str, default: int, *, low: int, high: int) -> int:
        """A whole number between `low` and `high`. Raises BadRequest."""
        value = self.text(name)
        if value is None:
            return default
        if not (value.isascii() and value.isdecimal() and len(value) < 19 and low <= int(value) <= high):
            raise BadRequest(f"{name} must be a number between {low} and {high}, not {value!r}")
        return int(value)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


@dataclass(slots=True)
class Answer:
    """What a route returns. `body` None: no content."""

    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)

    def encoded(self) -> bytes:
        if self.body is None:
            return b""
        return json.dumps(self.body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
