"""Settings are read once, validated, and wrong ones explained without giving a secret away."""

import os
from pathlib import Path

import pytest
from dotenv import dotenv_values
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from crm_sync.errors import SettingsError
from crm_sync.settings import Settings, load_settings

EXAMPLE = Path(__file__).parents[2] / ".env.example"
SECRET = "pat-na1-0123-very-secret"


@pytest.fixture(autouse=True)
def no_settings_around(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name, raising=False)


def test_the_example_lists_exactly_the_settings() -> None:
    assert list(dotenv_values(EXAMPLE)) == list(Settings.model_fields)


def test_the_example_as_it_stands_means_the_defaults() -> None:
    assert load_settings(EXAMPLE) == load_settings(None)


def test_each_value_in_the_example_is_the_code_s_default(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in dotenv_values(EXAMPLE).items():
        default = Settings.model_fields[name].default
        if default is None:
            assert value == "", name
        else:
            monkeypatch.setenv(name, str(value))
            assert getattr(load_settings(None), name) == default, name


def test_every_setting_in_the_example_can_be_set_there(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("DATABASE_POOL_SIZE=3\nHUBSPOT_API_KEY=pat-file\n")
    settings = load_settings(file)
    assert settings.DATABASE_POOL_SIZE == 3
    assert settings.api_key("contacts") is not None


def test_the_environment_wins_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / ".env"
    file.write_text("WEB_PORT=1111\n")
    monkeypatch.setenv("WEB_PORT", "2222")
    assert load_settings(file).WEB_PORT == 2222


def test_a_missing_file_is_no_error(tmp_path: Path) -> None:
    assert load_settings(tmp_path / "none") == load_settings(None)


@pytest.mark.parametrize("blank", ["", "  ", "\t"])
def test_a_blank_value_is_unset(blank: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUBSPOT_API_KEY", blank)
    monkeypatch.setenv("WEB_PORT", blank)
    monkeypatch.setenv("DATABASE_URL", blank)
    settings = load_settings(None)
    assert (settings.HUBSPOT_API_KEY, settings.WEB_PORT, settings.DATABASE_URL) == (None, 8000, None)


def test_an_object_type_without_its_own_token_uses_the_general_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUBSPOT_API_KEY", "general")
    monkeypatch.setenv("HUBSPOT_API_KEY_ORDERS", "orders-own")
    settings = load_settings(None)
    tokens = {name: settings.api_key(name) for name in ("contacts", "orders", "deals")}
    assert {name: token.get_secret_value() for name, token in tokens.items() if token} == {
        "contacts": "general",
        "orders": "orders-own",
        "deals": "general",
    }


def test_without_any_token_there_is_none() -> None:
    assert load_settings(None).api_key("contacts") is None


def test_settings_cannot_be_changed() -> None:
    settings = load_settings(None)
    with pytest.raises(ValidationError):
        settings.WEB_PORT = 1


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("HUBSPOT_SYNC_SCHEDULER_BATCH_SIZE", "500", "a whole number from 1 to 100"),
        ("HUBSPOT_SYNC_SCHEDULER_BATCH_SIZE", "ten", "a whole number from 1 to 100"),
        ("HUBSPOT_SYNC_RETRY_DELAY_MINUTES", "0", "a number above 0 and up to 1440"),
        ("HUBSPOT_SYNC_RETRY_DELAY_MINUTES", "nan", "a number above 0 and up to 1440"),
        ("DATABASE_POOLER", "maybe", "true or false"),
        ("LOG_LEVEL", "LOUD", "one of DEBUG, INFO, WARNING, ERROR"),
        ("HUBSPOT_API_VERSION", "v9", "one of v3, 2026-03"),
        ("HUBSPOT_PORTAL_ID", "my portal", "a number"),
        ("HUBSPOT_CUSTOM_PROPERTY_PAGE_ID", "Page Id", "a HubSpot property's name"),
        ("HUBSPOT_API_BASE_URL", "api.hubapi.com", "an address like https://api.hubapi.com"),
        ("HUBSPOT_PULL_STREAMS", "contacts deals", "names of streams with commas between them"),
        ("HUBSPOT_PULL_INTERVAL_MINUTES", "0", "a number above 0 and up to 10080"),
        ("HUBSPOT_PULL_CONCURRENCY", "0", "a whole number from 1 to 20"),
        ("HUBSPOT_PULL_LAG_SECONDS", "-1", "a number from 0 to 3600"),
        ("HUBSPOT_CUSTOM_OBJECTS", "Pets!", "names of custom objects with commas between them"),
        ("HUBSPOT_CUSTOM_OBJECTS", "pets=2-1,pets=2-2", "names of custom objects with commas between them"),
        ("HUBSPOT_PULL_PROPERTIES", "email", "a JSON object of lists of property names"),
        ("HUBSPOT_PULL_PROPERTIES", "[1]", "a JSON object of lists of property names"),
        ("HUBSPOT_PULL_PROPERTIES", '{"contacts": "email"}', "a JSON object of lists of property names"),
    ],
)
def test_a_wrong_value_is_one_sentence(name: str, value: str, allowed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        load_settings(None)
    message = str(caught.value)
    assert message.startswith(f"{name} is '{value}'; it must be {allowed}")
    assert "\n" not in message


def test_every_wrong_value_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEB_PORT", "x")
    monkeypatch.setenv("LOG_FORMAT", "y")
    with pytest.raises(SettingsError) as caught:
        load_settings(None)
    assert [line.split()[0] for line in str(caught.value).splitlines()] == ["WEB_PORT", "LOG_FORMAT"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HUBSPOT_API_KEY", f"{SECRET} {SECRET}"),
        ("HUBSPOT_API_KEY_EVENTS", f"{SECRET}\u00e9"),
        ("DATABASE_URL", f"mysql://user:{SECRET}@db.example.com/x"),
        ("HUBSPOT_API_BASE_URL", f"https://user:{SECRET}@api.example.com"),
    ],
)
def test_a_wrong_secret_is_never_repeated(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=name) as caught:
        load_settings(None)
    assert SECRET not in str(caught.value)
    assert SECRET not in str(caught.value.__cause__)


def test_a_secret_is_not_in_the_settings_repr(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUBSPOT_API_KEY", SECRET)
    monkeypatch.setenv("DATABASE_URL", f"postgresql://user:{SECRET}@db.example.com/x")
    assert SECRET not in repr(load_settings(None))


def test_a_file_that_is_not_text_is_one_sentence(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_bytes(b"HUBSPOT_API_KEY=\xff\xfe")
    with pytest.raises(SettingsError, match="cannot be read as UTF-8"):
        load_settings(file)


@given(st.integers(), st.sampled_from(["DATABASE_POOL_SIZE", "HUBSPOT_SYNC_SCHEDULER_BATCH_SIZE", "WEB_PORT"]))
def test_a_number_is_taken_as_it_is_or_refused(number: int, name: str) -> None:
    os.environ[name] = str(number)
    try:
        assert getattr(load_settings(None), name) == number
    except SettingsError as refused:
        assert name in str(refused)  # noqa: PT017
    finally:
        del os.environ[name]


def test_only_the_settings_look_at_the_environment() -> None:
    package = EXAMPLE.parent / "src"
    readers = [
        str(file.relative_to(package))
        for file in package.rglob("*.py")
        if any(word in file.read_text() for word in ("os.environ", "os.getenv", "load_dotenv"))
    ]
    assert readers == []


def test_lists_are_read_as_people_write_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUBSPOT_PULL_STREAMS", " contacts, deals,,contacts ")
    monkeypatch.setenv("HUBSPOT_CUSTOM_OBJECTS", "memberships, pets = 2-1234567,cars=p123_cars")
    monkeypatch.setenv("HUBSPOT_PULL_PROPERTIES", '{"contacts": ["email", "phone"]}')
    settings = load_settings(None)
    assert settings.HUBSPOT_PULL_STREAMS == ("contacts", "deals")
    assert settings.HUBSPOT_CUSTOM_OBJECTS == {"memberships": "memberships", "pets": "2-1234567", "cars": "p123_cars"}
    assert settings.HUBSPOT_PULL_PROPERTIES == {"contacts": ("email", "phone")}
    monkeypatch.setenv("HUBSPOT_CUSTOM_OBJECTS", "none")
    assert load_settings(None).HUBSPOT_CUSTOM_OBJECTS == {}


def test_one_token_for_one_object_type_is_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not load_settings(None).has_token
    monkeypatch.setenv("HUBSPOT_API_KEY_ORDERS", "orders-own")
    assert load_settings(None).has_token
