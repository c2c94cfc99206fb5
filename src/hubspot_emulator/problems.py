"""HubSpot's wire errors, one class each.

Problem                      any answer that is not 2xx
├── BadRequest               400 VALIDATION_ERROR
│   └── InvalidProperties    400 with one detail per property
├── InvalidAuthentication    401
│   └── ExpiredAuthentication
├── MissingScopes            403
├── NotFound                 404 OBJECT_NOT_FOUND
├── NoSuchRoute              404, a path that HubSpot does not serve
├── MethodNotAllowed         405
├── Conflict                 409
├── UriTooLong               414
├── UnsupportedMediaType     415
└── RateLimited              429

A message is no contract; status and category are [D].
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, ClassVar

__all__ = [
    "BadRequest",
    "Conflict",
    "ExpiredAuthentication",
    "InvalidAuthentication",
    "InvalidProperties",
    "MethodNotAllowed",
    "MissingScopes",
    "NoSuchRoute",
    "NotFound",
    "Problem",
    "PropertyError",
    "RateLimited",
    "UnsupportedMediaType",
    "UriTooLong",
]


class Problem(Exception):
    """An error as HubSpot words it; `body` gives the JSON object of the answer."""

    status: ClassVar[int] = 500
    category: str | None = None
    sub_category: str | None = None

    def __init__(self, message: str, **context: Sequence[str]) -> None:
        super().__init__(message)
        self.message = message
        self.context: dict[str, list[str]] = {key: list(values) for key, values in context.items()}

    def details(self) -> list[dict[str, Any]]:
        """The `errors` list: what is wrong in particular; empty when there is nothing to add."""
        return []

    def body(self, correlation_id: str) -> dict[str, Any]:
        body: dict[str, Any] = {"status": "error", "message": self.message, "correlationId": correlation_id}
        if self.context:
            body["context"] = self.context
        if details := self.details():
            body["errors"] = details
        if self.category is not None:
            body["category"] = self.category
        return body

    def batch_entry(self) -> dict[str, Any]:
        """This problem as one of the `errors` of a 207; trace ids and ids travel in `context`."""
        entry = {
            "status": "error",
            "category": self.category or "VALIDATION_ERROR",
            "message": self.message,
            "context": dict(self.context),
            "errors": self.details(),
            "links": {},
        }
        if self.sub_category is not None:
            entry["subCategory"] = self.sub_category
        return entry


class BadRequest(Problem):
    status = 400
    category = "VALIDATION_ERROR"


class PropertyError:
    """Why one value of one property is refused. `code` such as PROPERTY_DOESNT_EXIST, INVALID_EMAIL [O]."""

    __slots__ = ("code", "message", "name")

    def __init__(self, name: str, code: str, message: str) -> None:
        self.name = name
        self.code = code
        self.message = message


class InvalidProperties(BadRequest):
    """400 with a detail per property; the message repeats them as JSON [O]."""

    def __init__(self, errors: Sequence[PropertyError], portal_id: int) -> None:
        listed = [
            {
                "isValid": False,
                "message": error.message,
                "error": error.code,
                "name": error.name,
                "localizedErrorMessage": error.message,
                "portalId": portal_id,
            }
            for error in errors
        ]
        super().__init__(f"Property values were not valid: {json.dumps(listed, separators=(',', ':'))}")
        self.errors = list(errors)

    def details(self) -> list[dict[str, Any]]:
        return [
            {"message": error.message, "code": error.code, "context": {"propertyName": [error.name]}}
            for error in self.errors
        ]


class InvalidAuthentication(Problem):
    status = 401
    category = "INVALID_AUTHENTICATION"

    def __init__(self) -> None:
        super().__init__("Authentication credentials not found. This API supports OAuth 2.0 authentication.")


class ExpiredAuthentication(InvalidAuthentication):
    category = "EXPIRED_AUTHENTICATION"

    def __init__(self) -> None:
        super().__init__()
        self.message = "The OAuth token used to make this call expired 5 minute(s) ago."


class MissingScopes(Problem):
    status = 403
    category = "MISSING_SCOPES"

    def __init__(self, scopes: Sequence[str]) -> None:
        super().__init__("This app hasn't been granted all required scopes to make this call.")
        self.scopes = list(scopes)

    def details(self) -> list[dict[str, Any]]:
        message = "One or more of the following scopes are required."
        return [{"message": message, "context": {"requiredGranularScopes": self.scopes}}]


class NotFound(Problem):
    status = 404
    category = "OBJECT_NOT_FOUND"

    def __init__(self, message: str = "resource not found", **context: Sequence[str]) -> None:
        super().__init__(message, **context)


class NoSuchRoute(Problem):
    status = 404

    def __init__(self, path: str) -> None:
        super().__init__(f"No such path: {path}")


class MethodNotAllowed(Problem):
    status = 405

    def __init__(self, method: str, allowed: Sequence[str]) -> None:
        super().__init__(f"{method} is not allowed here; allowed: {', '.join(sorted(allowed))}")


class Conflict(Problem):
    status = 409
    category = "CONFLICT"


class UriTooLong(Problem):
    status = 414

    def __init__(self, limit: int) -> None:
        super().__init__(f"URI is longer than {limit} characters")


class UnsupportedMediaType(Problem):
    status = 415

    def __init__(self, content_type: str) -> None:
        super().__init__(f"Content type {content_type!r} is not supported; send application/json")


_POLICY_WORD = {"TEN_SECONDLY_ROLLING": "ten_secondly_rolling", "SECONDLY": "secondly", "DAILY": "daily"}


class RateLimited(Problem):
    """429. No Retry-After (69 of 69 recorded answers [O]); a client branches on `policyName`.

    The search bucket says `category: RATE_LIMITS`, the others `errorType: RATE_LIMIT` [O].
    """

    status = 429

    def __init__(self, policy: str, group: str, *, search: bool = False) -> None:
        super().__init__(f"You have reached your {_POLICY_WORD[policy]} limit.")
        self.policy = policy
        self.group = group
        self.search = search

    def body(self, correlation_id: str) -> dict[str, Any]:
        body: dict[str, Any] = {"status": "error", "message": self.message}
        if self.search:
            body["category"] = "RATE_LIMITS"
        else:
            body["errorType"] = "RATE_LIMIT"
        body |= {"correlationId": correlation_id, "policyName": self.policy}
        if not self.search:
            body["groupName"] = self.group
        return body
