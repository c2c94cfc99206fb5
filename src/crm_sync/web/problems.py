"""Every failure of a request as application/problem+json (RFC 9457); no traceback and no secret leaves the process."""

import logging
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from crm_sync.errors import CrmSyncError, DatabaseError
from crm_sync.hubspot import HubSpotError

logger = logging.getLogger(__name__)


class Problem(JSONResponse):
    """`detail` is a sentence for the reader of the answer; `more` are further members of the object."""

    media_type = "application/problem+json"

    def __init__(self, status: int, detail: str, *, instance: str | None = None, **more: Any) -> None:
        body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
        super().__init__({**body, **({"instance": instance} if instance else {}), **more}, status_code=status)


def add_problem_handlers(app: FastAPI) -> None:
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(CrmSyncError, _ours)
    app.add_exception_handler(Exception, _unexpected)


async def _http(request: Request, exc: Exception) -> Problem:
    assert isinstance(exc, HTTPException)  # noqa: S101
    answer = Problem(exc.status_code, str(exc.detail), instance=request.url.path)
    answer.headers.update(exc.headers or {})
    return answer


async def _invalid(request: Request, exc: Exception) -> Problem:
    assert isinstance(exc, RequestValidationError)  # noqa: S101
    problems = [{"where": ".".join(map(str, error["loc"])), "what": error["msg"]} for error in exc.errors()]
    detail = "; ".join(f"{problem['where']}: {problem['what']}" for problem in problems)
    return Problem(422, detail, instance=request.url.path, errors=problems)


async def _ours(request: Request, exc: Exception) -> Problem:
    status = 503 if isinstance(exc, DatabaseError) else 502 if isinstance(exc, HubSpotError) else 400
    return Problem(status, str(exc), instance=request.url.path)


async def _unexpected(request: Request, exc: Exception) -> Problem:
    # Starlette raises the exception again after this answer, and the server logs its traceback.
    return Problem(500, "Something failed here; the log says what.", instance=request.url.path)
