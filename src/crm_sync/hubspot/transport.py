"""Transport: one call to HubSpot, in layers that add one concern each.

    request   repeat what may be repeated, while the caller waits           (retry.RetryRules)
    _attempt  wait for a free place, learn from the answer's headers        (ratelimit.RateLimiter)
    _read     make the answer a value, or raise what it says                (exchange.body_of)
    _send     authorize and send, within the timeouts                       (token.AccessToken, httpx)

Every attempt passes the rate limiter, a repeated one too. Logs name operations, at debug also method and path; never
queries, bodies or the token.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TypeVar

import httpx

from crm_sync.hubspot.counts import CallCounts, tallies
from crm_sync.hubspot.errors import (
    AnswerTimeout,
    Conflict,
    ConnectionCut,
    DailyLimit,
    ErrorAnswer,
    HubSpotError,
    MalformedAnswer,
    Misconfigured,
    NotFound,
    RateLimited,
    TransportError,
    Unreachable,
    ValidationFailed,
)
from crm_sync.hubspot.exchange import Call, Json, body_of
from crm_sync.hubspot.ratelimit import RateLimiter, Reading
from crm_sync.hubspot.retry import RetryRules
from crm_sync.hubspot.token import AccessToken

logger = logging.getLogger(__name__)

T = TypeVar("T")

#: What a caller can expect of good calls: they ask whether a record is there, or what HubSpot thinks of a value.
_EXPECTED = (Conflict, NotFound, ValidationFailed)


@dataclass(frozen=True, slots=True)
class Timeouts:
    """In seconds. `total_seconds` bounds one attempt, also when the answer trickles."""

    connect_seconds: float = 5.0
    answer_seconds: float = 30.0
    total_seconds: float = 60.0


class Transport:
    """Sends calls with one access token to one HubSpot. Close it with `aclose`."""

    def __init__(
        self,
        base_url: str,
        token: AccessToken,
        limiter: RateLimiter,
        *,
        retries: RetryRules,
        timeouts: Timeouts,
        max_connections: int,
        on_repeat: Callable[[HubSpotError], None] = lambda _error: None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self.counts = CallCounts()
        self._limiter = limiter
        self._retries = retries
        self._timeouts = timeouts
        self._on_repeat = on_repeat
        self._clock = clock
        self._sleep = sleep
        self._date: tuple[datetime, float] | None = None  # HubSpot's, and when it came by our clock
        self._http = httpx.AsyncClient(
            base_url=_address(base_url),
            auth=token,
            headers={"Accept": "application/json"},
            timeout=httpx.Timeout(timeouts.answer_seconds, connect=timeouts.connect_seconds),
            limits=httpx.Limits(max_connections=max_connections, max_keepalive_connections=max_connections),
            follow_redirects=False,
        )

    async def aclose(self) -> None:
        await self._http.aclose()

    @property
    def hubspot_time(self) -> datetime | None:
        """See HubSpotClient."""
        if self._date is None:
            return None
        at, came_at = self._date
        return at + timedelta(seconds=self._clock() - came_at)

    def url_characters(self, call: Call) -> int:
        """The length of the address of a call, as it would be sent."""
        return len(str(self._http_request(call).url))

    def body_characters(self, call: Call) -> int:
        """The length of the body of a call, as it would be sent."""
        return len(self._http_request(call).content.decode())

    async def request(self, call: Call, read: Callable[[Json], T]) -> T:
        """The value that `read` makes of the answer's JSON; {} stands for an answer without a body.

        `read` raises KeyError, TypeError or ValueError for another shape; that counts as a malformed answer.
        Raises HubSpotError once the faults that may be repeated are spent.
        """
        began_at = self._clock()
        attempt = 1
        while True:
            try:
                return await self._attempt(call, read)
            except HubSpotError as error:
                delay_seconds = self._retries.delay_seconds(
                    error,
                    attempt=attempt,
                    elapsed_seconds=self._clock() - began_at,
                    repeatable=call.repeatable,
                )
                if delay_seconds is None:
                    _log(logging.DEBUG if isinstance(error, _EXPECTED) else logging.WARNING, call, error, "failed")
                    raise
                _log(logging.INFO, call, error, f"attempt {attempt} failed, again in {delay_seconds:.1f} s")
                self._on_repeat(error)
            attempt += 1
            self.counts.repeated += 1
            await self._sleep(delay_seconds)

    async def _attempt(self, call: Call, read: Callable[[Json], T]) -> T:
        asked_at = self._clock()
        slot = await self._limiter.acquire(call.bucket)
        sent_at = self._clock()
        reading = Reading()
        for counts in (self.counts, *tallies()):
            counts.total += 1
            counts.by_operation[call.operation] += 1
        try:
            response = await self._send(call)
            took_ms, waited_ms = 1000 * (self._clock() - sent_at), 1000 * (sent_at - asked_at)
            logger.debug("hubspot %s: %d in %.0f ms (waited %.0f ms)", call, response.status_code, took_ms, waited_ms)
            self.counts.by_status[str(response.status_code)] += 1
            reading = Reading.of(response.headers)
            value = self._read(call, response, read)
            if (date := _date_in(response.headers)) is not None:  # not of errors: a proxy on the way may have made them
                self._date = (date, self._clock())
            return value
        except RateLimited as error:
            if not isinstance(error, DailyLimit):
                await self._limiter.pause(call.bucket, self._retries.pause_seconds(error))
            raise
        except TransportError as error:
            self.counts.by_status[type(error).__name__] += 1
            raise
        finally:
            await self._limiter.answered(call.bucket, slot, reading)

    def _http_request(self, call: Call) -> httpx.Request:
        return self._http.build_request(call.method, call.path, params=list(call.query) or None, json=call.body)

    def _read(self, call: Call, response: httpx.Response, read: Callable[[Json], T]) -> T:
        body = body_of(call, response.status_code, response.headers, response.content)
        try:
            return read(body)
        except (AttributeError, KeyError, TypeError, ValueError) as exc:
            what = f"the answer's JSON has another shape than HubSpot's ({type(exc).__name__}: {exc})"
            raise MalformedAnswer(what, str(call), response.status_code) from exc

    async def _send(self, call: Call) -> httpx.Response:
        try:
            async with asyncio.timeout(self._timeouts.total_seconds):
                return await self._http.send(self._http_request(call))
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError) as exc:
            where = f"HubSpot cannot be reached at {self._http.base_url} ({_reason(exc)})."
            what = f"{where} Check the network and HUBSPOT_API_BASE_URL."
            raise Unreachable(what, str(call)) from exc
        except (httpx.TimeoutException, TimeoutError) as exc:
            raise AnswerTimeout("HubSpot did not answer in time", str(call)) from exc
        except httpx.DecodingError as exc:
            raise MalformedAnswer("the answer's compression is broken", str(call), 200) from exc
        except httpx.TransportError as exc:
            raise ConnectionCut(
                f"the connection broke before HubSpot's answer was whole ({_reason(exc)})", str(call)
            ) from exc


def _address(base_url: str) -> str:
    """The address without a slash at its end; raises Misconfigured when it is none."""
    try:
        url = httpx.URL(base_url.strip())
    except httpx.InvalidURL as exc:
        raise Misconfigured(f"HUBSPOT_API_BASE_URL {base_url!r} is not an address: {exc}") from exc
    if url.scheme not in ("http", "https") or not url.host:
        raise Misconfigured(f"HUBSPOT_API_BASE_URL {base_url!r} is not an address such as https://api.hubapi.com")
    return str(url).rstrip("/")


def _date_in(headers: httpx.Headers) -> datetime | None:
    """HTTP's `Date`, which has whole seconds; None where it is absent or unreadable."""
    try:
        at = parsedate_to_datetime(headers["date"])
    except (KeyError, ValueError):
        return None
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


def _reason(exc: Exception) -> str:
    return str(exc) or type(exc).__name__


def _log(level: int, call: Call, error: HubSpotError, what: str) -> None:
    """Operation, status and correlation id; HubSpot's words may quote a person's data and stay at debug."""
    status = f"{error.status}" if isinstance(error, ErrorAnswer | MalformedAnswer) else type(error).__name__
    correlation_id = error.correlation_id if isinstance(error, ErrorAnswer) else None
    logger.log(level, "hubspot %s: %s (%s, correlation id %s)", call.operation, what, status, correlation_id)
    logger.debug("hubspot %s: %s", call.operation, error.summary)
