"""Dirty text made clean, without losing a letter (pure)."""

from __future__ import annotations

import re
import unicodedata

#: Marks that show nothing and that copying leaves behind: byte order mark, word joiner, soft hyphen and the
#: direction marks. The joiners U+200C and U+200D stay: Persian and Indic words need them.
_INVISIBLE = re.compile("[\u00ad\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]")
#: Control characters and the zero-width space stand where a space should.
_SPACE = re.compile("[\x00-\x1f\x7f-\x9f\u200b\\s]+")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")


#: What stands behind a comma and is no first name.
_AFTER_A_NAME = frozenset({"jr", "sr", "ii", "iii", "iv", "esq", "md", "m.d", "phd", "ph.d", "mba", "cpa"})


def clean(text: str | None) -> str:
    """Composed (NFC), trimmed, each run of white space one space; "" for None."""
    visible = _INVISIBLE.sub("", text or "")
    return unicodedata.normalize("NFC", _SPACE.sub(" ", visible)).strip()


def normal_email(text: str | None) -> str:
    """How two spellings of one address become equal: no white space around it, lower case, composed.

    HubSpot compares addresses without regard to case and gives them back in lower case.
    """
    return unicodedata.normalize("NFC", clean(text).lower())


def is_email(text: str) -> bool:
    """A light check, `name@host.domain`: what passes here may still be refused by HubSpot."""
    return _EMAIL.fullmatch(text) is not None


def split_name(text: str | None) -> tuple[str, str]:
    """First and last name; "" where missing. The last word is the last name, a single word the first name.

    "Last, First" is turned round, unless what follows the comma is a title such as "Jr.".
    """
    name = clean(text)
    before, _, after = (part.strip() for part in name.partition(","))
    if before and after and "," not in after and after.rstrip(".").lower() not in _AFTER_A_NAME:
        return after, before
    first, _, last = name.rpartition(" ")
    return (first, last) if first else (last, "")
