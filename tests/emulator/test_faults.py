"""Faults: what goes wrong on request, where, when, and whether it had been applied."""

from __future__ import annotations

import logging
import time

import httpx
import pytest

from hubspot_emulator import EmulatorServer

CONTACTS = "/crm/v3/objects/contacts"
NEW = {"properties": {"email": "a@example.com"}}


@pytest.mark.parametrize(
    ("kind", "status", "key", "value"),
    [
        ("429-ten-secondly", 429, "policyName", "TEN_SECONDLY_ROLLING"),
        ("429-secondly", 429, "policyName", "SECONDLY"),
        ("429-daily", 429, "policyName", "DAILY"),
        ("401", 401, "category", "INVALID_AUTHENTICATION"),
        ("401-expired", 401, "category", "EXPIRED_AUTHENTICATION"),
        ("403", 403, "category", "MISSING_SCOPES"),
        ("423", 423, "status", "error"),
        ("477", 477, "status", "error"),
        ("500", 500, "status", "error"),
        ("503", 503, "status", "error"),
    ],
)
def test_faults_that_hubspot_words(
    emulator: EmulatorServer, api: httpx.Client, kind: str, status: int, key: str, value: str
) -> None:
    emulator.fault(kind)
    answer = api.post(CONTACTS, json=NEW)
    assert (answer.status_code, answer.json()[key]) == (status, value)
    assert emulator.records("contacts") == []
    assert api.post(CONTACTS, json=NEW).status_code == 201


@pytest.mark.parametrize("status", [502, 504, 521, 522, 523, 524])
def test_faults_of_the_network_in_front_are_html(emulator: EmulatorServer, api: httpx.Client, status: int) -> None:
    emulator.fault(str(status))
    answer = api.get(CONTACTS)
    assert answer.status_code == status
    assert answer.headers["content-type"].startswith("text/html")
    assert "<html>" in answer.text


def test_a_migration_says_when_to_come_back(emulator: EmulatorServer, api: httpx.Client) -> None:
    emulator.fault("477", retry_after_seconds=86_400)
    assert api.get(CONTACTS).headers["Retry-After"] == "86400"


@pytest.mark.parametrize("kind", ["500", "502", "503", "504", "cut", "truncated", "html", "empty"])
@pytest.mark.parametrize("applied", [False, True])
def test_a_fault_strikes_before_or_after_the_call_took_effect(
    emulator: EmulatorServer, api: httpx.Client, kind: str, applied: bool
) -> None:
    emulator.fault(kind, applied=applied)
    try:
        api.post(CONTACTS, json=NEW)
    except httpx.RemoteProtocolError:
        assert kind == "cut"
    spoils_only_the_answer = kind in ("truncated", "html", "empty")
    assert len(emulator.records("contacts")) == (1 if applied or spoils_only_the_answer else 0)


def test_after_in_the_name_means_applied(emulator: EmulatorServer, api: httpx.Client) -> None:
    emulator.fault("502-after")
    assert api.post(CONTACTS, json=NEW).status_code == 502
    assert len(emulator.records("contacts")) == 1


def test_a_cut_connection_has_no_answer(emulator: EmulatorServer, api: httpx.Client) -> None:
    emulator.fault("cut")
    with pytest.raises(httpx.RemoteProtocolError):
        api.get(CONTACTS)
    assert emulator.calls()[-1].status == 0
    assert api.get(CONTACTS).status_code == 200


def test_a_cut_connection_is_no_error_of_the_server(emulator: EmulatorServer, api: httpx.Client) -> None:
    said: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = said.append  # type: ignore[method-assign]
    logging.getLogger("uvicorn.error").addHandler(handler)
    try:
        for kind in ("cut", "cut-after"):
            emulator.fault(kind)
            with pytest.raises(httpx.RemoteProtocolError):
                api.post(CONTACTS, json=NEW)
        assert api.get(CONTACTS).status_code == 200
    finally:
        logging.getLogger("uvicorn.error").removeHandler(handler)
    assert said == []


def test_truncated_json_is_no_json(emulator: EmulatorServer, api: httpx.Client) -> None:
    emulator.fault("truncated")
    answer = api.post(CONTACTS, json=NEW)
    assert answer.status_code == 201
    with pytest.raises(ValueError, match=r"\w"):
        answer.json()


def test_an_html_page_and_an_empty_body_come_with_200(emulator: EmulatorServer, api: httpx.Client) -> None:
    emulator.fault("html")
    emulator.fault("empty", nth=2)
    page, empty = api.get(CONTACTS), api.get(CONTACTS)
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=UTF-8")
    assert (empty.status_code, empty.content) == (200, b"")


def test_a_slow_answer_is_the_true_one(emulator: EmulatorServer, api: httpx.Client) -> None:
    emulator.fault("slow", seconds=0.2)
    began = time.monotonic()
    assert api.post(CONTACTS, json=NEW).status_code == 201
    assert time.monotonic() - began >= 0.2


def test_a_slow_answer_holds_up_nobody_else(emulator: EmulatorServer, api: httpx.Client) -> None:
    emulator.fault("slow", seconds=30, path="*/deals")
    with (
        httpx.Client(base_url=emulator.url, headers=api.headers, timeout=0.2) as other,
        pytest.raises(httpx.ReadTimeout),
    ):
        other.get("/crm/v3/objects/deals")
    assert api.get(CONTACTS).status_code == 200


def test_a_fault_strikes_its_route_only(emulator: EmulatorServer, api: httpx.Client) -> None:
    emulator.fault("500", path="*/contacts/batch/*", method="post", times=0)
    assert api.get(CONTACTS).status_code == 200
    body = {"inputs": [{"id": "1"}]}
    assert [api.post(f"{CONTACTS}/batch/read", json=body).status_code for _ in range(3)] == [500] * 3
    assert api.post("/crm/v3/objects/deals/batch/read", json=body).status_code == 207


def test_a_fault_goes_by_the_name_of_a_route_under_any_path(emulator: EmulatorServer, api: httpx.Client) -> None:
    emulator.fault("500", route="objects.list", times=0)
    for path in (CONTACTS, "/crm/objects/2026-03/deals"):
        assert api.get(path).status_code == 500
    assert api.post(CONTACTS, json=NEW).status_code == 201


def test_a_call_that_a_fault_refused_counts_like_any_other(emulator: EmulatorServer, api: httpx.Client) -> None:
    emulator.fault("503")
    api.get(CONTACTS)
    api.get(CONTACTS)
    assert emulator.counts() == {"objects.list contacts": 2}


def test_a_fault_strikes_the_nth_call_and_as_often_as_asked(emulator: EmulatorServer, api: httpx.Client) -> None:
    emulator.fault("503", nth=2, times=2)
    assert [api.get(CONTACTS).status_code for _ in range(5)] == [200, 503, 503, 200, 200]


def test_a_fault_strikes_by_chance_and_the_same_way_each_time(emulator: EmulatorServer, api: httpx.Client) -> None:
    runs = []
    for _ in range(2):
        emulator.reset()
        emulator.fault("500", probability=0.5, times=0)
        runs.append([api.get(CONTACTS).status_code for _ in range(40)])
    assert runs[0] == runs[1]
    assert 5 < runs[0].count(500) < 35


def test_faults_are_laid_shown_and_cleared_over_http(api: httpx.Client) -> None:
    laid = api.post("/_emulator/faults", json={"kind": "502-after", "path": "*/merge", "nth": 3})
    assert (laid.status_code, laid.json()["applied"]) == (201, True)
    assert len(api.get("/_emulator/faults").json()["results"]) == 1
    assert api.delete("/_emulator/faults").status_code == 204
    assert api.get("/_emulator/faults").json()["results"] == []


@pytest.mark.parametrize("body", [{"kind": "418"}, {"kind": "500", "when": 1}, {}, {"kind": "500", "probability": 2}])
def test_a_fault_that_cannot_be_is_refused(api: httpx.Client, body: dict[str, object]) -> None:
    assert api.post("/_emulator/faults", json=body).status_code == 400


def test_a_fault_is_in_the_call_log(emulator: EmulatorServer, api: httpx.Client) -> None:
    emulator.fault("502-after")
    api.post(CONTACTS, json=NEW)
    assert emulator.calls()[-1].fault == "502-after"
