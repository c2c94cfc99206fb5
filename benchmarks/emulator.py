"""Is the emulator ever the bottleneck? Rates, memory and start of the server on its own.

    make bench ONLY=benchmarks/emulator.py ARGS="--records 1000000 --seconds 3"

The server runs in a process of its own, pinned to one core where the system allows it; the load comes from this
process, over one kept-alive connection, so a rate is what one client sees, client time included. `server` is the
share of one core that the server process used: rate / share is what one core could do.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import platform
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results" / "emulator.json"
TOKEN = "pat-emulator-all-scopes"
ROOT = "/crm/v3/objects/contacts"
SERVER = """
import os, sys
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
from hubspot_emulator.server import serve
serve(0, tier="unlimited", on_ready=lambda url: print(url, flush=True))
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement. `wanted` is the number this project holds itself to, in the unit of `value`."""

    name: str
    value: float
    unit: str
    wanted: float
    server_core_share: float | None = None

    @property
    def met(self) -> bool:
        return self.value >= self.wanted if self.unit.endswith("/s") else self.value <= self.wanted


class Server:
    """The emulator in a process of its own."""

    def __init__(self) -> None:
        began = time.perf_counter()
        self._process = subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True)
        self._guard = threading.Timer(900, self._process.kill)
        self._guard.start()
        assert self._process.stdout is not None
        self.address = self._process.stdout.readline().strip().removeprefix("http://")
        self.start_seconds = time.perf_counter() - began

    def cpu_seconds(self) -> float | None:
        try:
            with open(f"/proc/{self._process.pid}/stat") as stat:
                fields = stat.read().rsplit(")", 1)[1].split()
        except OSError:
            return None
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident_mb(self) -> float | None:
        try:
            with open(f"/proc/{self._process.pid}/status") as status:
                return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmRSS"))
        except OSError:
            return None

    def stop(self) -> None:
        self._process.kill()
        self._process.wait(10)
        self._guard.cancel()


class Client:
    """As little of a client as there can be, so that the server is what is measured."""

    def __init__(self, address: str) -> None:
        host, port = address.split(":")
        self._connection = http.client.HTTPConnection(host, int(port), timeout=300)
        self._headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}

    def send(self, method: str, path: str, body: bytes | None = None) -> bytes:
        self._connection.request(method, path, body, self._headers)
        answer = self._connection.getresponse()
        content = answer.read()
        if answer.status >= 300:
            raise SystemExit(f"{method} {path}: {answer.status} {content[:300]!r}")
        return content


def rate(server: Server, seconds: float, call: Callable[[int], object]) -> tuple[float, float | None]:
    """(calls a second, share of a core that the server used) over about `seconds`."""
    cpu_before, began, number = server.cpu_seconds(), time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        call(number)
        number += 1
    passed = time.perf_counter() - began
    cpu_after = server.cpu_seconds()
    share = None if cpu_before is None or cpu_after is None else (cpu_after - cpu_before) / passed
    return number / passed, share


def upsert_body(batch: int, size: int = 100) -> bytes:
    inputs = [
        {
            "id": f"load{batch}.{number}@example.com",
            "idProperty": "email",
            "objectWriteTraceId": str(number),
            "properties": {
                "firstname": "Load",
                "lastname": f"Number {number}",
                "phone": f"+1 555 {number:04d}",
                "city": "Exampleton",
                "lifecyclestage": "lead",
            },
        }
        for number in range(size)
    ]
    return json.dumps({"inputs": inputs}).encode()


def measure(records: int, seconds: float) -> list[Row]:
    server = Server()
    try:
        client = Client(server.address)
        rows = [Row("start to first answer", round(server.start_seconds, 2), "s", 1.0)]
        client.send("POST", f"{ROOT}/batch/upsert", upsert_body(0))

        value, share = rate(server, seconds, lambda number: client.send("GET", f"{ROOT}/{951 + number % 100}"))
        rows.append(Row("single reads", round(value), "requests/s", 300, share))

        value, share = rate(
            server, seconds, lambda number: client.send("POST", f"{ROOT}/batch/upsert", upsert_body(1 + number))
        )
        rows.append(Row("upserts of 100 new contacts", round(value), "batches/s", 100, share))

        known = upsert_body(0)
        value, share = rate(server, seconds, lambda _: client.send("POST", f"{ROOT}/batch/upsert", known))
        rows.append(Row("upserts of 100 known contacts", round(value), "batches/s", 100, share))

        rows += _large(client, server, records, seconds)
        return rows
    finally:
        server.stop()


def _large(client: Client, server: Server, records: int, seconds: float) -> list[Row]:
    """What a large portal weighs, and what reads from it cost."""
    client.send("POST", "/_emulator/reset")
    sizes = {"contacts": records, "same_timestamp": records // 2}
    sizes |= {"seed": 1, "companies": 0, "deals": 0, "merged": 0, "archived": 0}
    client.send("POST", "/_emulator/seed", json.dumps(sizes).encode())
    rows = []
    resident_mb = server.resident_mb()
    if resident_mb is not None:
        allowed_mb = 2_048 * records / 1_000_000 + 100
        rows.append(Row(f"memory with {records:,} contacts", round(resident_mb), "MB", round(allowed_mb)))
    value, share = rate(
        server, seconds, lambda number: client.send("GET", f"{ROOT}/{1_000 + number * 7_919 % (records - 100)}")
    )
    rows.append(Row("single reads among them", round(value), "requests/s", 300, share))
    last = ["0"]

    def keyset(_: int) -> None:
        filters = [
            {"propertyName": "lastmodifieddate", "operator": "GTE", "value": "1000"},
            {"propertyName": "hs_object_id", "operator": "GT", "value": last[0]},
        ]
        body: dict[str, Any] = {"filterGroups": [{"filters": filters}], "sorts": ["hs_object_id"], "limit": 200}
        results = json.loads(client.send("POST", f"{ROOT}/search", json.dumps(body).encode()))["results"]
        last[0] = results[-1]["id"] if results else "0"

    began = time.perf_counter()
    keyset(0)
    rows.append(Row("first search page among them", round(time.perf_counter() - began, 2), "s", 10))
    value, share = rate(server, seconds, keyset)
    rows.append(Row("following search pages of 200", round(value), "pages/s", 20, share))
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=1_000_000, help="size of the large portal")
    parser.add_argument("--seconds", type=float, default=3.0, help="length of each measurement")
    options = parser.parse_args()
    rows = measure(max(options.records, 1_000), min(options.seconds, 60))
    RESULTS.parent.mkdir(exist_ok=True)
    machine = {"python": platform.python_version(), "cores": os.cpu_count(), "load_average": os.getloadavg()[0]}
    measured = {"machine": machine, "rows": [{**asdict(row), "met": row.met} for row in rows]}
    RESULTS.write_text(json.dumps(measured, indent=2) + "\n")
    print(f"{'emulator':34} {'measured':>10} {'unit':12} {'wanted':>8} {'server':>7}")
    for row in rows:
        share = "" if row.server_core_share is None else f"{row.server_core_share:.0%}"
        mark = "" if row.met else "  missed"
        print(f"{row.name:34} {row.value:>10,} {row.unit:12} {row.wanted:>8,} {share:>7}{mark}")
    print(f"on a machine of {machine['cores']} cores with a load average of {machine['load_average']:.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
