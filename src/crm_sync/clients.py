"""Clients: one HubSpot client for each access token, with its rate limits."""

from __future__ import annotations

from collections.abc import Callable

from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncEngine

from crm_sync.errors import SettingsError
from crm_sync.hubspot import HubSpotClient, LocalRateLimiter, RateLimiter, SharedRateLimiter, Timeouts
from crm_sync.hubspot.counts import CallCounts
from crm_sync.hubspot.errors import HubSpotError
from crm_sync.hubspot.exchange import Bucket
from crm_sync.hubspot.ratelimit import DEFAULT_BUDGETS, Budget
from crm_sync.rate_budgets import RateBudgets
from crm_sync.settings import Settings


class TokenMissingError(SettingsError):
    """There is no access token for what was asked."""


def require_token(settings: Settings, object_type: str = "contacts") -> SecretStr:
    """The access token for an object type; raises TokenMissingError."""
    token = settings.api_key(object_type)
    if token is None:
        require_any_token(settings)
        raise TokenMissingError(
            f"There is no HubSpot access token for {object_type}. Set HUBSPOT_API_KEY in .env or in the environment."
        )
    return token


def require_any_token(settings: Settings) -> None:
    """Raises TokenMissingError when nothing at all may be asked of HubSpot."""
    if not settings.has_token:
        raise TokenMissingError(
            "There is no HubSpot access token. Set HUBSPOT_API_KEY in .env or in the environment; "
            "`crm-sync demo` shows everything without one."
        )


class Clients:
    """Makes a client when it is first asked for. `shares_limits`: calls are counted together with other processes.

    on_repeat  is told why a call of any of them is about to be sent again; to be set by who wants to know
    """

    def __init__(self, settings: Settings, engine: AsyncEngine, *, shares_limits: bool = True) -> None:
        self._settings = settings
        self._engine = engine
        self._shares_limits = shares_limits
        self._by_token: dict[str, HubSpotClient] = {}
        self.on_repeat: Callable[[HubSpotError], None] = lambda _error: None

    async def aclose(self) -> None:
        for client in self._by_token.values():
            await client.aclose()

    def of(self, object_type: str) -> HubSpotClient:
        """The client of an object type's token; raises TokenMissingError without one."""
        return self._client(require_token(self._settings, object_type))

    def instead_of(self, object_type: str) -> HubSpotClient | None:
        """The client of the general token, where the object type has another one."""
        general = self._settings.HUBSPOT_API_KEY
        own = self._settings.api_key(object_type)
        return None if general is None or general == own else self._client(general)

    @property
    def open(self) -> tuple[HubSpotClient, ...]:
        """Those that there was a reason to have so far."""
        return tuple(self._by_token.values())

    @property
    def counts(self) -> CallCounts:
        """Calls sent so far, whatever the token."""
        whole = CallCounts()
        for client in self.open:
            whole.total += client.counts.total
            whole.repeated += client.counts.repeated
            whole.by_operation += client.counts.by_operation
            whole.by_status += client.counts.by_status
        return whole

    def _client(self, token: SecretStr) -> HubSpotClient:
        settings, secret = self._settings, token.get_secret_value()
        if secret not in self._by_token:
            answer_seconds = settings.HUBSPOT_TIMEOUT_SECONDS
            self._by_token[secret] = HubSpotClient(
                settings.HUBSPOT_API_BASE_URL,
                secret,
                api_version=settings.HUBSPOT_API_VERSION,
                rate_limiter=self._rate_limiter(secret),
                timeouts=Timeouts(answer_seconds=answer_seconds, total_seconds=2 * answer_seconds),
                on_repeat=lambda error: self.on_repeat(error),
            )
        return self._by_token[secret]

    def _rate_limiter(self, secret: str) -> RateLimiter:
        burst = Budget(self._settings.HUBSPOT_REQUESTS_PER_10_SECONDS, 10.0)
        budgets = {**DEFAULT_BUDGETS, Bucket.BURST: burst}
        local = LocalRateLimiter(budgets)
        if not self._shares_limits:
            return local
        pooler = self._settings.DATABASE_POOLER or self._engine.url.query.get("pgbouncer") == "true"
        return SharedRateLimiter(RateBudgets(self._engine, secret, budgets, pooler=pooler), local)
