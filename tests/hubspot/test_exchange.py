"""What an answer means: the error for each status, in HubSpot's own words (pure)."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from crm_sync.hubspot import errors
from crm_sync.hubspot.exchange import Call, body_of

CALL = Call("contacts.batch_upsert", "POST", "/crm/v3/objects/contacts/batch/upsert")


def raised(status: int, body: dict[str, Any] | bytes, **headers: str) -> errors.HubSpotError:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    with pytest.raises(errors.HubSpotError) as caught:
        body_of(CALL, status, named, content)
    return caught.value


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, errors.ValidationFailed),
        (401, errors.Unauthorized),
        (403, errors.MissingScopes),
        (404, errors.NotFound),
        (409, errors.Conflict),
        (414, errors.Rejected),
        (422, errors.ValidationFailed),
        (423, errors.Locked),
        (429, errors.RateLimited),
        (477, errors.Migrating),
        (500, errors.ServerFault),
        (524, errors.ServerFault),
    ],
)
def test_each_status_has_its_error(status: int, kind: type[errors.ErrorAnswer]) -> None:
    error = raised(status, {"status": "error", "message": "No.", "category": "SOME", "correlationId": "c-1"})
    assert type(error) is kind
    assert isinstance(error, errors.ErrorAnswer)
    assert (error.status, error.category, error.correlation_id) == (status, "SOME", "c-1")
    assert error.summary.startswith(f"{status} SOME: No.")
    assert "POST /crm/v3/objects/contacts/batch/upsert" in str(error)
    assert "c-1" in str(error)
    assert "c-1" not in error.summary


def test_429_by_policy_without_retry_after() -> None:
    error = raised(
        429,
        {
            "status": "error",
            "message": "You have reached your ten_secondly_rolling limit.",
            "errorType": "RATE_LIMIT",
            "policyName": "TEN_SECONDLY_ROLLING",
        },
    )
    assert isinstance(error, errors.RateLimited)
    assert (error.policy, error.category, error.retry_after_seconds) == (
        "TEN_SECONDLY_ROLLING",
        "RATE_LIMIT",
        None,
    )


@pytest.mark.parametrize("policy", ["SECONDLY", "TEN_SECONDLY_ROLLING"])
def test_a_429_without_policy_name_tells_its_policy_in_the_message(policy: str) -> None:
    error = raised(429, {"message": f"You have reached your {policy.lower()} limit."})
    assert isinstance(error, errors.RateLimited)
    assert error.policy == policy


def test_daily_limit_is_an_error_of_its_own() -> None:
    assert isinstance(raised(429, {"message": "no", "policyName": "DAILY"}), errors.DailyLimit)


@pytest.mark.parametrize("status", [401, 403, 423, 429, 477, 502])
def test_a_page_of_html_with_a_clear_status_keeps_its_meaning(status: int) -> None:
    error = raised(status, b"<html>Bad gateway</html>", content_type="text/html")
    assert isinstance(error, errors.ErrorAnswer)
    assert error.status == status


@pytest.mark.parametrize(
    ("status", "content"),
    [(200, b""), (200, b"<html></html>"), (200, b'{"results": ['), (200, b"[]"), (200, b"\xff"), (404, b"<html>")],
)
def test_an_answer_that_is_not_json_is_malformed(status: int, content: bytes) -> None:
    error = raised(status, content, content_type="text/html; charset=utf-8")
    assert isinstance(error, errors.MalformedAnswer)
    assert error.may_have_applied is (status == 200)
    assert "HUBSPOT_API_BASE_URL" in error.summary


def test_no_content_is_no_fault() -> None:
    assert body_of(CALL, 204, {}, b"") == {}


def test_the_details_words_and_codes_make_the_summary() -> None:
    detail = {
        "message": 'Property "x" does not exist',
        "code": "PROPERTY_DOESNT_EXIST",
        "context": {"propertyName": ["x"]},
    }
    error = raised(
        400, {"message": "Property values were not valid: [{…}]", "category": "VALIDATION_ERROR", "errors": [detail]}
    )
    assert error.summary == '400 VALIDATION_ERROR: Property "x" does not exist [PROPERTY_DOESNT_EXIST]'
    assert isinstance(error, errors.ValidationFailed)
    assert error.codes == {"PROPERTY_DOESNT_EXIST"}
    assert error.details[0].context == {"propertyName": ("x",)}


def test_a_conflict_names_the_other_record_or_not() -> None:
    named = raised(409, {"message": "Contact already exists. Existing ID: 123", "category": "CONFLICT"})
    unnamed = raised(409, {"message": "Another object has that value", "category": "CONFLICT"})
    assert isinstance(named, errors.Conflict)
    assert isinstance(unnamed, errors.Conflict)
    assert (named.existing_id, unnamed.existing_id) == ("123", None)


def test_401_and_403_say_what_to_do() -> None:
    revoked = raised(401, {"message": "Authentication credentials not found.", "category": "INVALID_AUTHENTICATION"})
    assert "401" in revoked.summary
    assert "Check HUBSPOT_API_KEY" in revoked.summary
    scopes = [{"message": "missing", "context": {"requiredGranularScopes": ["crm.objects.contacts.write"]}}]
    forbidden = raised(403, {"message": "no scope", "category": "MISSING_SCOPES", "errors": scopes})
    assert "403" in forbidden.summary
    assert "crm.objects.contacts.write" in forbidden.summary


def test_retry_after_is_read_as_seconds_or_as_a_date() -> None:
    assert raised(477, {"message": "moving"}, retry_after="86400").retry_after_seconds == 86_400
    at = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    wait_seconds = raised(477, {"message": "moving"}, retry_after=at).retry_after_seconds
    assert wait_seconds is not None
    assert 3000 < wait_seconds <= 3600
    assert raised(477, {"message": "moving"}, retry_after="soon").retry_after_seconds is None


@pytest.mark.parametrize(
    "body",
    [
        {"message": 5, "errors": "none"},
        {"errors": [None, {"message": None, "context": "x"}, {"context": {"a": "b"}}]},
        {},
    ],
)
def test_an_error_body_of_another_shape_still_is_that_error(body: dict[str, Any]) -> None:
    assert isinstance(raised(400, body), errors.ValidationFailed)
