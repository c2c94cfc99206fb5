"""Values of what is no CRM record, as their columns hold them: an odd one becomes null, `raw` keeps it (pure)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from crm_sync.pull.mirror.values import Unfit, integer, storable, utc

# NUL as JSON spells it; "\\u0000" with an escaped backslash before it is six ordinary characters.
_NUL: Final = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")


def json_text(raw: Mapping[str, Any]) -> str:
    """HubSpot's JSON as PostgreSQL's jsonb takes it: U+FFFD for NUL and half surrogates, text for NaN and Infinity."""
    try:
        text = json.dumps(raw, ensure_ascii=False, allow_nan=False)
    except ValueError:  # Python reads NaN and Infinity, which are no JSON
        text = json.dumps(json.loads(json.dumps(raw), parse_constant=str), ensure_ascii=False)
    if "\\u0000" in text:
        text = _NUL.sub("\\1\ufffd", text)
    return storable(text)


def text(value: object) -> str | None:
    if value is None:
        return None
    return storable(value if isinstance(value, str) else json.dumps(value))


def number(value: object) -> int | None:
    """A whole number of 64 bits."""
    try:
        return integer(str(value)) if value is not None else None
    except Unfit:
        return None


def moment(at: datetime | None) -> datetime | None:
    try:
        return utc(at) if at is not None else None
    except Unfit:
        return None
