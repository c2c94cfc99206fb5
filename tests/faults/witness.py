"""What handlers record of their runs, for the oracle."""

from __future__ import annotations

import asyncio
import time
from typing import Any
from uuid import UUID, uuid4

import asyncpg

from tests.faults.jobs import BROKEN, connect

_RECORD_WITHIN_SECONDS = 60


class Witness:
    """Records starts and ends over its own autocommit connection, however long the server is away.

    So a start may be recorded long after its claim, when the lease is lost and the heir runs already.
    """

    def __init__(self, worker: str, url: str) -> None:
        self._worker, self._url = worker, url
        self._connection: asyncpg.Connection | None = None
        self._one_at_a_time = asyncio.Lock()

    async def started(self, *jobs: tuple[int, UUID, int]) -> list[UUID]:
        ids = [uuid4() for _ in jobs]
        numbers, tokens, revisions = zip(*jobs, strict=True)
        await self._record(
            "INSERT INTO effects (id, job_id, token, revision, worker) "
            "SELECT *, $5 FROM unnest($1::uuid[], $2::int[], $3::uuid[], $4::int[]) ON CONFLICT DO NOTHING",
            ids,
            numbers,
            tokens,
            revisions,
            self._worker,
        )
        return ids

    async def ended(self, ids: list[UUID], answers: list[str]) -> None:
        await self._record(
            "UPDATE effects SET ended = clock_timestamp(), answer = said.answer "
            "FROM unnest($1::uuid[], $2::text[]) said(id, answer) WHERE effects.id = said.id AND ended IS NULL",
            ids,
            answers,
        )

    async def close(self) -> None:
        if self._connection is not None:
            self._connection.terminate()

    async def _record(self, statement: str, *binds: Any) -> None:
        give_up_at = time.monotonic() + _RECORD_WITHIN_SECONDS
        async with self._one_at_a_time:
            while True:
                try:
                    if self._connection is None or self._connection.is_closed():
                        self._connection = await connect(self._url, who=f"{self._worker} oracle")
                    await self._connection.execute(statement, *binds)
                    return
                except (*BROKEN, asyncpg.PostgresError):
                    if time.monotonic() > give_up_at:
                        raise
                    self._connection = None
                    await asyncio.sleep(0.05)
