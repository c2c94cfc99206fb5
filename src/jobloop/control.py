"""Control: what an operator does to a queue, and what a worker does about its pause."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from jobloop import statements
from jobloop.errors import QueueDeclarationError
from jobloop.pause import PauseState
from jobloop.queue import JobQueue
from jobloop.store import Store

Where = sa.ColumnElement[bool]


class Control:
    """The operator's hand on one queue; each call is one short transaction. `where` narrows what it touches."""

    def __init__(self, queue: JobQueue, engine: AsyncEngine) -> None:
        self.queue = queue
        self._store = Store(queue, engine)

    async def requeue(self, *where: Where) -> list[Any]:
        """Rows in Error become fresh requests; returns their keys."""
        return await self._keys(statements.requeue(self.queue, *where))

    async def retry_now(self, *where: Where) -> list[Any]:
        """Waiting retries become due at once, counters kept; returns their keys."""
        return await self._keys(statements.retry_now(self.queue, *where))

    async def cancel(self, *where: Where, status: Any = None) -> list[Any]:
        """Queued rows leave the queue with another status of the user's, or null; returns their keys.

        A row that a worker holds at this moment is left alone.
        """
        return await self._keys(statements.cancel(self.queue, *where), {"status": status})

    async def adopt(
        self, *where: Where, older_than: timedelta | None = None, age_field_name: str | None = None
    ) -> list[Any]:
        """Rows that an older system left in Processing, without a lease, go back to the queue; returns their keys.

        `older_than` narrows it to rows whose `age_field_name` (None: `updated_at`) is that long ago. Raises
        `QueueDeclarationError` if the model has no such column, or one that is no timestamp.
        """
        if older_than is not None:
            where = (*where, statements.is_older(self._age_column(age_field_name), older_than))
        return await self._keys(statements.adopt(self.queue, *where))

    async def counts(self) -> Sequence[Any]:
        """See `statements.counts`."""
        return await self._store.run(statements.counts(self.queue), {})

    async def errors(self, most: int = 20) -> Sequence[Any]:
        """See `statements.errors`."""
        return await self._store.run(statements.errors(self.queue), {"most": most})

    # -- pausing --------------------------------------------------------------------------------------------------

    async def pause(
        self, reason: str, until: datetime | timedelta | None = None, *, paused_by: str = "operator"
    ) -> PauseState:
        """Stop every worker's claims; what runs, ends. `until`: probe then; None: until `resume`."""
        seconds = until.total_seconds() if isinstance(until, timedelta) else None
        moment = until if isinstance(until, datetime) else None
        (row,) = await self._store.run(
            statements.pause(self.queue, self._pauses),
            {"reason": reason, "paused_by": paused_by, "until": moment, "seconds": seconds},
        )
        return PauseState.of(row)

    async def resume(self, *, after_probe: bool = False) -> PauseState | None:
        """Let workers claim again; returns the pause that was lifted, None if there was none."""
        return self._one(
            await self._store.run(statements.resume(self.queue, self._pauses, after_probe=after_probe), {})
        )

    async def paused(self) -> PauseState | None:
        """The pause in force, None if the queue runs."""
        return self._one(await self._store.run(statements.paused(self.queue, self._pauses), {}))

    async def begin_probe(self) -> PauseState | None:
        """The pause, if it has come to its time and nobody else probes: the caller may claim one row."""
        lease_seconds = self.queue.lease.total_seconds()
        return self._one(
            await self._store.run(statements.probe(self.queue, self._pauses), {"lease_seconds": lease_seconds})
        )

    async def end_probe(self) -> None:
        """There was no row to probe with."""
        await self._store.run(statements.end_probe(self.queue, self._pauses), {})

    def _age_column(self, name: str | None) -> sa.Column[Any]:
        try:
            column = self.queue.column_named(name or "updated_at")
        except QueueDeclarationError as exc:
            raise QueueDeclarationError(f"{exc} to tell the age of a row by: name one with age_field_name") from None
        if not isinstance(column.type, sa.DateTime):
            raise QueueDeclarationError(f"{column.name!r} is {column.type}, the age of a row needs a timestamp")
        return column

    @property
    def _pauses(self) -> sa.Table:
        if self.queue.pauses is None:
            raise QueueDeclarationError(
                f"queue {self.queue.name} cannot be paused: declare it with pauses=pauses_table(Base.metadata)"
            )
        return self.queue.pauses

    async def _keys(self, statement: sa.Executable, binds: dict[str, Any] | None = None) -> list[Any]:
        return [self.queue.key_of(row) for row in await self._store.run(statement, binds or {})]

    @staticmethod
    def _one(rows: Sequence[Any]) -> PauseState | None:
        return PauseState.of(rows[0]) if rows else None
