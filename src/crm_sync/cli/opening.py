"""How a command opens the application: settings, logs, database, and closes it again."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, TypeVar

import typer

if TYPE_CHECKING:
    from sqlalchemy import URL

    from crm_sync.runtime import Runtime
    from crm_sync.settings import Settings

T = TypeVar("T")

#: Whether this invocation was given --debug.
debug: ContextVar[bool] = ContextVar("debug", default=False)


def read_settings(*, log_level: str | None = "WARNING") -> "Settings":
    """Settings of the environment and `.env`, and the logs as they say; a command's own logs are warnings only.

    `log_level` None keeps LOG_LEVEL. Raises SettingsError.
    """
    from crm_sync.logs import configure_logging
    from crm_sync.settings import load_settings

    settings = load_settings()
    if debug.get():
        log_level = "DEBUG"
    logged = settings.model_copy(update={"LOG_LEVEL": log_level}) if log_level else settings
    configure_logging(logged)
    logging.captureWarnings(True)
    return settings


def with_runtime(
    work: Callable[["Runtime"], Awaitable[T]], settings: "Settings | None" = None, *, shares_limits: bool = True
) -> T:
    """What `work` makes of a runtime on a database that answers and is migrated."""
    from crm_sync.runtime import open_runtime

    chosen = settings or read_settings()

    async def run() -> T:
        async with open_runtime(chosen, shares_limits=shares_limits, announce=say) as runtime:
            _say_silence(runtime)
            return await work(runtime)

    return asyncio.run(run())


def with_database(work: Callable[["URL"], Awaitable[T]], settings: "Settings | None" = None) -> T:
    """What `work` makes of a database's address, whatever its schema."""
    from crm_sync.database import open_database

    with open_database(settings or read_settings(), announce=say) as url:
        return asyncio.run(_awaited(work, url))


def say(words: str) -> None:
    """For people, on standard error, so that standard output holds results alone."""
    typer.secho(words, fg=typer.colors.YELLOW, err=True)


def _say_silence(runtime: "Runtime") -> None:
    """Whoever waits is told with the first call that is not answered; it is repeated for seconds before it fails."""
    from crm_sync.hubspot.errors import HubSpotError, TransportError

    def told(error: HubSpotError) -> None:
        if isinstance(error, TransportError) and not runtime.clients.counts.answered and not said:
            said.append(f"No answer from HubSpot at {runtime.settings.HUBSPOT_API_BASE_URL} yet; trying again.")
            say(said[0])

    said: list[str] = []
    runtime.clients.on_repeat = told


async def _awaited(work: Callable[["URL"], Awaitable[T]], url: "URL") -> T:
    return await work(url)
