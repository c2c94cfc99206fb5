"""Faults on request: what goes wrong, where, and on which call."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from .problems import (
    ExpiredAuthentication,
    InvalidAuthentication,
    MissingScopes,
    Problem,
    RateLimited,
)

__all__ = ["KINDS", "Fault", "Faults"]

_PAGES = {
    "423": "Locked: this record is being changed elsewhere.",
    "477": "Your account is being migrated between data hosting locations.",
    "500": "internal error",
    "502": "Bad Gateway",
    "503": "Service Unavailable",
    "504": "Timeout",
    "521": "Web server is down",
    "522": "Connection timed out",
    "523": "Origin is unreachable",
    "524": "A timeout occurred",
}
_PROBLEMS = ("429-ten-secondly", "429-secondly", "429-daily", "401", "401-expired", "403")
_BODIES = ("slow", "cut", "truncated", "html", "empty")

KINDS = (*_PROBLEMS, *_PAGES, *_BODIES)
"""Every kind of fault. `cut` closes the connection, `truncated` sends half of the JSON under a matching length,
`html` answers 200 with a page, `empty` answers 200 with nothing."""

# Answered by the network in front of HubSpot, in HTML and without a correlation id.
_HTML_STATUSES = {"502", "504", "521", "522", "523", "524"}


@dataclass(slots=True)
class Fault:
    """`kind` is one of KINDS; with `applied` the request takes effect first, and then fails.

    It strikes calls that match `method`, `path` (globs, `*` also crosses slashes) and `route` (as the call log names
    it, such as `objects.batch_*`): the `nth` of them and the `times - 1` that follow (`times` 0: all that follow), or,
    given `probability`, each by chance.
    `seconds`: how long `slow` waits before the true answer. `retry_after_seconds`: sent with 477 and the 5xx.
    """

    kind: str
    path: str = "*"
    route: str = "*"
    method: str = "*"
    nth: int = 1
    times: int = 1
    probability: float | None = None
    applied: bool = False
    seconds: float = 1.0
    retry_after_seconds: int | None = None
    scopes: list[str] = field(default_factory=lambda: ["crm.objects.contacts.write"])
    seen: int = 0
    struck: int = 0

    def __post_init__(self) -> None:
        numbers = (self.nth, self.times, self.seconds, self.probability or 0, self.retry_after_seconds or 0)
        if not all(isinstance(one, int | float) and not isinstance(one, bool) for one in numbers):
            raise ValueError("nth, times, seconds, probability and retry_after_seconds are numbers")
        if not all(isinstance(one, str) for one in (self.kind, self.path, self.route, self.method)):
            raise ValueError("kind, path, route and method are text")
        if not isinstance(self.scopes, list) or not isinstance(self.applied, bool):
            raise ValueError("scopes is a list, applied true or false")
        if self.kind not in KINDS:
            raise ValueError(f"unknown fault {self.kind!r}; known: {', '.join(KINDS)}")
        if self.nth < 1 or self.times < 0 or not 0 <= self.seconds <= 60:
            raise ValueError("nth is at least 1, times at least 0, seconds between 0 and 60")
        if self.probability is not None and not 0 <= self.probability <= 1:
            raise ValueError("probability is between 0 and 1")

    def strikes(self, method: str, path: str, route: str, chance: random.Random) -> bool:
        """Whether it strikes this call; counts the call when it matches."""
        pairs = ((path, self.path), (route, self.route), (method, self.method.upper()))
        if not all(fnmatchcase(given, pattern) for given, pattern in pairs):
            return False
        self.seen += 1
        if self.probability is not None:
            hit = chance.random() < self.probability and (self.times == 0 or self.struck < self.times)
        else:
            hit = self.seen >= self.nth and (self.times == 0 or self.seen < self.nth + self.times)
        self.struck += hit
        return hit

    def problem(self) -> Problem | None:
        """The wire error of this fault, when HubSpot's own code would word it."""
        group = "publicapi:private-apps-api-calls"
        return {
            "429-ten-secondly": RateLimited("TEN_SECONDLY_ROLLING", group),
            "429-secondly": RateLimited("SECONDLY", group, search=True),
            "429-daily": RateLimited("DAILY", group),
            "401": InvalidAuthentication(),
            "401-expired": ExpiredAuthentication(),
            "403": MissingScopes(self.scopes),
        }.get(self.kind)

    def page(self) -> tuple[int, str, dict[str, str]] | None:
        """(status, text, headers) of a fault that is a bare status; HTML for those of the network in front."""
        text = _PAGES.get(self.kind)
        if text is None:
            return None
        headers: dict[str, str] = {}
        retry_after = self.retry_after_seconds
        if retry_after is None and self.kind == "477":
            retry_after = 3600
        if retry_after is not None:
            headers["Retry-After"] = str(retry_after)
        return int(self.kind), text, headers

    @property
    def refuses(self) -> bool:
        """Whether the call is not answered at all, as opposed to late or badly."""
        return self.kind not in ("slow", "truncated", "html", "empty")

    @property
    def is_html(self) -> bool:
        return self.kind in _HTML_STATUSES


class Faults:
    """The faults that lie in wait, in the order they were laid."""

    def __init__(self, seed: int = 0) -> None:
        self._faults: list[Fault] = []
        self._random = random.Random(seed)

    def lay(self, kind: str, **options: Any) -> Fault:
        """Raises ValueError or TypeError for an unknown kind or option. `"502-after"` means applied."""
        if isinstance(kind, str) and kind.endswith("-after"):
            kind, options = kind.removesuffix("-after"), {**options, "applied": True}
        fault = Fault(kind, **options)
        self._faults.append(fault)
        return fault

    def take(self, method: str, path: str, route: str) -> Fault | None:
        """The first fault that strikes this call; the others have counted it too."""
        if not self._faults:
            return None
        hits = [one for one in self._faults if one.strikes(method, path, route, self._random)]
        return hits[0] if hits else None

    def clear(self) -> None:
        self._faults.clear()

    def all(self) -> list[Fault]:
        return list(self._faults)
