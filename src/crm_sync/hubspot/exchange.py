"""One exchange with HubSpot: the Call that goes out, and what its answer means."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import Any

from crm_sync.hubspot import errors

Json = dict[str, Any]


class Bucket(Enum):
    """The limits that calls are counted under. A search has one of its own beside that for every call; batches of
    associations have one of their own instead."""

    BURST = "burst"
    SEARCH = "search"
    ASSOCIATIONS = "associations"


@dataclass(frozen=True, slots=True)
class Call:
    """One call. `operation` names it in logs and counts without naming a person.

    repeatable  True when doing it twice leaves the same as doing it once, so that a call whose fate is
                unknown may be sent again
    """

    operation: str
    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    body: Json | None = None
    repeatable: bool = True
    bucket: Bucket = Bucket.BURST

    def __str__(self) -> str:
        """Method and path, for texts that people read. A unique property's value, such as an e-mail, is left out."""
        by_value = dict(self.query).get("idProperty")
        path = f"{self.path.rpartition('/')[0]}/{{{by_value}}}" if by_value and self.method != "POST" else self.path
        return f"{self.method} {path}"


_BY_STATUS: Mapping[int, type[errors.ErrorAnswer]] = {
    400: errors.ValidationFailed,
    401: errors.Unauthorized,
    403: errors.MissingScopes,
    404: errors.NotFound,
    409: errors.Conflict,
    422: errors.ValidationFailed,
    423: errors.Locked,
    429: errors.RateLimited,
    477: errors.Migrating,
}
#: These mean the same whoever says them: a proxy's HTML page tells as much as HubSpot's JSON.
_CLEAR_WITHOUT_BODY = frozenset({401, 403, 423, 429, 477})


def body_of(call: Call, status: int, headers: Mapping[str, str], content: bytes) -> Json:
    """The JSON object of a good answer; {} for 204. Raises MalformedAnswer or the ErrorAnswer that fits."""
    if status == 204:
        return {}
    body = _json_object(content)
    if 200 <= status < 300:
        if body is None:
            raise errors.MalformedAnswer(_not_json(headers, content), str(call), status)
        return body
    if body is None and status < 500 and status not in _CLEAR_WITHOUT_BODY:
        raise errors.MalformedAnswer(_not_json(headers, content), str(call), status)
    if body is None:
        body = {"message": f"the answer is {_size(headers, content)}, not HubSpot's JSON."}
    raise _error(call, status, headers, body)


def _error(call: Call, status: int, headers: Mapping[str, str], body: Json) -> errors.ErrorAnswer:
    problem = errors.Problem(
        call=str(call),
        status=status,
        message=_text(body.get("message")) or "HubSpot gave no reason.",
        category=_text(body.get("category")) or _text(body.get("errorType")),
        correlation_id=_text(body.get("correlationId")) or headers.get("x-hubspot-correlation-id"),
        details=details_in(body),
        policy=_text(body.get("policyName")) or _policy_in(_text(body.get("message"))),
        retry_after_seconds=_retry_after_seconds(headers.get("retry-after")),
    )
    if status == 429 and problem.policy == "DAILY":
        return errors.DailyLimit(problem)
    kind = errors.ServerFault if status >= 500 else _BY_STATUS.get(status, errors.Rejected)
    return kind(problem)


def details_in(body: Json) -> tuple[errors.ErrorDetail, ...]:
    """The `errors` of an error body; entries of another shape are left out."""
    entries = body.get("errors")
    if not isinstance(entries, list):
        return ()
    return tuple(
        errors.ErrorDetail(
            message=_text(entry.get("message")) or "",
            code=_text(entry.get("code")) or _text(entry.get("subCategory")),
            context=context_in(entry),
        )
        for entry in entries
        if isinstance(entry, dict)
    )


def context_in(entry: Json) -> Mapping[str, tuple[str, ...]]:
    """An error's `context`: names to texts. HubSpot writes lists, sometimes a lone text."""
    context = entry.get("context")
    if not isinstance(context, dict):
        return {}
    return {
        str(name): tuple(str(value) for value in (values if isinstance(values, list) else [values]))
        for name, values in context.items()
    }


def _json_object(content: bytes) -> Json | None:
    try:
        body = json.loads(content)
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


def _not_json(headers: Mapping[str, str], content: bytes) -> str:
    size = _size(headers, content)
    return f"the answer is {size}, not HubSpot's JSON. Check HUBSPOT_API_BASE_URL and any proxy on the way."


def _size(headers: Mapping[str, str], content: bytes) -> str:
    kind = headers.get("content-type", "no content type").partition(";")[0].strip()
    return f"{len(content)} bytes of {kind}" if content else "empty"


def _policy_in(message: str | None) -> str | None:
    """The limit that a 429's message names, for answers without `policyName`."""
    for policy in ("TEN_SECONDLY_ROLLING", "SECONDLY", "DAILY"):
        if message and policy.lower() in message.lower():
            return policy
    return None


def _retry_after_seconds(value: str | None) -> float | None:
    """Retry-After in seconds from now; HTTP allows seconds or a date. None when absent or unreadable."""
    if value is None:
        return None
    if value.strip().isdecimal():
        return float(value)
    try:
        at = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max((at.replace(tzinfo=at.tzinfo or UTC) - datetime.now(UTC)).total_seconds(), 0.0)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
