"""Three real processes with one token: together they keep its limits, and HubSpot never has to refuse a call.

What is promised holds for calls that come to HubSpot soon after their grant. On a machine with other things to do some
are late, and such a one may crowd the window; a refusal that none of them explains is a fault.
"""

from __future__ import annotations

import asyncio
import json
import sys
from bisect import bisect_left
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from hubspot_emulator import EmulatorServer, quota

ROOT = Path(__file__).parents[2]
CALLS, WINDOW_SECONDS, WINDOWS = 20, 2.0, 3  # so few that a busy machine comes to the limit, too
PROCESSES = 3


async def caller(hubspot: EmulatorServer, database_url: str) -> dict[str, Any]:
    options = {
        "hubspot": hubspot.url,
        "database": database_url,
        "token": hubspot.token,
        "calls": CALLS,
        "window-seconds": WINDOW_SECONDS,
        "seconds": WINDOWS * WINDOW_SECONDS,
        "concurrency": 5,
        "searches": 4,
    }
    arguments = [text for name, value in options.items() for text in (f"--{name}", str(value))]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.faults.hubspot_caller", *arguments, cwd=ROOT, stdout=-1, stderr=-1
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    assert b"by this process alone" not in err
    said: dict[str, Any] = json.loads(out)
    return said


async def test_three_processes_with_one_token_are_refused_no_call(
    migrated_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quota, "BURST_WINDOW_MS", int(WINDOW_SECONDS * 1000))  # three windows in six seconds
    with EmulatorServer() as hubspot:
        hubspot.account.quota.set_limits(quota.Tier(burst=CALLS, daily=10**6, associations=CALLS))
        said = await asyncio.gather(*(caller(hubspot, migrated_url) for _ in range(PROCESSES)))
        calls = hubspot.calls()
    by_status = [Counter(each["by_status"]) for each in said]
    assert sum(by_status, Counter()) == Counter(str(call.status) for call in calls)
    times = [datetime.fromisoformat(call.at).timestamp() for call in calls]
    late = [(asked, answered) for each in said for asked, answered in each["late"]]
    not_good = [(call.status, at) for call, at in zip(calls, times, strict=True) if call.status != 200]
    unexplained = [
        (status, at)
        for status, at in not_good
        if status != 429 or not any(asked < at and answered > at - WINDOW_SECONDS for asked, answered in late)
    ]
    assert unexplained == []
    assert min(own["200"] for own in by_status) > len(calls) / 10, "none of them is left out"
    busiest = max(bisect_left(times, at + WINDOW_SECONDS) - i for i, at in enumerate(times))
    assert busiest > 0.8 * CALLS, "they came to the limit"
