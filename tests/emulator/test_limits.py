"""Who may call, and how often: tokens, scopes and the four rate buckets."""

from __future__ import annotations

import httpx
import pytest

from hubspot_emulator import EmulatorServer

CONTACTS = "/crm/v3/objects/contacts"


def as_(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


# tokens


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer nope", "Basic pat-emulator-all-scopes", "pat-emulator-all-scopes"]
)
def test_a_call_without_a_valid_token_is_a_401(api: httpx.Client, header: str) -> None:
    answer = api.get(CONTACTS, headers={"Authorization": header})
    assert (answer.status_code, answer.json()["category"]) == (401, "INVALID_AUTHENTICATION")


def test_an_api_key_in_the_query_is_no_token(emulator: EmulatorServer) -> None:
    assert httpx.get(f"{emulator.url}{CONTACTS}?hapikey={emulator.token}").status_code == 401


def test_a_token_may_be_revoked_or_expire(emulator: EmulatorServer, api: httpx.Client) -> None:
    emulator.add_token("pat-other")
    assert api.get(CONTACTS, headers=as_("pat-other")).status_code == 200
    emulator.add_token("pat-other", status="expired")
    answer = api.get(CONTACTS, headers=as_("pat-other"))
    assert (answer.status_code, answer.json()["category"]) == (401, "EXPIRED_AUTHENTICATION")
    emulator.add_token("pat-other", status="revoked")
    answer = api.get(CONTACTS, headers=as_("pat-other"))
    assert (answer.status_code, answer.json()["category"]) == (401, "INVALID_AUTHENTICATION")
    assert api.get(CONTACTS).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "needed"),
    [
        ("POST", CONTACTS, "crm.objects.contacts.write"),
        ("GET", "/crm/v3/objects/deals", "crm.objects.deals.read"),
        ("POST", "/crm/v3/objects/deals/search", "crm.objects.deals.read"),
        ("POST", "/crm/v3/objects/notes", "crm.objects.contacts.write"),
        ("POST", "/crm/v3/properties/contacts", "crm.schemas.contacts.write"),
        ("GET", "/crm/v3/schemas", "crm.schemas.custom.read"),
        ("GET", "/crm/v3/owners", "crm.objects.owners.read"),
        ("GET", "/crm/v4/objects/contacts/1/associations/deals", "crm.objects.deals.read"),
        ("GET", "/marketing/v3/forms", "forms"),
        ("GET", "/email/public/v1/events", "content"),
    ],
)
def test_a_missing_scope_is_a_403_that_names_it(
    emulator: EmulatorServer, api: httpx.Client, method: str, path: str, needed: str
) -> None:
    emulator.add_token("pat-reader", scopes=["crm.objects.contacts.read"])
    answer = api.request(method, path, headers=as_("pat-reader"), json={} if method == "POST" else None)
    assert (answer.status_code, answer.json()["category"]) == (403, "MISSING_SCOPES")
    assert answer.json()["errors"][0]["context"]["requiredGranularScopes"] == [needed]
    assert api.get(CONTACTS, headers=as_("pat-reader")).status_code == 200


# burst


def test_the_burst_limit_is_a_rolling_window_of_a_token(emulator: EmulatorServer, api: httpx.Client) -> None:
    emulator.clock.freeze()
    emulator.set_tier("free")
    remaining = [api.get(CONTACTS).headers["X-HubSpot-RateLimit-Remaining"] for _ in range(100)]
    assert remaining == [str(number) for number in range(99, -1, -1)]
    refused = api.get(CONTACTS)
    assert refused.status_code == 429
    body = refused.json()
    assert body["message"] == "You have reached your ten_secondly_rolling limit."
    assert (body["errorType"], body["policyName"]) == ("RATE_LIMIT", "TEN_SECONDLY_ROLLING")
    assert "Retry-After" not in refused.headers
    emulator.clock.advance(9.9)
    assert api.get(CONTACTS).status_code == 429
    emulator.clock.advance(0.2)
    assert api.get(CONTACTS).status_code == 200


@pytest.mark.parametrize(("counted", "status"), [(True, 429), (False, 200)])
def test_knocking_without_a_pause_is_refused_for_ever_by_switch(
    emulator: EmulatorServer, api: httpx.Client, counted: bool, status: int
) -> None:
    assert emulator.behaviour.refused_calls_are_counted
    emulator.behaviour.refused_calls_are_counted = counted
    emulator.clock.freeze()
    api.put("/_emulator/tier", json={"burst": 1, "search": 1})
    statuses = []
    for _ in range(3):
        statuses.append(api.get(CONTACTS).status_code)
        emulator.clock.advance(6)
    assert statuses == [200, 429, status]
    emulator.clock.advance(10)
    assert api.get(CONTACTS).status_code == 200, "who waits the window out is let in, in either reading"


def test_each_token_has_a_burst_of_its_own(emulator: EmulatorServer, api: httpx.Client) -> None:
    emulator.clock.freeze()
    api.put("/_emulator/tier", json={"burst": 2})
    emulator.add_token("pat-other")
    assert [api.get(CONTACTS).status_code for _ in range(3)] == [200, 200, 429]
    assert api.get(CONTACTS, headers=as_("pat-other")).status_code == 200


def test_rate_headers_say_what_is_left(emulator: EmulatorServer, api: httpx.Client) -> None:
    emulator.set_tier("professional")
    headers = api.get(CONTACTS).headers
    assert headers["X-HubSpot-RateLimit-Max"] == "190"
    assert headers["X-HubSpot-RateLimit-Interval-Milliseconds"] == "10000"
    assert headers["X-HubSpot-RateLimit-Daily"] == "625000"
    assert headers["X-HubSpot-RateLimit-Daily-Remaining"] == "624999"


# daily


def test_the_daily_limit_is_the_accounts_until_midnight(emulator: EmulatorServer, api: httpx.Client) -> None:
    api.post("/_emulator/clock", json={"freeze": "2026-03-01T23:59:00Z"})
    api.put("/_emulator/tier", json={"daily": 3})
    emulator.add_token("pat-other")
    assert [api.get(CONTACTS, headers=as_(token)).status_code for token in ("pat-other", emulator.token) * 2] == [
        200,
        200,
        200,
        429,
    ]
    assert api.get(CONTACTS).json()["policyName"] == "DAILY"
    assert api.get("/account-info/v3/api-usage/daily/private-apps").status_code == 429
    emulator.behaviour.account_info_is_counted = False
    usage = api.get("/account-info/v3/api-usage/daily/private-apps").json()["results"][0]
    assert (usage["currentUsage"], usage["usageLimit"]) == (3, 3)
    assert usage["resetsAt"] == "2026-03-02T00:00:00.000Z"
    emulator.clock.advance(61)
    assert api.get(CONTACTS).status_code == 200


# search


def test_search_is_five_a_second_for_the_account(emulator: EmulatorServer, api: httpx.Client) -> None:
    emulator.clock.freeze()
    emulator.set_tier("enterprise")
    emulator.add_token("pat-other")
    tokens = (emulator.token, "pat-other") * 3
    answers = [api.post(f"{CONTACTS}/search", json={}, headers=as_(token)) for token in tokens]
    assert [answer.status_code for answer in answers] == [200] * 5 + [429]
    body = answers[-1].json()
    assert body["message"] == "You have reached your secondly limit."
    assert (body["category"], body["policyName"]) == ("RATE_LIMITS", "SECONDLY")
    emulator.clock.advance(1)
    assert api.post(f"{CONTACTS}/search", json={}).status_code == 200


def test_search_has_no_interval_headers(emulator: EmulatorServer, api: httpx.Client) -> None:
    headers = api.post(f"{CONTACTS}/search", json={}).headers
    assert "X-HubSpot-RateLimit-Daily-Remaining" in headers
    assert not {"X-HubSpot-RateLimit-Remaining", "X-HubSpot-RateLimit-Max"} & set(headers)


@pytest.mark.parametrize(("counts", "status"), [(True, 429), (False, 200)])
def test_a_search_is_taken_from_the_burst_by_switch(
    emulator: EmulatorServer, api: httpx.Client, counts: bool, status: int
) -> None:
    emulator.clock.freeze()
    emulator.behaviour.search_counts_to_burst = counts
    api.put("/_emulator/tier", json={"burst": 1})
    api.post(f"{CONTACTS}/search", json={})
    assert api.get(CONTACTS).status_code == status


# associations


def test_association_batches_have_a_bucket_of_their_own(emulator: EmulatorServer, api: httpx.Client) -> None:
    emulator.clock.freeze()
    api.put("/_emulator/tier", json={"burst": 1, "associations": 2})
    path = "/crm/v4/associations/contacts/companies/batch/read"
    assert [api.post(path, json={"inputs": [{"id": "1"}]}).status_code for _ in range(3)] == [207, 207, 429]
    assert api.get(CONTACTS).status_code == 200
    assert api.get(CONTACTS).status_code == 429
    for definitions in ("v4/associations/contacts/companies/labels", "v3/associations/contacts/companies/types"):
        assert api.get(f"/crm/{definitions}").status_code == 429, "no batch, so it is the burst's"


@pytest.mark.parametrize(("counted", "status"), [(True, 429), (False, 200)])
def test_account_details_cost_a_call_by_switch(
    emulator: EmulatorServer, api: httpx.Client, counted: bool, status: int
) -> None:
    assert emulator.behaviour.account_info_is_counted
    emulator.behaviour.account_info_is_counted = counted
    emulator.clock.freeze()
    api.put("/_emulator/tier", json={"burst": 1})
    assert api.get("/account-info/2026-03/details").json()["portalId"] == emulator.portal.id
    assert api.get("/account-info/2026-03/details").status_code == status
    assert api.get("/account-info/v3/api-usage/daily/private-apps").status_code == status
    assert api.get("/account-info/v3/details", headers={"Authorization": ""}).status_code == 401


def test_a_refused_call_does_nothing(emulator: EmulatorServer, api: httpx.Client) -> None:
    api.put("/_emulator/tier", json={"burst": 0})
    assert api.post(CONTACTS, json={"properties": {"email": "a@example.com"}}).status_code == 429
    assert emulator.records("contacts") == []
