"""What the environment and `.env` say, read once into frozen, validated values.

No other module looks at the environment. An attribute is named like its variable; `.env.example` lists them
all.
"""

from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from dotenv.parser import parse_stream
from pydantic import AfterValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from crm_sync.errors import SettingsError
from crm_sync.setting_lists import CustomObjects, PropertyLists, StreamNames
from crm_sync.setting_problem import explain

HUBSPOT_BATCH_LIMIT = 100  # inputs in one batch call; HubSpot refuses more


def _database_url(value: SecretStr) -> SecretStr:
    if not value.get_secret_value().startswith(("postgres://", "postgresql://", "postgresql+")):
        raise ValueError("an address like postgresql://user:password@host:5432/name")
    return value


def _token(value: SecretStr) -> SecretStr:
    stripped = value.get_secret_value().strip()
    if not (stripped.isascii() and stripped.isprintable()) or " " in stripped:
        raise ValueError("one word of letters, digits and hyphens, as HubSpot shows it")
    return SecretStr(stripped)


def _http_url(value: str) -> str:
    try:
        parts = urlsplit(value)
        is_plain = parts.username is None and not parts.query and parts.port != 0
    except ValueError:  # brackets or a port that are none
        is_plain = False
    if not is_plain or parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("an address like https://api.hubapi.com, without a user or a query")
    return value.rstrip("/")


Token = Annotated[SecretStr, AfterValidator(_token)]
PropertyName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,99}$", description="a HubSpot property's name")]


class Settings(BaseSettings):
    """Build it with `load_settings()`. A field without a default of its own is unset, that is None."""

    model_config = SettingsConfigDict(
        frozen=True,
        env_ignore_empty=True,
        extra="ignore",
        case_sensitive=True,
        env_file_encoding="utf-8",
        hide_input_in_errors=True,
    )

    # Database
    DATABASE_URL: Annotated[SecretStr, AfterValidator(_database_url)] | None = None
    DATABASE_POOLER: bool = False
    DATABASE_POOL_SIZE: int = Field(default=10, ge=1, le=1000)
    DATABASE_DIRECT_URL: Annotated[SecretStr, AfterValidator(_database_url)] | None = None
    DATA_DIR: Path = Path(".data")

    # Web application and logs
    WEB_HOST: str = "127.0.0.1"
    WEB_PORT: int = Field(default=8000, ge=0, le=65_535)
    LOG_LEVEL: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    LOG_FORMAT: Literal["console", "json"] = "console"

    # Workers: `crm-sync worker`
    WORKER_POLL_SECONDS: float = Field(default=1, ge=0.01, le=3600)
    WORKER_GRACE_SECONDS: float = Field(default=10, ge=0, le=3600)

    # HubSpot: the account
    HUBSPOT_API_KEY: Token | None = None
    HUBSPOT_API_KEY_CONTACTS: Token | None = None
    HUBSPOT_API_KEY_MEMBERSHIPS: Token | None = None
    HUBSPOT_API_KEY_ORDERS: Token | None = None
    HUBSPOT_API_KEY_EVENTS: Token | None = None
    HUBSPOT_PORTAL_ID: Annotated[str, Field(pattern=r"^\d+$", description="a number")] | None = None
    HUBSPOT_API_BASE_URL: Annotated[str, AfterValidator(_http_url)] = "https://api.hubapi.com"
    HUBSPOT_API_VERSION: Literal["v3", "2026-03"] = "v3"
    HUBSPOT_REQUESTS_PER_10_SECONDS: int = Field(default=100, ge=1, le=10_000)
    HUBSPOT_TIMEOUT_SECONDS: float = Field(default=30, gt=0, le=600)

    # HubSpot: the scheduler that pushes contacts
    HUBSPOT_SYNC_SCHEDULER_ENABLED: bool = True
    HUBSPOT_SYNC_SCHEDULER_INTERVAL_MINUTES: float = Field(default=5, gt=0, le=1440)
    HUBSPOT_SYNC_SCHEDULER_BATCH_SIZE: int = Field(default=100, ge=1, le=HUBSPOT_BATCH_LIMIT)
    HUBSPOT_SYNC_SCHEDULER_MAX_INSTANCES: int = Field(default=1, ge=1, le=100)
    HUBSPOT_SYNC_SCHEDULER_DRAIN: bool = True
    HUBSPOT_SYNC_CONCURRENCY: int = Field(default=1, ge=1, le=100)
    HUBSPOT_SYNC_MAX_RETRIES: int = Field(default=3, ge=0, le=100)
    HUBSPOT_SYNC_RETRY_DELAY_MINUTES: float = Field(default=5, gt=0, le=1440)
    HUBSPOT_SYNC_RETRY_EXPONENTIAL: bool = True

    # HubSpot: names of the custom properties
    HUBSPOT_CUSTOM_PROPERTY_DOMAIN_ID: PropertyName = "scrapersky_domain_id"
    HUBSPOT_CUSTOM_PROPERTY_PAGE_ID: PropertyName = "scrapersky_page_id"
    HUBSPOT_CUSTOM_PROPERTY_SYNC_DATE: PropertyName = "scrapersky_sync_date"

    # HubSpot: the pull into the mirror
    HUBSPOT_PULL_STREAMS: StreamNames = ()
    HUBSPOT_PULL_INTERVAL_MINUTES: float = Field(default=15, gt=0, le=10_080)
    HUBSPOT_PULL_CONCURRENCY: int = Field(default=3, ge=1, le=20)
    HUBSPOT_PULL_LAG_SECONDS: float = Field(default=30, ge=0, le=3600)
    HUBSPOT_PULL_OVERLAP_SECONDS: float = Field(default=120, ge=0, le=86_400)
    HUBSPOT_PULL_ARCHIVED_HOURS: float = Field(default=1, ge=0, le=8760)
    HUBSPOT_PULL_ASSOCIATIONS_HOURS: float = Field(default=24, ge=0, le=8760)
    HUBSPOT_PULL_RUNS_DAYS: float = Field(default=30, gt=0, le=3650)
    HUBSPOT_CUSTOM_OBJECTS: CustomObjects = {name: name for name in ("divisions", "memberships", "events")}
    HUBSPOT_PULL_PROPERTIES: PropertyLists = {}

    @model_validator(mode="before")
    @classmethod
    def _blank_is_unset(cls, values: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in values.items() if str(value).strip()}

    def api_key(self, object_type: str) -> SecretStr | None:
        """The token for one object type: its own, else the general one; None when neither is set."""
        own: SecretStr | None = getattr(self, f"HUBSPOT_API_KEY_{object_type.upper()}", None)
        return own or self.HUBSPOT_API_KEY

    @property
    def has_token(self) -> bool:
        """Whether anything at all may be asked of HubSpot."""
        return any(getattr(self, name) for name in type(self).model_fields if name.startswith("HUBSPOT_API_KEY"))


def load_settings(env_file: Path | None = Path(".env")) -> Settings:
    """Read the environment, then `env_file` for what it leaves unset; a file that is not there is no error.

    Raises SettingsError: a sentence for each wrong variable, with what it holds (never a secret) and may
    hold.
    """
    try:
        _check_lines(env_file)
        return Settings(_env_file=env_file)  # type: ignore[call-arg]
    except ValidationError as exc:
        fields = Settings.model_fields
        raise SettingsError("\n".join(explain(problem, fields) for problem in exc.errors())) from exc
    except (OSError, UnicodeDecodeError) as exc:
        raise SettingsError(f"{env_file} cannot be read as UTF-8 text: {exc}.") from exc


def _check_lines(env_file: Path | None) -> None:
    """dotenv would go on without a line that it cannot read."""
    if env_file is None or not env_file.is_file():
        return
    with env_file.open(encoding="utf-8") as lines:
        wrong = [str(binding.original.line) for binding in parse_stream(lines) if binding.error]
    if wrong:
        raise SettingsError(f"{env_file}, line {', '.join(wrong)}: cannot be read; a setting is NAME=value.")
