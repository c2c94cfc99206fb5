"""Every error of a HubSpot call.

    HubSpotError
    ├── Misconfigured         the token or the address cannot be used; nothing was sent
    ├── TransportError        no whole answer came
    │   ├── Unreachable       no connection: HubSpot has not seen the call
    │   ├── AnswerTimeout     sent, no answer in time
    │   └── ConnectionCut     sent, the connection broke before the answer was whole
    ├── MalformedAnswer       an answer that is not HubSpot's JSON (HTML, cut short, empty, other shape)
    └── ErrorAnswer           HubSpot's answer is an error
        ├── ValidationFailed  400, 422: the body is refused; repeating it would not help
        ├── Unauthorized      401: the token is wrong, revoked or expired
        ├── MissingScopes     403: the token may not do this
        ├── NotFound          404
        ├── Conflict          409: `existing_id` when HubSpot names the other record
        ├── Locked            423: another call holds the record, for about 2 seconds
        ├── RateLimited       429: `policy` says which limit
        │   └── DailyLimit    429: nothing more today, for no token of this account
        ├── Migrating         477: the account moves between data centres, for up to 24 hours
        ├── ServerFault       5xx: may have been applied all the same
        └── Rejected          any other status

`summary` is one line for a row's error column: status, category and HubSpot's own words, the same for every
row that failed in the same way. `str()` adds the call and the correlation id that HubSpot's support asks for.
No error holds the access token.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from crm_sync.errors import CrmSyncError

_EXISTING_ID = re.compile(r"existing ids?\W+(\d+)", re.IGNORECASE)


class HubSpotError(CrmSyncError):
    """A call that did not end well.

    may_have_applied     True when HubSpot may have done what was asked all the same
    retry_after_seconds  how long HubSpot asked to wait; None when it did not say
    """

    exit_code: ClassVar[int] = 4
    may_have_applied: bool = False
    retry_after_seconds: float | None = None

    @property
    def summary(self) -> str:
        """One line without the call and the correlation id."""
        return str(self)


class Misconfigured(HubSpotError):
    """The configured token or address cannot be used. The text never quotes the token."""


class TransportError(HubSpotError):
    """No whole answer came. `call` is method and path."""

    def __init__(self, what: str, call: str) -> None:
        super().__init__(f"{what} ({call})")
        self.what = what
        self.call = call

    @property
    def summary(self) -> str:
        return self.what


class Unreachable(TransportError):
    """There was no connection, so HubSpot has not seen the call."""


class AnswerTimeout(TransportError):
    """The call was sent; its answer did not come in time."""

    may_have_applied = True


class ConnectionCut(TransportError):
    """The call was sent; the connection broke before the whole answer was there."""

    may_have_applied = True


class MalformedAnswer(HubSpotError):
    """Something answered, but not in HubSpot's JSON. A `status` of 2xx may have been applied."""

    def __init__(self, what: str, call: str, status: int) -> None:
        super().__init__(f"{status}: {what} ({call})")
        self.what = what
        self.call = call
        self.status = status
        self.may_have_applied = status < 300

    @property
    def summary(self) -> str:
        return f"{self.status}: {self.what}"


@dataclass(frozen=True, slots=True)
class ErrorDetail:
    """One entry of an error's `errors`: HubSpot's words, a code (INVALID_EMAIL …), and what it is about."""

    message: str
    code: str | None = None
    context: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Problem:
    """What HubSpot's answer said about its failure. `message` is written for people and is no contract."""

    call: str
    status: int
    message: str
    category: str | None = None
    correlation_id: str | None = None
    details: tuple[ErrorDetail, ...] = ()
    policy: str | None = None
    retry_after_seconds: float | None = None


class ErrorAnswer(HubSpotError):
    """HubSpot answered with an error; `problem` holds all that it said, the properties the usual parts."""

    advice: ClassVar[str] = ""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self.problem = problem
        self.retry_after_seconds = problem.retry_after_seconds

    @property
    def status(self) -> int:
        return self.problem.status

    @property
    def category(self) -> str | None:
        return self.problem.category

    @property
    def details(self) -> tuple[ErrorDetail, ...]:
        return self.problem.details

    @property
    def correlation_id(self) -> str | None:
        return self.problem.correlation_id

    @property
    def codes(self) -> frozenset[str]:
        """The codes of the details, such as PROPERTY_DOESNT_EXIST."""
        return frozenset(detail.code for detail in self.details if detail.code)

    @property
    def summary(self) -> str:
        parts = (words(self.problem.message, self.details), self.advice)
        return f"{self.status} {self.category or type(self).__name__}: {' '.join(filter(None, parts))}"

    def __str__(self) -> str:
        trace = f", correlation id {self.correlation_id}" if self.correlation_id else ""
        return f"{self.summary} ({self.problem.call}{trace})"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"


class ValidationFailed(ErrorAnswer):
    """The body is refused. `codes` and `details` say which property and why."""


class Unauthorized(ErrorAnswer):
    advice = "Check HUBSPOT_API_KEY: the token is wrong, revoked or expired."


class MissingScopes(ErrorAnswer):
    """The token lacks a scope; `scopes` are those that HubSpot named, if it did."""

    @property
    def scopes(self) -> tuple[str, ...]:
        named = (detail.context.get("requiredGranularScopes", ()) for detail in self.details)
        return tuple(sorted({scope for scopes in named for scope in scopes}))

    @property
    def summary(self) -> str:
        wanted = f"the scopes {', '.join(self.scopes)}" if self.scopes else "the scopes that this call needs"
        return f"{super().summary} Give the token of HUBSPOT_API_KEY {wanted} in HubSpot's settings."


class NotFound(ErrorAnswer):
    """No such record, object type or path."""


class Conflict(ErrorAnswer):
    """Another record stands in the way."""

    @property
    def existing_id(self) -> str | None:
        """The id in "Contact already exists. Existing ID: 123": a best-effort hint, None when it is not there."""
        found = _EXISTING_ID.search(self.problem.message)
        return found[1] if found else None


class Locked(ErrorAnswer):
    """Another call holds the record, for about 2 seconds."""


class RateLimited(ErrorAnswer):
    """Too many calls. `policy` is TEN_SECONDLY_ROLLING, SECONDLY or DAILY; None when none is named."""

    @property
    def policy(self) -> str | None:
        return self.problem.policy


class DailyLimit(RateLimited):
    """The account's calls of today are spent, whatever the token."""

    advice = "The account's daily HubSpot calls are spent; they come back at the account's midnight."


class Migrating(ErrorAnswer):
    advice = "HubSpot is moving this account between data centres; it says when to come back."


class ServerFault(ErrorAnswer):
    """HubSpot failed; it may have applied the call before."""

    may_have_applied = True


class Rejected(ErrorAnswer):
    """A status with no meaning of its own here."""


def words(message: str, details: tuple[ErrorDetail, ...]) -> str:
    """HubSpot's own words: the details' messages with their codes, or the message where there are none."""
    lines = dict.fromkeys(_line(detail) for detail in details if detail.message)
    return "; ".join(lines) or message


def _line(detail: ErrorDetail) -> str:
    said = detail.code is None or detail.code in detail.message
    return detail.message if said else f"{detail.message} [{detail.code}]"
