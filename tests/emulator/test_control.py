"""Control routes: what is done to the emulator beside the API."""

from __future__ import annotations

import httpx
import pytest

from hubspot_emulator import EmulatorServer

CONTACTS = "/crm/v3/objects/contacts"


def test_control_needs_no_token(emulator: EmulatorServer) -> None:
    answer = httpx.get(f"{emulator.url}/_emulator")
    assert (answer.status_code, answer.json()["portalId"]) == (200, emulator.portal.id)


def test_a_reset_forgets_everything(emulator: EmulatorServer, api: httpx.Client) -> None:
    api.post(CONTACTS, json={"properties": {"email": "a@example.com"}})
    api.post("/crm/v3/properties/contacts", json={"name": "x"})
    emulator.add_token("pat-other")
    emulator.clock.freeze()
    emulator.behaviour.silent_loss_every = 7
    emulator.fault("500", nth=5)
    emulator.set_tier("free")
    assert api.post("/_emulator/reset").status_code == 204
    state = api.get("/_emulator").json()
    assert (state["records"]["contacts"], state["calls"]) == (0, 0)
    assert state["behaviour"]["silent_loss_every"] == 0
    assert state["tier"]["burst"] == 10**9
    assert api.get("/_emulator/faults").json()["results"] == []
    assert [one["token"] for one in api.get("/_emulator/tokens").json()["results"]] == [emulator.token]
    assert api.get("/_emulator/clock").json()["frozen"] is False


def test_the_call_log_has_counts_per_route_and_every_call(emulator: EmulatorServer, api: httpx.Client) -> None:
    body = {"inputs": [{"id": "1"}, {"id": "2"}]}
    api.post(f"{CONTACTS}/batch/read?archived=false", json=body)
    api.post("/crm/objects/2026-03/0-1/batch/read", json=body)
    api.get("/nowhere")
    log = api.get("/_emulator/calls").json()
    assert log["counts"] == {"objects.batch_read contacts": 2, "unknown": 1}
    assert log["statuses"] == {"207": 2, "404": 1}
    first = log["calls"][0]
    assert (first["method"], first["status"], first["inputs"], first["body"]) == ("POST", 207, 2, body)
    assert first["query"] == {"archived": ["false"]}
    assert first["token"] == emulator.token
    assert len(api.get("/_emulator/calls?limit=1").json()["calls"]) == 1
    assert emulator.counts() == log["counts"]
    assert emulator.calls("objects.batch_read", "contacts")[0].path.startswith("/crm/v3")
    api.delete("/_emulator/calls")
    assert emulator.calls() == []


def test_the_correlation_id_of_the_log_is_the_answers(emulator: EmulatorServer, api: httpx.Client) -> None:
    answer = api.get(f"{CONTACTS}/404404")
    assert answer.headers["X-HubSpot-Correlation-Id"] == answer.json()["correlationId"]
    assert emulator.calls()[-1].correlation_id == answer.json()["correlationId"]


def test_the_clock_is_frozen_advanced_and_thawed_over_http(api: httpx.Client) -> None:
    clock = "/_emulator/clock"
    api.post(clock, json={"freeze": "2026-03-01T00:00:00Z"})
    assert api.post(clock, json={"advance_seconds": 90}).json() == {"now": "2026-03-01T00:01:30.000Z", "frozen": True}
    assert api.get(clock).json()["now"] == "2026-03-01T00:01:30.000Z"
    thawed = api.post(clock, json={"thaw": True}).json()
    assert thawed["frozen"] is False
    assert thawed["now"].startswith("2026-03-01T00:01:3")


def test_tokens_are_added_and_changed_over_http(api: httpx.Client) -> None:
    scopes = ["crm.objects.contacts.read"]
    api.post("/_emulator/tokens", json={"token": "pat-x", "scopes": scopes})
    headers = {"Authorization": "Bearer pat-x"}
    assert api.get(CONTACTS, headers=headers).status_code == 200
    assert api.post(CONTACTS, headers=headers, json={"properties": {}}).status_code == 403
    api.post("/_emulator/tokens", json={"token": "pat-x", "status": "revoked"})
    assert api.get(CONTACTS, headers=headers).status_code == 401


def test_every_answer_is_dated_by_the_portals_clock(emulator: EmulatorServer, api: httpx.Client) -> None:
    api.post("/_emulator/clock", json={"freeze": "2026-03-01T00:00:00Z"})
    emulator.fault("502", method="DELETE")
    answers = [api.get(CONTACTS), api.get("/_emulator"), api.get("/nowhere"), api.delete(f"{CONTACTS}/1")]
    assert [answer.headers.get_list("Date") for answer in answers] == [["Sun, 01 Mar 2026 00:00:00 GMT"]] * 4
    emulator.clock.advance(86_400)
    assert api.get(CONTACTS).headers["Date"] == "Mon, 02 Mar 2026 00:00:00 GMT"


@pytest.mark.parametrize("tier", ["free", "starter", "professional", "enterprise", "addon", "unlimited"])
def test_tiers_are_set_over_http(api: httpx.Client, tier: str) -> None:
    limits = api.put("/_emulator/tier", json={"tier": tier}).json()
    assert api.get(CONTACTS).headers["X-HubSpot-RateLimit-Max"] == str(limits["burst"])


def test_switches_are_set_over_http(emulator: EmulatorServer, api: httpx.Client) -> None:
    assert api.patch("/_emulator/behaviour", json={"search_lag_seconds": 30}).status_code == 200
    assert emulator.behaviour.search_lag_seconds == 30.0


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PATCH", "behaviour", {"nope": 1}),
        ("PATCH", "behaviour", {"search_lag_seconds": "long"}),
        ("PATCH", "behaviour", {"search_lag_seconds": -1}),
        ("PATCH", "behaviour", {"conflict_fails_batch": 1}),
        ("PUT", "tier", {"tier": "royal"}),
        ("PUT", "tier", {"burst": -1}),
        ("PUT", "tier", {"bursts": 1}),
        ("POST", "clock", {"freeze": "tomorrow"}),
        ("POST", "clock", {"freeze": "2026-03-01T00:00:00"}),
        ("POST", "clock", {"stop": True}),
        ("POST", "tokens", {"token": 1}),
        ("POST", "tokens", {"token": "x", "status": "lost"}),
        ("POST", "seed", {"seed": "x"}),
        ("POST", "seed", {"contacts": -1}),
        ("POST", "seed", {"cats": 1}),
        ("POST", "forms/nope/submissions", {"email": "a@example.com"}),
        ("POST", "email-events", {"type": "OPEN"}),
    ],
)
def test_bad_control_requests_say_what_is_wrong(
    api: httpx.Client, method: str, path: str, body: dict[str, object]
) -> None:
    answer = api.request(method, f"/_emulator/{path}", json=body)
    assert answer.status_code in (400, 404)
    assert answer.json()["message"]


def test_owners_forms_and_events_are_added_over_http(api: httpx.Client) -> None:
    owner = api.post("/_emulator/owners", json={"email": "new@example.com"}).json()
    assert api.get(f"/crm/v3/owners/{owner['id']}").json()["email"] == "new@example.com"
    form = api.post("/_emulator/forms", json={"name": "Sign-up"}).json()["id"]
    api.post(f"/_emulator/forms/{form}/submissions", json={"email": "a@example.com"})
    assert len(api.get(f"/form-integrations/v1/submissions/forms/{form}").json()["results"]) == 1
    api.post("/_emulator/email-events", json={"type": "OPEN", "recipient": "a@example.com"})
    assert len(api.get("/email/public/v1/events").json()["events"]) == 1


def test_an_endless_lag_is_refused(api: httpx.Client) -> None:
    """1e400 is JSON, and infinite."""
    headers = {"Content-Type": "application/json"}
    answer = api.patch("/_emulator/behaviour", content=b'{"search_lag_seconds": 1e400}', headers=headers)
    assert answer.status_code == 400
    assert api.post(CONTACTS, json={"properties": {"email": "a@example.com"}}).status_code == 201
