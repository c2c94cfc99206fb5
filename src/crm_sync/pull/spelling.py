"""What somebody meant who wrote a name that there is not (pure)."""

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """ "Did you mean contacts? ", to be put before what follows; "" when nothing known is spelled alike."""
    alike = get_close_matches(name.strip().lower(), tuple(known), n=1)
    return f"Did you mean {alike[0]}? " if alike else ""
