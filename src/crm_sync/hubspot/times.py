"""HubSpot's times as aware datetimes: ISO texts of the CRM endpoints, milliseconds of the older ones."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def time_in(value: object) -> datetime | None:
    """`2026-11-21T10:00:00.000Z`; None for no value. Raises ValueError for a text that is no time."""
    if not isinstance(value, str) or not value:
        return None
    at = datetime.fromisoformat(value)
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


def required_time_in(value: object) -> datetime:
    """As `time_in`. Raises TypeError for no value."""
    at = time_in(value)
    if at is None:
        raise TypeError(f"a time is {value!r}")
    return at


def time_of_ms(value: object) -> datetime:
    """Milliseconds since 1970-01-01 UTC. Raises TypeError for anything but a number, ValueError for one too large."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"a time in milliseconds is {value!r}")
    try:
        return _EPOCH + timedelta(milliseconds=value)
    except OverflowError as exc:
        raise ValueError(f"a time in milliseconds is {value!r}") from exc


def ms_of_time(at: datetime) -> int:
    """The other way. Raises ValueError for a time without a zone, which every machine would take differently."""
    if at.tzinfo is None:
        raise ValueError(f"a time for HubSpot needs a zone, {at} has none")
    return (at - _EPOCH) // timedelta(milliseconds=1)
