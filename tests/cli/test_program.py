"""The command as a whole: help is quick, wrong input is one sentence and an exit code."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from crm_sync.cli.program import program
from crm_sync.cli.pull_group import STREAMS
from crm_sync.pull import streams
from tests.cli.shell import Shell, failed

COMMANDS = [
    ["serve"],
    ["demo"],
    ["emulator"],
    ["runs"],
    ["pull"],
    ["pull", "contacts"],
    ["pull", "all"],
    ["pull", "associations"],
    ["pull", "cursors"],
    ["pull", "reset"],
    ["pull", "issues"],
    ["push", "contact"],
    ["push", "setup"],
    ["contacts", "import"],
    ["queue", "status"],
    ["queue", "errors"],
    ["queue", "retry"],
    ["queue", "requeue"],
    ["db", "upgrade"],
    ["db", "current"],
    ["db", "check"],
]
HEAVY = (
    "sqlalchemy",
    "alembic",
    "asyncpg",
    "httpx",
    "fastapi",
    "uvicorn",
    "pydantic_settings",
    "structlog",
    "hubspot_emulator",
)


@pytest.mark.parametrize("arguments", [[], *COMMANDS], ids=" ".join)
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom crm_sync.cli import main\n"
        f"sys.argv = ['crm-sync', *{arguments!r}, '--help']\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        f"print('HEAVY', [name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert "Usage" in done.stdout
    assert done.stdout.splitlines()[-1] == "HEAVY []"


def test_the_version_is_told(shell: Shell) -> None:
    assert shell.run("--version").stdout.startswith("jobloop ")


def test_an_unknown_command_is_a_usage_error(shell: Shell) -> None:
    assert "No such command 'psuh'" in failed(shell.run("psuh"), 2)


def test_the_words_that_no_stream_may_have_are_the_commands_of_the_pull() -> None:
    pull: Any = typer.main.get_command(program()).commands["pull"]  # type: ignore[attr-defined]
    assert set(pull.commands) == {STREAMS, "all", *streams.COMMANDS}


def test_a_wrong_setting_is_a_sentence_with_its_name_and_what_it_may_be(shell: Shell) -> None:
    shell.environment = {"HUBSPOT_SYNC_SCHEDULER_BATCH_SIZE": "many"}
    words = failed(shell.run("queue", "status"), 2)
    assert words == "HUBSPOT_SYNC_SCHEDULER_BATCH_SIZE is 'many'; it must be a whole number from 1 to 100."


@pytest.mark.parametrize("command", [["serve"], ["queue", "status"], ["db", "upgrade"], ["db", "check"]], ids=" ".join)
def test_an_unreachable_database_is_a_sentence_without_the_password(shell: Shell, command: list[str]) -> None:
    shell.environment = {"DATABASE_URL": "postgresql://somebody:hidden-word@127.0.0.1:1/nowhere", "WEB_PORT": "0"}
    words = failed(shell.run(*command), 3)
    assert "Cannot use the database at 127.0.0.1:1/nowhere as user somebody: nothing listens there." in words
    assert "hidden-word" not in words


def test_a_database_that_was_never_migrated_names_the_command_that_helps(shell: Shell, database_url: str) -> None:
    shell.environment = {"DATABASE_URL": database_url, "WEB_PORT": "0"}
    for command in (["serve"], ["queue", "status"]):
        assert "run `crm-sync db upgrade`" in failed(shell.run(*command), 3)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (
            "HUBSPOT_API_BASE_URL=http://[::1",
            "HUBSPOT_API_BASE_URL is 'http://[::1'; it must be an address like https:",
        ),
        ("HUBSPOT_API_BASE_URL=http://host:abc", "HUBSPOT_API_BASE_URL is 'http://host:abc'; it must be an address"),
        (
            "DATABASE_URL=postgresql://a:hidden-word@h:99999/x",
            "DATABASE_URL is not an address of a database; it should",
        ),
        ("HUBSPOT_API_KEY pat-na1-hidden-word", ".env, line 2: cannot be read; a setting is NAME=value."),
        ("HUBSPOT_API_KEY='pat hidden-word'", "HUBSPOT_API_KEY must be one word of letters, digits and hyphens"),
    ],
    ids=["brackets", "port", "high port", "no =", "two words"],
)
def test_a_wrong_line_in_the_file_is_a_sentence_and_no_secret(
    shell: Shell, tmp_path: Path, line: str, words: str
) -> None:
    (tmp_path / ".env").write_text(f"WEB_PORT=1234\n{line}\n")
    said = failed(shell.run("queue", "status"), 2)
    assert said.startswith(words)
    assert "hidden-word" not in said


def test_with_debug_there_is_a_traceback_before_the_same_end_wherever_the_option_stands(shell: Shell) -> None:
    shell.environment = {"DATABASE_URL": "postgresql://somebody:hidden-word@127.0.0.1:1/nowhere"}
    plain = shell.run("queue", "status")
    for arguments in (["--debug", "queue", "status"], ["queue", "status", "--debug"]):
        done = shell.run(*arguments)
        assert done.returncode == plain.returncode == 3
        assert "Traceback" in done.stderr
        assert "DatabaseUnavailableError" in done.stderr
        assert done.stderr.endswith(plain.stderr)
        assert "hidden-word" not in done.stderr


def test_an_sql_client_is_told_the_embedded_server_s_address(shell: Shell, tmp_path: Path) -> None:
    shell.environment = {"DATABASE_URL": "", "DATA_DIR": str(tmp_path / "data")}
    said = shell.run("db", "current").stdout
    assert 'psql "postgresql://postgres@/crm_sync?host=' in said


def test_the_database_s_schema_is_upgraded_told_and_checked(shell: Shell, database_url: str) -> None:
    shell.environment = {"DATABASE_URL": database_url}
    assert "(none)" in shell.run("db", "current").stdout
    assert shell.run("db", "current").returncode == 1
    assert "is at revision" in shell.run("db", "upgrade").stdout
    assert shell.run("db", "current").returncode == 0
    assert "are the same" in shell.run("db", "check").stdout


def test_without_a_database_url_the_embedded_server_is_made_migrated_and_kept(shell: Shell, tmp_path: Path) -> None:
    shell.environment = {"DATA_DIR": str(tmp_path / "data")}
    (tmp_path / "one.csv").write_text("email,name\none@example.com,One\n")
    assert shell.run("contacts", "import", "one.csv", "--queue").returncode == 0
    done = shell.run("queue", "status", "--json")
    assert '"due": 1' in done.stdout, done.stderr
