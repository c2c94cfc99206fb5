"""What an operator asks of a queue and does to it; the commands and the web show the same answers."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from crm_sync.database import database_errors
from jobloop import JobQueue, statements
from jobloop.pause import PauseState
from jobloop.status import Role


@dataclass(frozen=True, slots=True)
class QueueStatus:
    """Counts of rows at one moment.

    waiting            Queued, but a retry whose time has not come
    expired            Processing, but the worker is gone: the next cycle rescues them
    oldest_due_at      since when the longest waiting due row is due; None when nothing is due
    pause              why nothing is claimed now; None when the queue runs
    """

    queue: str
    queued: int = 0
    waiting: int = 0
    processing: int = 0
    expired: int = 0
    complete: int = 0
    error: int = 0
    oldest_due_at: datetime | None = None
    pause: PauseState | None = None

    @property
    def due(self) -> int:
        return self.queued - self.waiting

    @property
    def oldest_due_seconds(self) -> float | None:
        if self.oldest_due_at is None or self.due == 0:
            return None
        return max((datetime.now(UTC) - self.oldest_due_at).total_seconds(), 0.0)

    def as_dict(self) -> dict[str, Any]:
        names = ("queued", "waiting", "processing", "expired", "complete", "error")
        age = self.oldest_due_seconds
        return {
            "queue": self.queue,
            "due": self.due,
            **{name: getattr(self, name) for name in names},
            "oldest_due_at": self.oldest_due_at.isoformat() if self.oldest_due_at and self.due else None,
            "oldest_due_seconds": None if age is None else round(age, 1),
            "paused": self.pause.as_dict() if self.pause else None,
        }


#: What differs between two errors of the same kind: addresses, ids, long numbers.
_PARTICULARS = re.compile(
    r"[^\s\"'<>()]+@[^\s\"'<>()]*[\w.]|\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b|\b\d{5,}\b"
)
_MOST_TEXTS = 5_000


@dataclass(frozen=True, slots=True)
class ErrorGroup:
    """Rows with the same error. Texts that differ in addresses, ids and long numbers only are one, with "…" for those.

    `state` is "error", or "waiting" for rows that will be tried again; `examples` are up to three ids.
    """

    state: str
    error: str
    rows: int
    examples: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        return {"state": self.state, "error": self.error, "rows": self.rows, "examples": list(self.examples)}


async def queue_status(engine: AsyncEngine, queue: JobQueue) -> QueueStatus:
    """Raises DatabaseUnavailableError."""
    async with database_errors(engine.url), engine.connect() as connection:
        by_role = {row.role: row for row in await connection.execute(statements.counts(queue))}
        paused = await connection.execute(statements.paused(queue, queue.pauses)) if queue.pauses is not None else ()
        pauses = [PauseState.of(row) for row in paused]
    numbers = {role.value: by_role[role.value].rows for role in Role if role.value in by_role}
    queued, processing = by_role.get(Role.QUEUED.value), by_role.get(Role.PROCESSING.value)
    return QueueStatus(
        queue.name,
        **numbers,
        waiting=queued.waiting if queued else 0,
        expired=processing.expired if processing else 0,
        oldest_due_at=queued.oldest_due_at if queued else None,
        pause=pauses[0] if pauses else None,
    )


async def queue_errors(engine: AsyncEngine, queue: JobQueue, most: int = 20) -> list[ErrorGroup]:
    """The commonest first."""
    groups: dict[tuple[str, str], ErrorGroup] = {}
    async with database_errors(engine.url), engine.connect() as connection:
        for row in await connection.execute(statements.errors(queue), {"most": _MOST_TEXTS}):
            state, kind = "error" if row.role == Role.ERROR.value else "waiting", _PARTICULARS.sub("…", row.error)
            seen = groups.get((state, kind))
            groups[state, kind] = (
                replace(seen, error=kind, rows=seen.rows + row.rows, examples=(*seen.examples, *row.examples)[:3])
                if seen
                else ErrorGroup(state, row.error, row.rows, tuple(row.examples))
            )
    return sorted(groups.values(), key=lambda group: (-group.rows, group.error))[:most]


async def requeue(engine: AsyncEngine, queue: JobQueue, where: Sequence[sa.ColumnElement[bool]] = ()) -> int:
    """Rows in Error become fresh requests, with a new budget of retries; returns how many."""
    return await _change(engine, statements.requeue(queue, *where))


async def retry_now(engine: AsyncEngine, queue: JobQueue, where: Sequence[sa.ColumnElement[bool]] = ()) -> int:
    """Retries that wait for their time are due at once; returns how many."""
    return await _change(engine, statements.retry_now(queue, *where))


def with_error_like(queue: JobQueue, pattern: str) -> sa.ColumnElement[bool]:
    """Rows whose error has `pattern` in it, whatever the case; `%` and `_` are SQL's wildcards."""
    return queue.columns.error.ilike(f"%{pattern}%")


async def _change(engine: AsyncEngine, statement: sa.UpdateBase) -> int:
    async with database_errors(engine.url), engine.begin() as connection:
        return len((await connection.execute(statement)).all())
