"""Durations as people write them: 90s, 15m, 2h, 1d, 1h30m."""

import re
from datetime import timedelta

import typer

_PART = re.compile(r"(\d+)\s*([smhd])", re.IGNORECASE)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class TooLong(typer.BadParameter):
    """More than a timedelta holds."""


def duration(text: str) -> timedelta:
    """The duration that `text` says; raises typer.BadParameter."""
    parts = _PART.findall(text)
    if not parts or _PART.sub("", text).strip():
        raise typer.BadParameter(f"{text!r} is no duration; write 90s, 15m, 2h, 1d or 1h30m.")
    try:
        return sum((timedelta(**{_UNITS[unit.lower()]: int(number)}) for number, unit in parts), timedelta())
    except OverflowError as exc:
        raise TooLong(f"{text!r} is too long.") from exc
