"""What the log says, and above all what it does not."""

import io
import json
import logging
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from crm_sync.logs import REDACTED, configure_logging, redact, secrets_of
from crm_sync.settings import Settings

TOKEN = "a-token-without-a-shape"
PASSWORD = 'p/w"ö?'
URL = "postgresql://bob:p%2Fw%22%C3%B6%3F@db.example.com/crm"


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def log_to(log_format: str, **values: Any) -> io.StringIO:
    stream = io.StringIO()
    secrets = {"HUBSPOT_API_KEY": SecretStr(TOKEN), "DATABASE_URL": SecretStr(URL)}
    settings = Settings.model_construct(**{"LOG_FORMAT": log_format, "LOG_LEVEL": "INFO", **secrets, **values})
    configure_logging(settings, stream=stream)
    return stream


def test_json_is_one_object_a_line() -> None:
    stream = log_to("json")
    structlog.get_logger("crm_sync.push").info("contacts pushed", count=3, name="Zoë")
    logging.getLogger("some.library").warning("careful: %s", "hot", extra={"degrees": 90})
    ours, theirs = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert list(ours)[:4] == ["timestamp", "level", "logger", "event"]
    assert (ours["event"], ours["count"], ours["name"], ours["level"]) == ("contacts pushed", 3, "Zoë", "info")
    assert (theirs["event"], theirs["degrees"], theirs["logger"]) == ("careful: hot", 90, "some.library")


def test_console_is_for_people() -> None:
    stream = log_to("console")
    structlog.get_logger("crm_sync.push").info("contacts pushed", count=3)
    assert "contacts pushed" in stream.getvalue()
    assert "count=3" in stream.getvalue()
    assert "\x1b" not in stream.getvalue()  # no colours in a file


def test_the_level_counts() -> None:
    stream = log_to("console", LOG_LEVEL="WARNING")
    structlog.get_logger("a").info("not this")
    logging.getLogger("b").info("nor this")
    structlog.get_logger("a").warning("but this")
    assert [line for line in stream.getvalue().splitlines() if "this" in line] == [stream.getvalue().rstrip("\n")]
    assert "but this" in stream.getvalue()


def test_a_second_configuration_replaces_the_first() -> None:
    first, second = log_to("console"), log_to("console")
    logging.getLogger("x").warning("once")
    assert first.getvalue() == ""
    assert second.getvalue().count("once") == 1


@pytest.mark.parametrize("log_format", ["json", "console"])
@pytest.mark.parametrize("secret", [TOKEN, PASSWORD, URL], ids=["token", "password", "address"])
def test_no_secret_reaches_the_log(log_format: str, secret: str) -> None:
    stream = log_to(log_format)
    ours, theirs = structlog.get_logger("a"), logging.getLogger("b")
    ours.info(f"in the event {secret}", field=secret, nested={"list": [secret]})
    theirs.warning("in an argument: %s", secret)
    try:
        raise RuntimeError(f"in an exception: {secret}")
    except RuntimeError:
        ours.exception("failed")
        theirs.exception("failed")
    text = stream.getvalue()
    assert REDACTED in text
    assert "in an exception" in text
    for spelling in (secret, json.dumps(secret)[1:-1], repr(secret)[1:-1]):
        assert spelling not in text


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("token pat-na1-01234567-89ab-cdef", f"token {REDACTED}"),
        ("Authorization: Bearer abc.def", f"Authorization: Bearer {REDACTED}"),
        ("postgresql://bob:secret@db.example.com/x", f"postgresql://bob:{REDACTED}@db.example.com/x"),
        ("https://example.com/a:b@c is no password", "https://example.com/a:b@c is no password"),
        ("a path-na1-like word, pat-a-cake", "a path-na1-like word, pat-a-cake"),
    ],
)
def test_what_looks_secret_is_removed(text: str, clean: str) -> None:
    assert redact(text) == clean


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_characters="*"), min_size=4), st.text(), st.text())
def test_a_known_secret_never_survives(secret: str, before: str, after: str) -> None:
    assert secret not in redact(before + secret + after, [secret])


def test_a_password_that_is_the_user_s_name_does_not_blank_the_log() -> None:
    settings = Settings.model_construct(DATABASE_URL=SecretStr("postgresql://postgres:postgres@localhost/crm"))
    assert "postgres" not in secrets_of(settings)


def test_a_broken_log_record_loses_no_other() -> None:
    stream = log_to("json")
    with suppress(Exception):
        structlog.get_logger("a").info("odd", value=object())
    structlog.get_logger("a").info("next")
    assert json.loads(stream.getvalue().splitlines()[-1])["event"] == "next"
