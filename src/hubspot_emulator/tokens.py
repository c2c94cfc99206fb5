"""Access tokens: who calls, and what they may do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .problems import ExpiredAuthentication, InvalidAuthentication, MissingScopes

__all__ = ["DEFAULT_TOKEN", "Token", "Tokens"]

DEFAULT_TOKEN = "pat-emulator-all-scopes"  # noqa: S105 — valid on an emulator only


@dataclass(slots=True)
class Token:
    """`scopes` None: every scope. `status` is active, revoked or expired. `app_id` names the burst bucket."""

    value: str
    app_id: int
    scopes: frozenset[str] | None = None
    status: str = "active"


class Tokens:
    """The tokens of one portal; from the start there is one, with every scope."""

    def __init__(self) -> None:
        self._tokens: dict[str, Token] = {}
        self.add(DEFAULT_TOKEN)

    def add(self, value: str, scopes: Iterable[str] | None = None, status: str = "active") -> Token:
        """Add a token, or give a known one other scopes or another status."""
        if status not in ("active", "revoked", "expired"):
            raise ValueError(f"a token is active, revoked or expired, not {status!r}")
        known = self._tokens.get(value)
        token = Token(
            value=value,
            app_id=known.app_id if known else 1_000_001 + len(self._tokens),
            scopes=None if scopes is None else frozenset(scopes),
            status=status,
        )
        self._tokens[value] = token
        return token

    def authenticate(self, authorization: str | None) -> Token:
        """The token of an `Authorization: Bearer …` header. Raises InvalidAuthentication, ExpiredAuthentication."""
        scheme, _, value = (authorization or "").partition(" ")
        token = self._tokens.get(value.strip())
        if scheme.lower() != "bearer" or token is None or token.status == "revoked":
            raise InvalidAuthentication
        if token.status == "expired":
            raise ExpiredAuthentication
        return token

    def authorize(self, token: Token, required: Sequence[str]) -> None:
        """Raises MissingScopes, which names every required scope that the token lacks."""
        if token.scopes is not None and (lacking := [one for one in required if one not in token.scopes]):
            raise MissingScopes(lacking)

    def all(self) -> list[Token]:
        return list(self._tokens.values())
