"""Broken answers over real sockets: each ends in its own error, and what may be repeated is."""

from __future__ import annotations

import logging
import socket

import pytest

from crm_sync.hubspot import HubSpotClient, RetryRules, Timeouts
from crm_sync.hubspot.errors import (
    AnswerTimeout,
    ConnectionCut,
    HubSpotError,
    MalformedAnswer,
    Migrating,
    Misconfigured,
    RateLimited,
    Unauthorized,
    Unreachable,
)
from tests.hubspot.wire import HANG, answer, wire

TOKEN = "pat-eu1-00000000-1111-2222-3333-secretsecret"
CONTACT = {"id": "7", "properties": {"email": "ann@x.com"}}
GOOD = answer(200, CONTACT)
LIMITED = answer(429, {"message": "You have reached your secondly limit.", "policyName": "SECONDLY"})
AT_ONCE = RetryRules(scale=0)


def client(url: str, *, retries: RetryRules = AT_ONCE, timeouts: Timeouts | None = None) -> HubSpotClient:
    return HubSpotClient(url, TOKEN, retries=retries, timeouts=timeouts)


BROKEN = {
    "cut without an answer": (b"", ConnectionCut),
    "cut in the middle of the body": (answer(200, CONTACT, length=1000), ConnectionCut),
    "no HTTP": (b"hello\r\n\r\n", ConnectionCut),
    "empty body": (answer(200, b""), MalformedAnswer),
    "HTML body": (answer(200, b"<html>", "Content-Type: text/html"), MalformedAnswer),
    "truncated JSON": (answer(200, b'{"id": "7", "prop'), MalformedAnswer),
    "a list": (answer(200, [CONTACT]), MalformedAnswer),
    "another shape": (answer(200, {"properties": {}}), MalformedAnswer),
    "properties of another shape": (answer(200, {"id": "7", "properties": 5}), MalformedAnswer),
    "broken compression": (answer(200, b"no gzip", "Content-Encoding: gzip"), MalformedAnswer),
}


@pytest.mark.parametrize(("broken", "kind"), BROKEN.values(), ids=BROKEN.keys())
async def test_a_broken_answer_is_asked_for_again(broken: bytes, kind: type[HubSpotError]) -> None:
    async with wire(broken, GOOD) as served, client(served.url) as hubspot:
        record = await hubspot.get("contacts", "7")
    assert record.id == "7"
    assert hubspot.counts.total == 2
    assert hubspot.counts.repeated == 1


@pytest.mark.parametrize(("broken", "kind"), BROKEN.values(), ids=BROKEN.keys())
async def test_a_broken_answer_again_and_again_is_raised(broken: bytes, kind: type[HubSpotError]) -> None:
    async with wire(broken) as served, client(served.url) as hubspot:
        with pytest.raises(kind) as caught:
            await hubspot.get("contacts", "7")
    assert "GET /crm/v3/objects/contacts/7" in str(caught.value)
    assert len(served.requests) == AT_ONCE.max_attempts


@pytest.mark.parametrize("broken", [b"", answer(200, b"<html>"), answer(503, b"")])
async def test_a_create_whose_fate_is_unknown_is_not_sent_again(broken: bytes) -> None:
    async with wire(broken, GOOD) as served, client(served.url) as hubspot:
        with pytest.raises(HubSpotError) as caught:
            await hubspot.create("contacts", {"email": "ann@x.com"})
    assert caught.value.may_have_applied
    assert len(served.requests) == 1


async def test_a_refused_create_is_sent_again() -> None:
    async with wire(LIMITED, GOOD) as served, client(served.url) as hubspot:
        assert (await hubspot.create("contacts", {"email": "ann@x.com"})).id == "7"


async def test_nothing_listens() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        async with client(url) as hubspot:
            with pytest.raises(Unreachable, match="cannot be reached") as caught:
                await hubspot.create("contacts", {})
    assert not caught.value.may_have_applied
    assert hubspot.counts.by_status == {"Unreachable": AT_ONCE.max_attempts}


@pytest.mark.parametrize(
    "timeouts", [Timeouts(answer_seconds=0.05), Timeouts(total_seconds=0.05)], ids=["silence", "in all"]
)
async def test_no_answer_in_time(timeouts: Timeouts) -> None:
    async with wire(HANG) as served, client(served.url, timeouts=timeouts) as hubspot:
        with pytest.raises(AnswerTimeout):
            await hubspot.get("contacts", "7")


async def test_477_migration_of_hours_is_raised_with_its_delay() -> None:
    moving = answer(477, {"message": "moving"}, "Retry-After: 86400")
    async with wire(moving) as served, client(served.url) as hubspot:
        with pytest.raises(Migrating) as caught:
            await hubspot.get("contacts", "7")
    assert caught.value.retry_after_seconds == 86_400
    assert len(served.requests) == 1


async def test_429_is_raised_once_the_attempts_are_spent() -> None:
    async with wire(LIMITED) as served, client(served.url) as hubspot:
        with pytest.raises(RateLimited):
            await hubspot.get("contacts", "7")
    assert hubspot.counts.by_status == {"429": AT_ONCE.max_attempts}


async def test_a_redirect_is_not_followed_with_the_token() -> None:
    async with wire(answer(302, b"", "Location: http://127.0.0.1:1/")) as served, client(served.url) as hubspot:
        with pytest.raises(MalformedAnswer, match="302"):
            await hubspot.get("contacts", "7")
    assert len(served.requests) == 1


async def test_the_token_goes_to_hubspot_and_into_no_text(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    refused = answer(401, {"message": "bad credentials", "category": "INVALID_AUTHENTICATION"})
    texts: list[str] = []
    for broken in (refused, b"", answer(500, b""), answer(200, b"<html>")):
        async with wire(broken) as served, client(served.url) as hubspot:
            with pytest.raises(HubSpotError) as caught:
                await hubspot.get("contacts", "7")
            assert f"Bearer {TOKEN}".encode() in served.requests[0]
            cause = caught.value.__cause__
            texts += [str(caught.value), repr(caught.value), caught.value.summary, str(cause), repr(cause)]
            texts += [repr(hubspot), repr(hubspot.token), str(hubspot.token), repr(vars(hubspot))]
    texts.append(caplog.text)
    assert "contacts.get" in caplog.text
    assert not [text for text in texts if "secretsecret" in text or TOKEN in text]


@pytest.mark.parametrize("token", ["", "  ", f"{TOKEN} x", f"{TOKEN}\nX-Evil: 1", f"{TOKEN}…"])
def test_a_token_that_cannot_be_sent_is_refused_without_quoting_it(token: str) -> None:
    with pytest.raises(Misconfigured, match="HUBSPOT_API_KEY") as caught:
        HubSpotClient("https://api.hubapi.com", token)
    assert "secretsecret" not in str(caught.value)


def test_white_space_around_a_token_is_not_part_of_it() -> None:
    assert HubSpotClient("https://api.hubapi.com", f" {TOKEN}\n").token.masked == "…cret"


@pytest.mark.parametrize("url", ["", "api.hubapi.com", "ftp://x", "http://", "http://[::1"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(Misconfigured, match="HUBSPOT_API_BASE_URL"):
        HubSpotClient(url, TOKEN)


async def test_401_is_not_repeated_and_says_what_to_do() -> None:
    refused = answer(401, {"message": "revoked", "category": "INVALID_AUTHENTICATION", "correlationId": "c-9"})
    async with wire(refused) as served, client(served.url) as hubspot:
        with pytest.raises(Unauthorized, match="401 INVALID_AUTHENTICATION: revoked Check HUBSPOT_API_KEY"):
            await hubspot.account()
    assert len(served.requests) == 1
