"""AccessToken: the secret of one HubSpot app, kept out of every text."""

from __future__ import annotations

from collections.abc import Generator

import httpx

from crm_sync.hubspot.errors import Misconfigured

_SHOWN_CHARACTERS = 4


class AccessToken(httpx.Auth):
    """Authorizes requests as `Bearer`; its repr and str show no more than the last four characters.

    Raises Misconfigured for a token that cannot stand in a header: the HTTP library's own complaint would
    quote the token.
    """

    def __init__(self, secret: str) -> None:
        secret = secret.strip()
        if not secret:
            raise Misconfigured("The HubSpot access token is empty. Set HUBSPOT_API_KEY.")
        if not all("!" <= character <= "~" for character in secret):
            raise Misconfigured(
                "The HubSpot access token holds a space or a character outside ASCII. "
                "Copy it into HUBSPOT_API_KEY again, without quotes or line breaks."
            )
        self._secret = secret

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["Authorization"] = f"Bearer {self._secret}"
        yield request

    def __repr__(self) -> str:
        return f"AccessToken({self.masked})"

    __str__ = __repr__

    @property
    def masked(self) -> str:
        """For people who must tell two tokens apart: `…` and the last four characters of a long token."""
        return f"…{self._secret[-_SHOWN_CHARACTERS:]}" if len(self._secret) > 4 * _SHOWN_CHARACTERS else "…"
