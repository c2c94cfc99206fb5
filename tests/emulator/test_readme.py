"""The README's promises: every behaviour has a test, every switch is named, every fault and route is listed."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import httpx

import hubspot_emulator
from hubspot_emulator import Behaviour
from hubspot_emulator.faults import KINDS
from hubspot_emulator.quota import TIERS
from hubspot_emulator.router import DATED
from hubspot_emulator.routes import api_routes, control_routes

README = (Path(hubspot_emulator.__file__).parent / "README.md").read_text("utf-8")
TESTS = Path(__file__).parent
ROWS = re.findall(r"^\| .* \| ((?:[DOCI], )*[DOCI]) \| `(test_\w+\.py)::(test_\w+)` \|$", README, re.MULTILINE)


def test_every_behaviour_names_a_test_that_is_there() -> None:
    assert len(ROWS) > 60
    assert len(ROWS) == sum(".py::test_" in line for line in README.splitlines() if line.startswith("|"))
    for _, file, name in ROWS:
        assert re.search(rf"^(async )?def {name}\(", (TESTS / file).read_text("utf-8"), re.MULTILINE), (file, name)


def test_every_switch_is_named() -> None:
    behaviours = README.split("## Behaviour")[1].split("## How")[0]
    missing = [field.name for field in dataclasses.fields(Behaviour) if f"`{field.name}" not in behaviours]
    assert missing == []


def test_every_switch_says_where_it_is_known_from() -> None:
    source = (Path(hubspot_emulator.__file__).parent / "behaviour.py").read_text("utf-8")
    for field in dataclasses.fields(Behaviour):
        text = source.split(f"    {field.name}:")[1].split('"""')[1]
        assert re.match(r"\[[DOCI]\]", text), field.name


def test_what_is_inferred_is_a_switch_with_a_test_of_both_readings() -> None:
    rows = [line for line in README.splitlines() if re.search(r"\| I \|", line)]
    assert len(rows) > 8
    switches = {field.name for field in dataclasses.fields(Behaviour)}
    assert [row for row in rows if not switches & set(re.findall(r"`(\w+)`", row))] == []


def test_every_fault_tier_and_control_route_is_listed() -> None:
    listed = README.replace("`521`–`524`", "`521` `522` `523` `524`")
    assert [kind for kind in KINDS if f"`{kind}`" not in listed] == []
    assert [tier for tier in TIERS if f"`{tier}`" not in README] == []
    for route in control_routes():
        last = route.paths[0].removeprefix("/_emulator").removeprefix("/")
        assert last in README, route.paths[0]


def test_the_first_thing_it_says_is_what_it_does_not_attempt() -> None:
    assert README.index("## What it does not attempt") < README.index("## Use")
    assert "never compared with the live API by this project" in README


def test_the_example_runs() -> None:
    code = README.split("```python\n")[1].split("```")[0]

    def synchronise(url: str, token: str) -> None:
        one = {"id": "Ada@Example.com", "idProperty": "email", "properties": {"firstname": "Ada"}}
        for _ in range(3):
            answer = httpx.post(
                f"{url}/crm/objects/2026-03/contacts/batch/upsert",
                headers={"Authorization": f"Bearer {token}"},
                json={"inputs": [one]},
            )
            if answer.status_code < 500:
                return

    exec(code, {"synchronise": synchronise})


def test_every_route_but_the_oldest_has_a_dated_path() -> None:
    undated = {route.name for route in api_routes() if not any(DATED in path for path in route.paths)}
    v3 = {route.name for route in api_routes() if route.name.startswith("associations.v3_")}
    assert undated == v3 | {"forms.submissions", "email_events.list"}
