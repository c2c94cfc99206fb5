"""RunRows: the rows of `sync_runs` as whoever asks for runs, follows them and looks at them needs them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.orm import aliased

from crm_sync.models import SyncRun, SyncRunStatus
from crm_sync.pull.wish import BATCH_SIZE, Wish

logger = logging.getLogger(__name__)

#: How long a run that a command asked for is the command's alone; it claims it in the next moment.
RESERVED: Final = timedelta(seconds=30)

#: How many of the oldest rows are looked at in one step when old ones are deleted, and how many steps are taken.
_PORTION: Final = 1000
_PORTIONS: Final = 10

_TABLE = SyncRun.__table__
_NOW = sa.func.clock_timestamp()


@dataclass(frozen=True, slots=True)
class RunRow:
    """A row of `sync_runs`. `status` None: cancelled. `seconds` is how long the last attempt took, or takes."""

    id: int
    stream: str
    wants: str
    status: SyncRunStatus | None
    error: str | None
    next_retry_at: datetime | None
    report: dict[str, Any]
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    seconds: float | None

    @property
    def is_over(self) -> bool:
        return self.status in (None, SyncRunStatus.Complete, SyncRunStatus.Error)

    @property
    def standing(self) -> str:
        """For people: Queued (and until when it waits), Processing, Complete, Error or Cancelled."""
        if self.status is SyncRunStatus.Queued and self.next_retry_at is not None:
            return f"Queued, {self.next_retry_at:%m-%d %H:%M}"
        return "Cancelled" if self.status is None else self.status.value

    @property
    def why(self) -> str | None:
        """What the last attempt ended with, if it did not end well."""
        return self.error or self.report.get("error")

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "run": self.id,
            "stream": self.stream,
            "wants": self.wants,
            "status": "Cancelled" if self.status is None else self.status.value,
            "error": self.why,
            "seconds": self.seconds,
            **{
                name: at.isoformat() if at else None
                for name, at in (
                    ("created_at", self.created_at),
                    ("started_at", self.started_at),
                    ("finished_at", self.finished_at),
                    ("next_retry_at", self.next_retry_at),
                )
            },
            "report": self.report,
        }


class RunRows:
    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def reserve(self, stream: str, wish: Wish) -> int:
        """The id of a fresh run for the caller alone; one for the same that waits for its time is taken instead."""
        values = _asked(stream, wish)
        until = _NOW + sa.literal(RESERVED, sa.Interval())
        waiting = (
            sa.select(SyncRun.id)
            .where(
                SyncRun.status == SyncRunStatus.Queued,
                SyncRun.claim_token.is_(None),
                *(_TABLE.c[name].is_not_distinct_from(value) for name, value in values.items()),
            )
            .order_by(SyncRun.id)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        async with self._engine.begin() as connection:
            taken = await connection.scalar(waiting)
            if taken is None:
                statement: Any = sa.insert(SyncRun).values(**values, reserved_until=until).returning(SyncRun.id)
            else:
                fresh = {"next_retry_at": None, "reserved_until": until}
                statement = sa.update(SyncRun).where(SyncRun.id == taken).values(fresh).returning(SyncRun.id)
            return int((await connection.execute(statement)).scalar_one())

    async def hurry(self, run_id: int) -> None:
        """A run that waits is due now."""
        await self._change(run_id, {"next_retry_at": _NOW}, SyncRunStatus.Queued)

    async def enqueue(self, streams: Sequence[str]) -> list[str]:
        """Queue a run of each stream that has none waiting or under way; returns those that got one."""
        wanted = sa.func.unnest(sa.literal(list(streams), sa.ARRAY(sa.Text))).table_valued("stream").render_derived()
        pending = sa.exists().where(
            SyncRun.stream == wanted.c.stream, SyncRun.status.in_((SyncRunStatus.Queued, SyncRunStatus.Processing))
        )
        rows = sa.select(wanted.c.stream).where(~pending)
        statement = sa.insert(SyncRun).from_select(["stream"], rows).returning(SyncRun.stream)
        async with self._engine.begin() as connection:
            # two schedulers that look at the same moment would both find none
            await connection.execute(sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtext("sync_runs"))))
            return list((await connection.scalars(statement)).all())

    async def cancel(self, run_id: int) -> bool:
        """End a run that waits or runs; whoever works on it is to stop by itself. False: it had ended."""
        ended = {"status": None, "next_retry_at": None, "finished_at": _NOW}
        return await self._change(run_id, ended, SyncRunStatus.Queued, SyncRunStatus.Processing)

    async def forget(self, after: timedelta) -> int:
        """Delete runs that ended so long ago, the oldest first and not endlessly many; returns how many.

        Of each stream the last run stays, and the last one that went well. A role that may not delete keeps them all.
        """
        forgotten = portion = 0
        for _ in range(_PORTIONS):
            try:
                async with self._engine.begin() as connection:
                    portion = (await connection.execute(_forget(after))).rowcount
            except ProgrammingError as exc:
                logger.warning("old runs are not deleted: %s", exc.orig)
                break
            forgotten += portion
            if not portion:
                break
        return forgotten

    async def under_way(self, stream: str) -> RunRow | None:
        """The run that a worker has of the stream now."""
        is_it = (SyncRun.stream == stream, SyncRun.status == SyncRunStatus.Processing)
        rows = await self._select(_rows().where(*is_it).order_by(SyncRun.id).limit(1))
        return rows[0] if rows else None

    async def read(self, run_id: int) -> RunRow | None:
        rows = await self._select(_rows().where(SyncRun.id == run_id))
        return rows[0] if rows else None

    async def latest(self, most: int, streams: Sequence[str] = ()) -> list[RunRow]:
        """The newest first, of these streams or of all."""
        statement = _rows().order_by(SyncRun.id.desc()).limit(most)
        return await self._select(statement.where(SyncRun.stream.in_(streams)) if streams else statement)

    async def _change(self, run_id: int, values: dict[str, Any], *standing: SyncRunStatus) -> bool:
        statement = sa.update(SyncRun).where(SyncRun.id == run_id, SyncRun.status.in_(standing)).values(values)
        async with self._engine.begin() as connection:
            return bool((await connection.execute(statement)).rowcount)

    async def _select(self, statement: sa.Select[Any]) -> list[RunRow]:
        async with self._engine.connect() as connection:
            return [RunRow(**row) for row in (await connection.execute(statement)).mappings()]


def _forget(after: timedelta) -> sa.Delete:
    """Only the oldest rows are looked at: those that stay are few, whatever the length of the history."""
    oldest = sa.select(SyncRun.id).order_by(SyncRun.id).limit(_PORTION)
    later = aliased(SyncRun)
    has_later = sa.exists().where(later.stream == SyncRun.stream, later.id > SyncRun.id)
    old = (
        sa.select(SyncRun.id)
        .where(
            SyncRun.id.in_(oldest),
            SyncRun.claim_token.is_(None),
            sa.func.greatest(SyncRun.created_at, SyncRun.started_at, SyncRun.finished_at)
            < _NOW - sa.literal(after, sa.Interval()),
            sa.or_(
                sa.and_(
                    sa.or_(SyncRun.status.is_(None), SyncRun.status == SyncRunStatus.Error),
                    has_later,
                ),
                sa.and_(
                    SyncRun.status == SyncRunStatus.Complete,
                    has_later.where(later.status == SyncRunStatus.Complete),
                ),
            ),
        )
        .with_for_update(skip_locked=True)
    )
    return sa.delete(SyncRun).where(SyncRun.id.in_(old))


def _rows() -> sa.Select[Any]:
    names = [name for name in RunRow.__slots__ if name != "seconds"]
    ended_at = sa.func.coalesce(
        SyncRun.finished_at, sa.case((SyncRun.status == SyncRunStatus.Processing, _NOW), else_=SyncRun.started_at)
    )
    seconds = sa.cast(sa.extract("epoch", ended_at - SyncRun.started_at), sa.Float)
    return sa.select(*(_TABLE.c[name] for name in names), seconds.label("seconds"))


def _asked(stream: str, wish: Wish) -> dict[str, Any]:
    """The wish as columns; its parts that are the default as a plain INSERT leaves them."""
    return {
        "stream": stream,
        "wants": wish.wants.value,
        "since": wish.since,
        "batch_size": None if wish.batch_size == BATCH_SIZE else wish.batch_size,
        "catch_up": wish.catch_up,
        "targets": None if wish.targets is None else list(wish.targets),
    }
