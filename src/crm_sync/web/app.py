"""The web application: a database, a scheduler and endpoints over both, from start to stop.

start   database (the embedded one is migrated, another only checked) → scheduler → the first cycle at once
stop    no new cycle, the running one ends → scheduler → connections → the embedded server
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC
from importlib.metadata import version

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from crm_sync.runtime import open_runtime
from crm_sync.settings import Settings, load_settings
from crm_sync.web.api import health, metrics, queues
from crm_sync.web.problems import add_problem_handlers
from crm_sync.web.room import LastCycles, Room
from jobloop.metrics import OpenTelemetryObserver, PrometheusObserver

#: How long a running cycle may take to end at a stop; then it is cancelled and its rows go back to the queue.
STOP_GRACE_SECONDS = 30.0


def create_app(settings: Settings | None = None) -> FastAPI:
    """A new application; nothing is opened before its lifespan starts. None reads the environment and `.env`."""
    chosen = settings or load_settings()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        registry, last_cycles = CollectorRegistry(), LastCycles()
        observers = (PrometheusObserver(registry), OpenTelemetryObserver(), last_cycles)
        async with open_runtime(chosen, observers=observers) as runtime:
            room = Room(runtime, AsyncIOScheduler(timezone=UTC), registry, last_cycles)
            metrics.register(room)
            room.jobs = runtime.schedule(room.scheduler)
            app.state.room = room
            room.scheduler.start()
            try:
                yield
            finally:
                await asyncio.gather(*(job.stop(STOP_GRACE_SECONDS) for job in room.jobs))
                room.scheduler.shutdown(wait=False)

    # FastAPI's own pages of documentation load their scripts from elsewhere; /openapi.json is the description.
    app = FastAPI(
        title="crm-sync",
        version=version("jobloop"),
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    add_problem_handlers(app)
    for routes in (health, metrics, queues):
        app.include_router(routes.router)
    return app
