"""Runtime: the one place where the parts of the application are put together.

    settings → database → engine → session factory ─┐
             → HubSpot client → push service ───────┴→ JobQueue → JobLoop → scheduler

The web application and the commands open one with `open_runtime`. Nothing here is global: two of them, with other
settings and other databases, live side by side in one process.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from functools import cached_property
from typing import Any
from uuid import UUID

from sqlalchemy import URL, ColumnElement, asc, make_url
from sqlalchemy.ext.asyncio import async_sessionmaker

from crm_sync import migrate
from crm_sync.clients import Clients, require_token
from crm_sync.database import check_database, create_engine, open_database
from crm_sync.hubspot import HubSpotClient
from crm_sync.models import Contact, CRMProcessingStatus, queue_pauses
from crm_sync.pull.runs.runs import PULLS, pulls_queue
from crm_sync.pull.service import PullService
from crm_sync.pulls import Pulls
from crm_sync.push import ContactPushService, PropertyNames
from crm_sync.settings import Settings
from jobloop import JobLoop, JobQueue, Outcome, RetryPolicy, Statuses, batch
from jobloop.loop import Observer
from jobloop.scheduler import IntervalScheduler, ScheduledLoop, add_scheduler_job

logger = logging.getLogger(__name__)

CONTACTS = "contacts"
BatchHandler = Callable[[list[Any]], Any]


class Runtime:
    """Settings and a database address, made into the parts that work with them. Close it with `aclose`."""

    def __init__(
        self, settings: Settings, url: URL, *, observers: Sequence[Observer] = (), shares_limits: bool = True
    ) -> None:
        self.settings = settings
        self.url = url
        self.observers = tuple(observers)
        pool = settings.DATABASE_POOL_SIZE
        self.engine = create_engine(url, pool_size=pool, max_overflow=pool, pooler=settings.DATABASE_POOLER)
        self.sessions = async_sessionmaker(self.engine, expire_on_commit=False)

        has_database = url != make_url("postgresql://")  # else an address of nothing: nobody has a use for one
        self.clients = Clients(settings, self.engine, shares_limits=shares_limits and has_database)

    async def aclose(self) -> None:
        """Close the connections to HubSpot and to the database."""
        await self.clients.aclose()
        await self.engine.dispose()

    # -- HubSpot --------------------------------------------------------------------------------------------------

    @property
    def hubspot(self) -> HubSpotClient:
        """The client of the token for contacts; raises TokenMissingError without one."""
        return self.clients.of(CONTACTS)

    @property
    def property_names(self) -> PropertyNames:
        settings = self.settings
        return PropertyNames(
            domain_id=settings.HUBSPOT_CUSTOM_PROPERTY_DOMAIN_ID,
            page_id=settings.HUBSPOT_CUSTOM_PROPERTY_PAGE_ID,
            sync_date=settings.HUBSPOT_CUSTOM_PROPERTY_SYNC_DATE,
        )

    @cached_property
    def contact_push(self) -> ContactPushService:
        """Raises TokenMissingError."""
        return ContactPushService(self.hubspot, self.property_names)

    # -- the queue ------------------------------------------------------------------------------------------------

    @property
    def queues(self) -> dict[str, JobQueue]:
        """Every queue of the application, by the name that commands and the web know it by."""
        return {CONTACTS: self.contact_queue(), PULLS: pulls_queue()}

    def contact_queue(self, *filters: ColumnElement[bool]) -> JobQueue:
        """Contacts to HubSpot; `filters` narrow what is claimed."""
        settings = self.settings
        delay = timedelta(minutes=settings.HUBSPOT_SYNC_RETRY_DELAY_MINUTES)
        longest = RetryPolicy().max_delay
        return JobQueue(
            Contact,
            Statuses(
                queued=CRMProcessingStatus.Queued,
                processing=CRMProcessingStatus.Processing,
                complete=CRMProcessingStatus.Complete,
                error=CRMProcessingStatus.Error,
            ),
            status_field_name="hubspot_processing_status",
            error_field_name="hubspot_processing_error",
            decision_field_name="hubspot_sync_status",
            order_by=[asc(Contact.updated_at)],
            filters=filters,
            retry=RetryPolicy(
                max_retries=settings.HUBSPOT_SYNC_MAX_RETRIES,
                base_delay=delay,
                max_delay=max(delay, longest),
                exponential=settings.HUBSPOT_SYNC_RETRY_EXPONENTIAL,
            ),
            name=CONTACTS,
            pauses=queue_pauses,
        )

    def contact_loop(
        self,
        *,
        only: UUID | None = None,
        handler: BatchHandler | None = None,
        wake: asyncio.Event | None = None,
    ) -> JobLoop:
        """The loop over that queue; `only` one contact, `handler` in place of the push, `wake` looks at once."""
        queue = self.contact_queue() if only is None else self.contact_queue(Contact.id == only)
        return JobLoop(
            queue,
            batch(handler or self._push_contacts),
            session_factory=self.sessions,
            batch_size=self.settings.HUBSPOT_SYNC_SCHEDULER_BATCH_SIZE,
            concurrency=self.settings.HUBSPOT_SYNC_CONCURRENCY,
            grace_seconds=self.settings.WORKER_GRACE_SECONDS,
            poll_seconds=self.settings.WORKER_POLL_SECONDS,
            wake=wake,
            observers=self.observers,
        )

    def loops(self, wake_of: Callable[[JobQueue], asyncio.Event]) -> list[JobLoop]:
        """Every queue's loop, for a worker. Raises TokenMissingError for a queue whose service has no token."""
        require_token(self.settings)
        return [
            self.contact_loop(wake=wake_of(self.contact_queue())),
            self.pulls.loop(wake=wake_of(self.queues[PULLS])),
        ]

    async def _push_contacts(self, rows: list[Any]) -> Mapping[Any, Outcome]:
        return await self.contact_push.process_batch(rows)

    # -- the pull -------------------------------------------------------------------------------------------------

    @cached_property
    def pulls(self) -> Pulls:
        """The queue of pulls, and what works it."""
        return Pulls(self.settings, self.engine, self.sessions, self.clients, self.observers)

    @property
    def pull(self) -> PullService:
        """Pulls streams; a token is missed only when one is used."""
        return self.pulls.service

    # -- the scheduler --------------------------------------------------------------------------------------------

    def schedule(self, scheduler: IntervalScheduler) -> list[ScheduledLoop]:
        """Register every queue's job; a queue without a token, or a disabled scheduler, gets none, and the log says so.

        The jobs are to be stopped before the scheduler is shut down.
        """
        settings = self.settings
        if not settings.HUBSPOT_SYNC_SCHEDULER_ENABLED:
            logger.info("HUBSPOT_SYNC_SCHEDULER_ENABLED is false - HubSpot sync scheduler not started")
            return []
        token = settings.api_key(CONTACTS)
        loop = self.contact_loop()
        job = add_scheduler_job(
            scheduler,
            CONTACTS,
            loop.drain if settings.HUBSPOT_SYNC_SCHEDULER_DRAIN else loop.run_once,
            interval=timedelta(minutes=settings.HUBSPOT_SYNC_SCHEDULER_INTERVAL_MINUTES),
            batch_size=settings.HUBSPOT_SYNC_SCHEDULER_BATCH_SIZE,
            max_instances=settings.HUBSPOT_SYNC_SCHEDULER_MAX_INSTANCES,
            api_key=token.get_secret_value() if token else None,
            api_key_name="HUBSPOT_API_KEY",
            service="HubSpot",
        )
        return [*([job] if job else []), *self.pulls.schedule(scheduler)]


@asynccontextmanager
async def open_runtime(
    settings: Settings,
    *,
    observers: Sequence[Observer] = (),
    shares_limits: bool = True,
    announce: Callable[[str], None] = logger.warning,
) -> AsyncIterator[Runtime]:
    """A runtime on a database that answers and is at this release's schema.

    The embedded server's database is ours alone, so it is migrated here. A server named by DATABASE_URL may have
    other users and other rules for changes: it is only checked, and `crm-sync db upgrade` is left to its owner.
    `shares_limits` False counts calls in this process alone, and so writes nothing about them into the database.
    `announce` is told where the embedded server keeps its data, when that is not DATA_DIR. Raises DatabaseError.
    """
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(_database(settings, announce))
        runtime = Runtime(settings, url, observers=observers, shares_limits=shares_limits)
        stack.push_async_callback(runtime.aclose)
        if settings.DATABASE_URL is None:
            if await migrate.current(runtime.engine) != migrate.head():
                await migrate.upgrade(url)
        else:
            await check_database(runtime.engine)
            await migrate.require_head(runtime.engine)
        yield runtime


@asynccontextmanager
async def _database(settings: Settings, announce: Callable[[str], None]) -> AsyncIterator[URL]:
    """`open_database` without blocking the event loop while a server starts or stops."""
    database = open_database(settings, announce=announce)
    url = await asyncio.to_thread(database.__enter__)
    try:
        yield url
    finally:
        await asyncio.shield(asyncio.to_thread(database.__exit__, None, None, None))
