"""The ASGI application: control routes, or fault → token → quota → scope → route, and always the call log."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from email.utils import format_datetime
from typing import Any

from .account import Account
from .calls import Call
from .clock import iso
from .faults import Fault
from .problems import InvalidAuthentication, Problem, RateLimited, UriTooLong
from .router import Route, Router
from .routes import api_routes, control_routes
from .tokens import Token
from .web import Answer, Request

__all__ = ["EmulatorApp"]

_MAX_URI_CHARACTERS = 15_000
_MAX_BODY_BYTES = 50_000_000
_TYPE_PARAMETERS = ("object_type", "from_type", "to_type")

Cut = Callable[[tuple[str, int]], None]
"""Aborts the connection of a client address."""


class EmulatorApp:
    """One account over HTTP. `cut` is how a server lends its sockets to the faults that need them."""

    def __init__(self, account: Account, cut: Cut | None = None) -> None:
        self.account = account
        self._cut = cut
        self._api = Router(api_routes(), legacy_paths=account.behaviour.legacy_paths)
        self._control = Router(control_routes())

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        if scope["type"] != "http":
            return
        headers = {key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]}
        body = await _body(receive)
        path = scope.get("raw_path", scope["path"].encode()).decode("latin-1").partition("?")[0]
        request = Request(scope["method"], path, scope["query_string"].decode("latin-1"), headers, body)
        if path.startswith("/_emulator"):
            with self.account.lock:
                answer = self.controlled(request)
            await self._send(send, answer.status, answer.encoded(), {"content-type": "application/json"})
            return
        await self._answer_api(request, scope.get("client"), receive, send)

    async def _answer_api(self, request: Request, client: tuple[str, int] | None, receive: Any, send: Any) -> None:
        account = self.account
        with account.lock:
            exchange = _Exchange(account, self._api, request)
            fault = account.faults.take(request.method, request.path, exchange.route_name)
        if fault is not None and fault.kind == "slow":
            await asyncio.sleep(fault.seconds)
        with account.lock:
            answer = exchange.fail(fault) if fault is not None and fault.refuses else exchange.run()
            encoded = exchange.spoiled(answer, fault)
            is_cut = fault is not None and fault.kind == "cut" and client is not None and self._cut is not None
            account.calls.add(exchange.call(0 if is_cut else answer.status, fault))
        if is_cut and self._cut is not None and client is not None:
            self._cut(client)
            await receive()  # until the server has noticed; it would complain of a request without an answer
            return
        if "content-type" not in answer.headers and encoded:
            answer.headers["content-type"] = "application/json;charset=utf-8"
        await self._send(send, answer.status, encoded, answer.headers)

    async def _send(self, send: Any, status: int, body: bytes, headers: dict[str, str]) -> None:
        await _send(send, status, body, {"date": format_datetime(self.account.clock.now(), usegmt=True), **headers})

    def controlled(self, request: Request) -> Answer:
        """The answer of a control route; a wrong value is a 400 that says what is wrong."""
        try:
            route, request.params = self._control.find(request.method, request.path)
            return route.handler(self.account, request)
        except Problem as problem:
            return Answer(problem.body(self.account.correlation_id()), problem.status)
        except (KeyError, OverflowError, TypeError, ValueError) as error:
            return Answer({"status": "error", "message": f"{type(error).__name__}: {error}"}, 400)


class _Exchange:
    """One request on its way through the layers."""

    def __init__(self, account: Account, router: Router, request: Request) -> None:
        self._account = account
        self._request = request
        self._correlation_id = account.correlation_id()
        self._received_ms = account.clock.now_ms()
        self._route: Route | None = None
        self._missing_route: Problem | None = None
        self._token: Token | None = None
        try:
            self._route, request.params = router.find(request.method, request.path)
        except Problem as problem:
            self._missing_route = problem

    @property
    def route_name(self) -> str:
        return self._route.name if self._route is not None else "unknown"

    @property
    def _type_name(self) -> str | None:
        """The type the call is about, as the call log names it; None when there is none, or none such."""
        name = next((self._request.params[one] for one in _TYPE_PARAMETERS if one in self._request.params), None)
        try:
            type_ = None if name is None else self._account.portal.table(name).type
        except Problem:
            return None
        if type_ is None:
            return None
        return type_.type_id if type_.is_custom else type_.name

    def run(self) -> Answer:
        rate_headers: dict[str, str] = {}
        try:
            answer = self._layers(rate_headers)
        except Problem as problem:
            answer = Answer(problem.body(self._correlation_id), problem.status)
            if isinstance(problem, RateLimited) and self._token is not None and self._route is not None:
                rate_headers |= self._account.quota.headers(self._token, self._route.bucket)
        answer.headers = {**rate_headers, **answer.headers, "X-HubSpot-Correlation-Id": self._correlation_id}
        return answer

    def _layers(self, rate_headers: dict[str, str]) -> Answer:
        account, request = self._account, self._request
        if len(request.path) + len(request.raw_query) > _MAX_URI_CHARACTERS:
            raise UriTooLong(_MAX_URI_CHARACTERS)
        if self._route is None:
            raise self._missing_route or InvalidAuthentication()
        self._token = account.tokens.authenticate(request.headers.get("authorization"))
        rate_headers |= account.quota.take(self._token, self._route.bucket)
        account.tokens.authorize(self._token, self._scopes(self._route))
        if len(request.body) > _MAX_BODY_BYTES:
            raise UriTooLong(_MAX_BODY_BYTES)
        return self._route.handler(account, request)

    def _scopes(self, route: Route) -> list[str]:
        """The granular scopes this call needs."""
        types = [
            self._account.portal.table(self._request.params[name]).type
            for name in _TYPE_PARAMETERS
            if name in self._request.params
        ]
        if route.scope == "read":
            return list(dict.fromkeys(one.read_scope for one in types))
        if route.scope == "write":
            return list(dict.fromkeys(one.write_scope for one in types))
        if route.scope in ("schema.read", "schema.write"):
            return [one.schema_scope(route.scope.partition(".")[2]) for one in types]
        return [route.scope] if route.scope else []

    def fail(self, fault: Fault) -> Answer:
        """The answer of a fault that refuses the call, which takes effect first when the fault says so."""
        if fault.applied:
            self.run()
        headers = {"X-HubSpot-Correlation-Id": self._correlation_id}
        if (problem := fault.problem()) is not None:
            return Answer(problem.body(self._correlation_id), problem.status, headers)
        page = fault.page()
        if page is None:
            return Answer(None, 200, headers)
        status, text, extra = page
        if fault.is_html:
            return Answer(text, status, {"content-type": "text/html; charset=UTF-8", **extra})
        body = {"status": "error", "message": text, "correlationId": self._correlation_id}
        return Answer(body, status, {**headers, **extra})

    def spoiled(self, answer: Answer, fault: Fault | None) -> bytes:
        """The bytes of the body, after what the fault does to them."""
        if answer.headers.get("content-type", "").startswith("text/html"):
            return f"<html><body><h1>{answer.status} {answer.body}</h1></body></html>".encode()
        encoded = answer.encoded()
        if fault is None:
            return encoded
        if fault.kind == "truncated":
            return encoded[: max(1, len(encoded) // 2)]
        if fault.kind == "empty":
            answer.status = 200
            return b""
        if fault.kind == "html":
            answer.status = 200
            answer.headers["content-type"] = "text/html; charset=UTF-8"
            return b"<!DOCTYPE html><html><body>Please sign in</body></html>"
        return encoded

    def call(self, status: int, fault: Fault | None) -> Call:
        body = _logged_body(self._request)
        inputs = body.get("inputs") if isinstance(body, dict) else None
        return Call(
            number=self._account.calls.total + 1,
            at=iso(self._received_ms),
            method=self._request.method,
            path=self._request.path,
            query=_logged_query(self._request),
            route=self.route_name,
            object_type=self._type_name,
            status=status,
            inputs=len(inputs) if isinstance(inputs, list) else 0,
            token=self._token.value if self._token is not None else None,
            fault=None if fault is None else fault.kind + ("-after" if fault.applied else ""),
            correlation_id=self._correlation_id,
            body=body,
        )


def _logged_body(request: Request) -> Any:
    """The JSON body if it was parsed on the way, or can be."""
    if not request.body or len(request.body) > 1_000_000:
        return None
    try:
        return request.json
    except Problem:
        return None


def _logged_query(request: Request) -> dict[str, list[str]]:
    try:
        return request.query
    except ValueError:
        return {}


async def _body(receive: Any) -> bytes:
    chunks: list[bytes] = []
    size = 0
    more = True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            break
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        if size <= _MAX_BODY_BYTES + 1:
            chunks.append(chunk)
        more = message.get("more_body", False)
    return b"".join(chunks)


async def _send(send: Any, status: int, body: bytes, headers: dict[str, str]) -> None:
    raw: Sequence[tuple[bytes, bytes]] = [
        (key.lower().encode("latin-1"), value.encode("latin-1", "replace")) for key, value in headers.items()
    ]
    length = [] if status == 204 else [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": [*raw, *length]})
    await send({"type": "http.response.body", "body": b"" if status == 204 else body})


async def _lifespan(receive: Any, send: Any) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
