"""A property's text becomes a value that fits its column of the mirror (pure).

A converter takes a text that is not empty, already `storable`, and gives the value or raises Unfit. Every value that
one gives can be encoded by asyncpg and comes back from PostgreSQL as it went in.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from typing import Final

#: PostgreSQL's bigint, of which HubSpot's record ids use the half above 0.
BIGINT_MIN: Final = -(2**63)
BIGINT_MAX: Final = 2**63 - 1

# PostgreSQL's numeric: up to 131,072 digits before the point and 16,383 behind it (manual, table 8.2).
_NUMERIC_DIGITS: Final = 131_072
_NUMERIC_SCALE: Final = 16_383

# asyncpg writes the first and the last moment that Python knows as -infinity and infinity.
_FIRST_MOMENT: Final = datetime.min.replace(tzinfo=UTC)
_LAST_MOMENT: Final = datetime.max.replace(tzinfo=UTC)
_INFINITE: Final = "the first and the last day of the calendar would be kept as infinity"

# PostgreSQL's btree: up to 2,704 bytes an entry; a character of UTF-8 has up to 4.
_INDEXABLE_CHARACTERS: Final = 600

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_MS: Final = re.compile(r"-?[0-9]{1,15}")
_MIDNIGHT: Final = time()
_TRUTH: Final = {"true": True, "false": False}
# NUL, and halves of UTF-16 pairs: JSON can spell both, PostgreSQL's text and jsonb hold neither.
_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")


class Unfit(Exception):
    """The text is no value of the column's type. The reason does not repeat it, so that equal faults read alike."""


def storable(text: str) -> str:
    """The text with U+FFFD for what PostgreSQL cannot hold; the same object when there is nothing of the kind."""
    if "\0" not in text:
        try:
            text.encode()
        except UnicodeEncodeError:
            pass
        else:
            return text
    return _UNSTORABLE.sub("\ufffd", text)


def number(text: str) -> Decimal:
    """Any finite number, exactly as HubSpot wrote it, exponents included.

    A few of the 16,383 decimals are given up to a sign, a point or an exponent: the text's length is what counts.
    """
    if "_" in text:  # Python reads 1_000, nobody else does
        raise Unfit("not a number")
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise Unfit("not a number") from None
    if not value.is_finite():
        raise Unfit("not a finite number")
    if not len(text) - _NUMERIC_SCALE <= value.adjusted() + 1 <= _NUMERIC_DIGITS:
        raise Unfit("a number with more digits than PostgreSQL holds")
    return value


def integer(text: str) -> int:
    """A whole number of 64 bits; "12.0" and "1.2e3" are whole too."""
    try:
        value = int(text) if "_" not in text else None
    except ValueError:  # not digits only, or thousands of them
        value = None
    if value is None:
        exact = number(text)
        if exact.adjusted() > 18:  # as an int, a number of 100,000 digits would take half a second
            raise Unfit("a number beyond 64 bits")
        value = int(exact)
        if value != exact:
            raise Unfit("not a whole number")
    if not BIGINT_MIN <= value <= BIGINT_MAX:
        raise Unfit("a number beyond 64 bits")
    return value


def day(text: str) -> date:
    """A date: "2025-01-31", or a moment that must be midnight UTC, as HubSpot keeps dates."""
    if len(text) == 10 and text[4] == text[7] == "-":
        try:
            value = date.fromisoformat(text)
        except ValueError:
            raise Unfit("not a date") from None
    else:
        moment = instant(text)
        if moment.time() != _MIDNIGHT:
            raise Unfit("a time of day where a date is midnight UTC")
        value = moment.date()
    if value in (date.min, date.max):
        raise Unfit(_INFINITE)
    return value


def instant(text: str) -> datetime:
    """A moment in UTC: ISO 8601, UTC where it names no offset, or milliseconds since 1970."""
    try:
        if text[4:5] == "-" and text[10:11] in ("T", " ", ""):
            return utc(datetime.fromisoformat(text))
        if _EPOCH_MS.fullmatch(text):
            return utc(_EPOCH + timedelta(milliseconds=int(text)))
    except OverflowError:
        raise Unfit("outside the years 1 to 9999") from None
    except ValueError:
        pass
    raise Unfit("not a time")


def utc(at: datetime) -> datetime:
    """The same moment in UTC; without an offset it is UTC already."""
    if at.tzinfo is not UTC:
        try:
            at = at.astimezone(UTC) if at.tzinfo is not None else at.replace(tzinfo=UTC)
        except OverflowError:
            raise Unfit("outside the years 1 to 9999") from None
    if not _FIRST_MOMENT < at < _LAST_MOMENT:
        raise Unfit(_INFINITE)
    return at


def indexable(text: str) -> str:
    """A text that an entry of a btree index holds, in lower case too, which may have more bytes."""
    if len(text) > _INDEXABLE_CHARACTERS:
        raise Unfit(f"longer than the {_INDEXABLE_CHARACTERS} characters that an index holds")
    return text


def truth(text: str) -> bool:
    """ "true" or "false", in any case."""
    value = _TRUTH.get(text)
    if value is None:
        value = _TRUTH.get(text.lower())
    if value is None:
        raise Unfit("neither true nor false")
    return value


def option(options: Iterable[str]) -> Callable[[str], str]:
    """The converter for the value of one of an enumeration's options (not its label)."""
    allowed = frozenset(options)

    def convert(text: str) -> str:
        if text not in allowed:
            raise Unfit("not an option of the property")
        return text

    return convert


def checkboxes(options: Iterable[str]) -> Callable[[str], str]:
    """The converter for "a;b": the text as it is, when each part is one of the options."""
    allowed = frozenset(options) | {""}  # ";a" reads as one box

    def convert(text: str) -> str:
        if not allowed.issuperset(text.split(";")):
            raise Unfit("not each part is an option of the property")
        return text

    return convert
