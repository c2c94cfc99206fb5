"""`crm-sync demo` from curtain to curtain, and again."""

from __future__ import annotations

import json
from pathlib import Path

from hubspot_emulator import EmulatorServer
from tests.cli.shell import Shell, failed

HEADER = "email,name,phone\n"


def test_the_demo_shows_the_whole_path_twice_and_leaves_a_database_to_look_at(shell: Shell, tmp_path: Path) -> None:
    rows = [f"person{n}@example.com,Ada Number{n},+44 20 7946 {1000 + n}" for n in range(1200)]
    rows += ["PERSON7@example.com ,Ada Again,", "nobody,No Address,", ",Somebody Else,"]
    (tmp_path / "people.csv").write_text(HEADER + "\n".join(rows) + "\n")
    shell.environment = {
        "DATA_DIR": str(tmp_path / "data"),
        "DATABASE_URL": "postgresql://127.0.0.1:1/the_user_s_own",
        "HUBSPOT_API_KEY_CONTACTS": "pat-the-user-s-own",
        "HUBSPOT_SYNC_SCHEDULER_ENABLED": "false",
    }
    for _ in range(2):
        done = shell.run("demo", "--file", "people.csv")
        assert done.returncode == 0, done.stdout + done.stderr
        table = {cells[0]: cells[1] for line in done.stdout.splitlines() if len(cells := _cells(line)) == 3}
        assert (table["completed"], table["failed"]) == ("1,201", "2")
        assert float(table["seconds"]) < 60
        assert int(table["retried"]) >= 90  # one batch, less what no repeat would help
        assert int(table["HubSpot calls"]) <= 20
        assert "SET hubspot_sync_status = 'Queued', hubspot_processing_status = 'Queued'" in done.stdout
        assert "The contact has no e-mail address" in done.stdout
        assert "free tier: at most 100 calls in 10 seconds" in done.stdout
        assert done.stderr.count("\n") <= 1  # where the database is, when it cannot be in DATA_DIR

    del shell.environment["DATABASE_URL"]
    left = shell.run("queue", "errors", "--json", DATA_DIR=str(tmp_path / "data" / "demo"))
    assert [group["rows"] for group in json.loads(left.stdout)["errors"]] == [1, 1]


def test_the_commands_to_try_next_work_as_they_are_printed(
    shell: Shell, tmp_path: Path, hubspot: EmulatorServer
) -> None:
    (tmp_path / "people.csv").write_text(HEADER + "one@example.com,One,\n")
    shell.environment = {"DATA_DIR": str(tmp_path / "data")}
    printed = shell.run("demo", "--file", "people.csv", "--no-faults").stdout
    assert ".venv/bin/crm-sync emulator --seed 7 " in printed
    hubspot.seed(7, deals=4)  # in place of that emulator, whose port may be taken here
    lines = [line.replace("http://127.0.0.1:8025", hubspot.url).split() for line in printed.splitlines()]
    tried = [words for words in lines if words and words[0].startswith(("HUBSPOT", "DATA_DIR"))]
    for words in tried:
        at = words.index(".venv/bin/crm-sync")
        done = shell.run(*words[at + 1 :], **dict(word.split("=", 1) for word in words[:at]))
        assert done.returncode == 0, done.stderr
    assert [words[-2:] for words in tried[:3]] == [["queue", "status"], ["queue", "errors"], ["pull", "deals"]]
    assert "deals" in done.stdout  # of `crm-sync runs`


def test_a_file_that_is_not_there_is_a_sentence(shell: Shell) -> None:
    assert "There is no file nowhere.csv" in failed(shell.run("demo", "--file", "nowhere.csv"), 1)


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("│").split("│")] if line.startswith("│") else []
