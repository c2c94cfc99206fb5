"""What HubSpot's texts become, and which are refused, and why."""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_sync.pull.mirror.values import Unfit, checkboxes, day, instant, integer, number, option, storable, truth, utc


def at(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type, misc]


def reason(convert: Any, text: str) -> str:
    with pytest.raises(Unfit) as caught:
        convert(text)
    return str(caught.value)


@pytest.mark.parametrize(
    ("convert", "text", "value"),
    [
        (number, "12.50", Decimal("12.50")),
        (number, "-1.2E10", Decimal("-1.2E10")),
        (number, " 7 ", Decimal(7)),
        (number, "١٢", Decimal(12)),
        (number, "1e131071", Decimal("1e131071")),
        (number, "1e-16000", Decimal("1e-16000")),
        (number, "9" * 131_072, Decimal("9" * 131_072)),
        (number, "0." + "3" * 16_300, Decimal("0." + "3" * 16_300)),
        (integer, "12", 12),
        (integer, "-12.0", -12),
        (integer, "1.2e3", 1200),
        (integer, "9223372036854775807", 2**63 - 1),
        (integer, "-9223372036854775808", -(2**63)),
        (day, "2025-01-31", date(2025, 1, 31)),
        (day, "1738281600000", date(2025, 1, 31)),
        (day, "2025-01-31T00:00:00.000Z", date(2025, 1, 31)),
        (day, "-86400000", date(1969, 12, 31)),
        (instant, "2025-01-31T10:00:00.123Z", at(2025, 1, 31, 10, 0, 0, 123_000)),
        (instant, "2025-01-31T10:00:00+05:30", at(2025, 1, 31, 4, 30)),
        (instant, "2025-01-31T10:00:00", at(2025, 1, 31, 10)),
        (instant, "2025-01-31", at(2025, 1, 31)),
        (instant, "1738317600123", at(2025, 1, 31, 10, 0, 0, 123_000)),
        (instant, "-1", at(1969, 12, 31, 23, 59, 59, 999_000)),
        (truth, "true", True),
        (truth, "False", False),
        (truth, "TRUE", True),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)[:30]),
)
def test_a_text_that_fits_becomes_its_value(convert: Any, text: str, value: Any) -> None:
    assert convert(text) == value


@pytest.mark.parametrize(
    ("convert", "text", "words"),
    [
        (number, "a lot", "not a number"),
        (number, "1_000", "not a number"),
        (number, "1,000.00", "not a number"),
        (number, " ", "not a number"),
        (number, "NaN", "not a finite number"),
        (number, "sNaN", "not a finite number"),
        (number, "-Infinity", "not a finite number"),
        (number, "1e131072", "more digits"),
        (number, "1e400000", "more digits"),
        (number, "1e-16384", "more digits"),
        (number, "0." + "3" * 16_384, "more digits"),
        (integer, "12.5", "not a whole number"),
        (integer, "1_000", "not a number"),
        (integer, "9223372036854775808", "beyond 64 bits"),
        (integer, "-9223372036854775809", "beyond 64 bits"),
        (integer, "1e100000", "beyond 64 bits"),
        (integer, "9" * 5000, "beyond 64 bits"),
        (day, "31/01/2025", "not a time"),
        (day, "2025-02-30", "not a date"),
        (day, "2025-01-31T00:00:00+01:00", "midnight UTC"),
        (day, "20250131", "midnight UTC"),
        (day, "0001-01-01", "infinity"),
        (day, "9999-12-31", "infinity"),
        (instant, "0001-01-01T00:00:00Z", "infinity"),
        (instant, "0001-01-01T00:00:00+01:00", "outside the years"),
        (instant, "253402300800000", "outside the years"),
        (instant, "9" * 400, "not a time"),
        (instant, "2025-01-31T25:00:00Z", "not a time"),
        (instant, "2025-01-31x10:00:00", "not a time"),
        (instant, "yesterday", "not a time"),
        (truth, "yes", "neither true nor false"),
        (truth, "1", "neither true nor false"),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)[:30]),
)
def test_a_text_that_does_not_fit_is_refused_with_a_reason(convert: Any, text: str, words: str) -> None:
    assert words in reason(convert, text)


def test_a_page_of_monstrous_numbers_is_refused_at_once() -> None:
    started = time.process_time()
    for _ in range(100):
        reason(integer, "1e131071")
    assert time.process_time() - started < 5


def test_date_at_midnight_utc() -> None:
    """A moment of another time of day is some other day elsewhere: it is not guessed which was meant."""
    assert day("1738281600000") == date(2025, 1, 31)
    assert "midnight UTC" in reason(day, "1738278000000")  # midnight in Berlin
    assert "midnight UTC" in reason(day, "1738281600001")


def test_an_option_is_its_value_to_the_letter() -> None:
    convert = option(["NEW", "OPEN"])
    assert convert("NEW") == "NEW"
    assert "not an option" in reason(convert, "new")


def test_of_several_checkboxes_each_must_be_an_option_and_the_text_stays() -> None:
    convert = checkboxes(["a", "b"])
    assert [convert(text) for text in ("a", "b;a", ";a")] == ["a", "b;a", ";a"]
    assert "not each part" in reason(convert, "a;c")


def test_what_postgresql_cannot_hold_is_replaced() -> None:
    assert storable("a\0b\ud800c\udfff😀") == "a\ufffdb\ufffdc\ufffd😀"
    text = "Zürich 😀"
    assert storable(text) is text


def test_a_time_of_any_zone_or_none_is_utc() -> None:
    assert utc(datetime(2025, 1, 31, 10)) == at(2025, 1, 31, 10)  # noqa: DTZ001
    assert (
        utc(datetime(2025, 1, 31, 10, tzinfo=timezone(timedelta(hours=2)))).isoformat() == "2025-01-31T08:00:00+00:00"
    )


@given(st.datetimes(timezones=st.timezones()))
def test_any_time_becomes_the_same_moment_or_is_refused(moment: datetime) -> None:
    try:
        expected = moment.astimezone(UTC)
    except OverflowError:
        assert reason(instant, moment.isoformat())
        return
    if datetime.min.replace(tzinfo=UTC) < expected < datetime.max.replace(tzinfo=UTC):
        assert instant(moment.isoformat()) == expected


@given(st.text(st.characters(exclude_categories=())) | st.from_regex(r"[-+0-9TZ:.eE _]{0,30}", fullmatch=True))
def test_no_text_is_an_error(text: str) -> None:
    for convert in (number, integer, day, instant, truth, option(["a"]), checkboxes(["a"])):
        with suppress(Unfit):
            convert(text)  # type: ignore[operator]
