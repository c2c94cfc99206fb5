"""Pulls: the pull as the runtime puts it together: the service, the loop over its queue, and its schedule."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from crm_sync.clients import Clients
from crm_sync.errors import SettingsError, UnknownStreamError
from crm_sync.models import Base, SyncRun
from crm_sync.models.mirror import SCHEMA
from crm_sync.pull.runs.rows import RunRows
from crm_sync.pull.runs.runs import Runs, is_free, pulls_queue
from crm_sync.pull.runs.schedule import PullSchedule, StandingLoop
from crm_sync.pull.service import PullOptions, PullService
from crm_sync.pull.streams import COMMANDS, GROUPS, OTHERS, STANDARD
from crm_sync.pull.window import Margins
from crm_sync.settings import Settings
from jobloop import JobLoop, each
from jobloop.loop import Observer
from jobloop.scheduler import IntervalScheduler, ScheduledLoop, add_scheduler_job

#: Names that no custom object can have as a stream.
RESERVED: Final = frozenset(
    (
        *(*STANDARD, *OTHERS, *GROUPS),
        *("all", *COMMANDS),
        *(table.name for table in Base.metadata.tables.values() if table.schema == SCHEMA),
    )
)
#: How often the web application looks for runs that somebody queued by SQL.
STANDING_POLL_SECONDS: Final = 5.0


class Pulls:
    """`service` pulls a stream by name; a token is missed only when one is used.

    Raises SettingsError for names of streams that there are not, or that have no properties to narrow.
    """

    def __init__(
        self,
        settings: Settings,
        engine: AsyncEngine,
        sessions: async_sessionmaker[AsyncSession],
        clients: Clients,
        observers: Sequence[Observer] = (),
    ) -> None:
        if taken := sorted(set(settings.HUBSPOT_CUSTOM_OBJECTS) & RESERVED):
            raise SettingsError(f"HUBSPOT_CUSTOM_OBJECTS names {', '.join(taken)}, which means something else already.")
        self._settings = settings
        self._engine = engine
        self._sessions = sessions
        self._observers = observers
        self.service = PullService(clients.of, engine, _options(settings), instead_of=clients.instead_of)
        for name in ("HUBSPOT_PULL_STREAMS", "HUBSPOT_PULL_PROPERTIES"):
            try:
                self.service.expand(*getattr(settings, name))
            except UnknownStreamError as exc:
                raise SettingsError(f"{name}: {exc}") from exc
        if several := [name for name in settings.HUBSPOT_PULL_PROPERTIES if name in (*GROUPS, *OTHERS, "all")]:
            raise SettingsError(
                f"HUBSPOT_PULL_PROPERTIES names {', '.join(several)}: only single streams of records have properties "
                "to choose from, such as contacts or notes. Give each of them a list of its own."
            )
        self.rows = RunRows(engine)

    def loop(
        self,
        *,
        only: int | None = None,
        runs: Runs | None = None,
        wake: asyncio.Event | None = None,
        poll_seconds: float | None = None,
    ) -> JobLoop:
        """The loop over the queue; `only` one run, whosever it is, and `runs` that are looked at."""
        settings = self._settings
        return JobLoop(
            pulls_queue(is_free() if only is None else SyncRun.id == only),
            each((runs or Runs(self.service, self._engine)).work),
            session_factory=self._sessions,
            batch_size=1,
            concurrency=settings.HUBSPOT_PULL_CONCURRENCY if only is None else 1,
            claims_ahead=False,  # another worker may be free for it, and this one for hours not
            deadline_seconds=None,
            grace_seconds=settings.WORKER_GRACE_SECONDS,
            poll_seconds=poll_seconds or settings.WORKER_POLL_SECONDS,
            wake=wake,
            observers=self._observers,
        )

    def schedule(self, scheduler: IntervalScheduler) -> list[ScheduledLoop]:
        """Work the queue and, where the settings name streams, fill it; nothing without a token."""
        settings = self._settings
        if not settings.has_token:  # the log says so of the contacts
            return []
        wake = asyncio.Event()
        standing = StandingLoop(self.loop(wake=wake, poll_seconds=STANDING_POLL_SECONDS))
        standing.register(scheduler)
        if not settings.HUBSPOT_PULL_STREAMS:
            return [standing]
        kept = timedelta(days=settings.HUBSPOT_PULL_RUNS_DAYS)
        schedule = PullSchedule(self.service, self.rows, settings.HUBSPOT_PULL_STREAMS, wake, kept)
        job = add_scheduler_job(
            scheduler,
            "scheduled pulls",
            schedule.enqueue,
            interval=timedelta(minutes=settings.HUBSPOT_PULL_INTERVAL_MINUTES),
            batch_size=1,
            api_key="there is one",
            api_key_name="HUBSPOT_API_KEY",
            service="HubSpot",
        )
        return [standing, *([job] if job else [])]


def _options(settings: Settings) -> PullOptions:
    margins = Margins(
        lag=timedelta(seconds=settings.HUBSPOT_PULL_LAG_SECONDS),
        overlap=timedelta(seconds=settings.HUBSPOT_PULL_OVERLAP_SECONDS),
        archived=timedelta(hours=settings.HUBSPOT_PULL_ARCHIVED_HOURS),
        associations=timedelta(hours=settings.HUBSPOT_PULL_ASSOCIATIONS_HOURS),
    )
    return PullOptions(settings.HUBSPOT_CUSTOM_OBJECTS, settings.HUBSPOT_PULL_PROPERTIES, margins)
