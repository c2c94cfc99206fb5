"""The route table: one list of templates, each under its older path and its dated one."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote

from .problems import MethodNotAllowed, NoSuchRoute
from .web import Answer, Request

if TYPE_CHECKING:
    from .account import Account

__all__ = ["DATED", "Handler", "Route", "Router"]

DATED = "2026-03"

Handler = Callable[["Account", Request], Answer]


@dataclass(frozen=True, slots=True)
class Route:
    """`paths`: templates with `{object_type}` and other parameters; those with a `v1`…`v4` segment are legacy paths.

    `scope`: `read` or `write` of the object types in the path, a literal scope, or "" for none.
    `bucket`: burst, search, associations or account.
    """

    name: str
    method: str
    paths: tuple[str, ...]
    handler: Handler
    scope: str = ""
    bucket: str = "burst"


class Router:
    """Finds a route by method and path; templates are sorted by their number of segments."""

    def __init__(self, routes: Sequence[Route], *, legacy_paths: bool = True) -> None:
        self._by_length: dict[int, list[tuple[re.Pattern[str], dict[str, Route]]]] = {}
        patterns: dict[str, dict[str, Route]] = {}
        for route in routes:
            for path in route.paths:
                if legacy_paths or not re.search(r"/v[1-4](/|$)", path):
                    patterns.setdefault(path, {})[route.method] = route
        # Literal segments win over parameters: /objects/contacts/search is no record id.
        for path in sorted(patterns, key=lambda one: [segment.startswith("{") for segment in one.split("/")]):
            pattern = re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path))
            self._by_length.setdefault(path.count("/"), []).append((pattern, patterns[path]))

    def find(self, method: str, raw_path: str) -> tuple[Route, dict[str, str]]:
        """The route and its unquoted parameters. Raises NoSuchRoute, MethodNotAllowed."""
        path = raw_path.rstrip("/")
        allowed: set[str] = set()
        for pattern, methods in self._by_length.get(path.count("/"), ()):
            match = pattern.fullmatch(path)
            if match is None:
                continue
            route = methods.get(method)
            if route is not None:
                return route, {name: unquote(value) for name, value in match.groupdict().items()}
            allowed |= set(methods)
        if allowed:
            raise MethodNotAllowed(method, sorted(allowed))
        raise NoSuchRoute(raw_path)
