"""LiveReport: a run's report in its row while it runs, at most once a second, whatever the database does about it."""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Final, Self
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from crm_sync.models import SyncRun
from crm_sync.pull.report import StreamReport
from crm_sync.pull.runs.outcome import sentence
from jobloop.outcome import storable

logger = logging.getLogger(__name__)

EVERY_SECONDS: Final = 1.0
#: How long a row that somebody holds locked, or a slow server, may keep one writing.
_PATIENCE_SECONDS: Final = 2.0


class LiveReport:
    """Marks the run as started when entered, and writes what it is shown; the last of it before it is left.

    Only the attempt whose token is the row's writes there: a run that lost its row changes nothing.
    """

    def __init__(self, engine: AsyncEngine, run_id: int, claim_token: UUID, report: StreamReport) -> None:
        self.report = report
        self._engine = engine
        self._is_ours = (SyncRun.id == run_id, SyncRun.claim_token == claim_token)
        self._is_new = asyncio.Event()
        self._writer: asyncio.Task[None] | None = None
        self._has_failed = False
        self._started_at: datetime | None = None
        self._began_at = time.monotonic()

    async def __aenter__(self) -> Self:
        started: dict[str, Any] = {"started_at": sa.func.clock_timestamp(), "finished_at": None, "report": {}}
        self._started_at = await self._write(**started)
        self._writer = asyncio.create_task(self._keep_writing(), name=f"report of {self.report.stream}")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is not None:
            self._writer.cancel()
            await asyncio.gather(self._writer, return_exceptions=True)
        if self._has_failed or kind is not None:  # one that went well writes its report with its status
            await self._write(report=self.as_json(), finished_at=sa.func.clock_timestamp())

    @property
    def now(self) -> datetime:
        """By the database's clock, as far as it is known."""
        if self._started_at is None:
            return datetime.now(UTC)
        return self._started_at + timedelta(seconds=time.monotonic() - self._began_at)

    def as_json(self) -> dict[str, Any]:
        """The report as PostgreSQL takes it: HubSpot's words may hold what its JSON cannot."""
        return {**self.report.as_json(), "notes": [storable(note) for note in self.report.notes]}

    def show(self, report: StreamReport) -> None:
        """Never waits."""
        self.report = report
        self._is_new.set()

    def failed(self, exc: Exception) -> None:
        """The run ended with `exc`."""
        self._has_failed = True
        self.report.error = storable(sentence(exc))

    async def _keep_writing(self) -> None:
        while True:
            await self._is_new.wait()
            self._is_new.clear()
            await self._write(report=self.as_json())
            await asyncio.sleep(EVERY_SECONDS)

    async def _write(self, **values: Any) -> datetime | None:
        """A database that is away costs the display and not the pull, which finds out by itself."""
        statement = sa.update(SyncRun).where(*self._is_ours).values(**values).returning(SyncRun.started_at)
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS), self._engine.begin() as connection:
                found: datetime | None = await connection.scalar(statement)
                return found
        except (sa.exc.SQLAlchemyError, OSError, TimeoutError) as exc:
            logger.info("the report of a run of %s is not written: %s", self.report.stream, exc)
            return None
