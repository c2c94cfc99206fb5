"""What becomes of a run that failed, decided without a database and without HubSpot."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from crm_sync.clients import TokenMissingError
from crm_sync.errors import PullError, StreamBusyError, UnknownStreamError
from crm_sync.hubspot.errors import (
    AnswerTimeout,
    DailyLimit,
    Migrating,
    Misconfigured,
    MissingScopes,
    Problem,
    ServerFault,
    Unauthorized,
    ValidationFailed,
)
from crm_sync.pull.cursor import StreamLostError
from crm_sync.pull.runs.outcome import MIGRATION, next_midnight, outcome_of
from jobloop import Fail, Retry, Snooze

RESET = datetime(2026, 11, 23, 5, tzinfo=UTC)


def problem(status: int, retry_after_seconds: float | None = None) -> Problem:
    return Problem("GET /x", status, "HubSpot's words.", "CATEGORY", retry_after_seconds=retry_after_seconds)


def busy(until: datetime | None) -> StreamBusyError:
    return StreamBusyError("contacts", until)


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (DailyLimit(problem(429)), Snooze(RESET)),
        (Migrating(problem(477, 7200)), Snooze(timedelta(hours=2))),
        (Migrating(problem(477)), Snooze(MIGRATION)),
        (busy(None), Snooze(timedelta(seconds=3))),
        (busy(RESET), Snooze(timedelta(seconds=3))),
        (UnknownStreamError("There is none."), Fail("There is none.")),
        (PullError("A wrong wish."), Fail("A wrong wish.")),
        (TokenMissingError("There is no token."), Fail("There is no token.")),
        (Misconfigured("The address is none."), Fail("The address is none.")),
        (StreamLostError("Another run took it."), Retry("Another run took it.")),
        (AnswerTimeout("no answer in 30 s", "GET /x"), Retry("no answer in 30 s")),
        (OSError("the line is cut"), Retry("OSError: the line is cut")),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_error_has_its_outcome(error: Exception, outcome: object) -> None:
    assert outcome_of(error, resets_at=RESET) == outcome


@pytest.mark.parametrize("kind", [Unauthorized, MissingScopes])
def test_a_refused_token_is_not_tried_again(kind: type[Unauthorized]) -> None:
    assert isinstance(outcome_of(kind(problem(401)), resets_at=RESET), Fail)


@pytest.mark.parametrize(
    "error", [ServerFault(problem(502)), ValidationFailed(problem(400)), sa.exc.InvalidRequestError("odd")]
)
def test_any_other_failure_is_tried_again(error: Exception) -> None:
    assert isinstance(outcome_of(error, resets_at=RESET), Retry)


@pytest.mark.parametrize("at", ["2026-11-22T00:00:00", "2026-11-22T23:59:59.999", "2026-11-22T04:00:00"])
def test_the_next_midnight(at: str) -> None:
    assert next_midnight(datetime.fromisoformat(at).replace(tzinfo=UTC)) == datetime(2026, 11, 23, tzinfo=UTC)
