"""One log for everything in the process: structlog over the standard library, for people or for machines.

A module writes `logger = structlog.get_logger(__name__)` and `logger.info("contacts pushed", count=3)`; libraries
that use `logging` come out the same way. Secrets are removed from the finished line, so that no exception text,
traceback or library can carry one past.
"""

import json
import logging
import re
import sys
from collections.abc import Iterable
from typing import Any, TextIO
from urllib.parse import quote

import structlog
from pydantic import SecretStr
from structlog.typing import EventDict, Processor, WrappedLogger

from crm_sync.database import parse_database_url
from crm_sync.errors import SettingsError
from crm_sync.settings import Settings

REDACTED = "***"
# Secrets that the settings do not know: another account's token in a HubSpot answer, an address in a message.
_LOOKS_SECRET = re.compile(
    r"(?P<token>\bpat-[a-z]{2,3}\d?-[0-9A-Za-z-]{8,})"
    r"|(?P<bearer>(?<=Bearer )[^\s\"',]+)"
    r"|(?P<password>(?<=://)(?P<user>[^\s:@/]*):[^\s@/]+(?=@))"
)
# These tell of every request, every poll and their own start at INFO.
_TALKATIVE = ("httpx", "httpcore", "apscheduler", "asyncio", "uvicorn", "alembic")


def configure_logging(settings: Settings, *, stream: TextIO | None = None) -> None:
    """Send all logs of the process to `stream` (standard error), replacing what was configured before."""
    stream = stream or sys.stderr
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.processors.StackInfoRenderer(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    as_json = settings.LOG_FORMAT == "json"
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        _Redacting(
            secrets=secrets_of(settings),
            foreign_pre_chain=shared,
            processors=_for_machines() if as_json else _for_people(colors=stream.isatty()),
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.LOG_LEVEL)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """The text without the secrets, and without anything that looks like a token or a password in an address."""
    for secret in secrets:
        text = text.replace(secret, REDACTED)
    return _LOOKS_SECRET.sub(lambda found: f"{found['user']}:{REDACTED}" if found["password"] else REDACTED, text)


def secrets_of(settings: Settings) -> list[str]:
    """Every secret text in the settings, in each spelling that a line may hold; the longest first."""
    plain = {value.get_secret_value() for _, value in settings if isinstance(value, SecretStr)}
    if settings.DATABASE_URL is not None:
        try:
            url = parse_database_url(settings.DATABASE_URL.get_secret_value())
        except SettingsError:
            url = None
        # A development database's password is often its user's name, a word that every second line holds.
        if url is not None and url.password and url.password not in (url.username, url.database):
            plain.add(str(url.password))
    spellings = {form for text in plain for form in _spellings(text)}
    return sorted((text for text in spellings if len(text) >= 4), key=len, reverse=True)


def _spellings(text: str) -> tuple[str, ...]:
    quoted = (json.dumps(text, ensure_ascii=False), json.dumps(text), repr(text))
    return (text, quote(text, safe=""), *(form[1:-1] for form in quoted))


def _for_people(*, colors: bool) -> list[Processor]:
    return [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=structlog.dev.plain_traceback),
    ]


def _for_machines() -> list[Processor]:
    return [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.format_exc_info,
        _head_first,
        structlog.processors.JSONRenderer(ensure_ascii=False, default=str),
    ]


def _head_first(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """`timestamp, level, logger, event` first, as a reader of raw lines expects."""
    order = ("timestamp", "level", "logger", "event")
    return {name: event[name] for name in order if name in event} | {
        name: value for name, value in event.items() if name not in order
    }


class _Redacting(structlog.stdlib.ProcessorFormatter):
    def __init__(self, *, secrets: list[str], **options: Any) -> None:
        super().__init__(**options)
        self._secrets = secrets

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record), self._secrets)
