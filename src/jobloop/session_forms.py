"""The forms of a handler with a session: what it writes there commits together with the settle, or not at all."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from jobloop.claim import Claim
from jobloop.entity import attach
from jobloop.forms import Desk, answers_of, fail_all, of_one_claim, read
from jobloop.interrupt import to_the_end
from jobloop.outcome import Outcome
from jobloop.refusal import blames_data, is_transient

log = logging.getLogger("jobloop")

SessionFunction = Callable[[Any, AsyncSession], Awaitable[Outcome | None]]
BatchSessionFunction = Callable[[list[Any], AsyncSession], Awaitable[Mapping[Any, Outcome | None]]]

#: How often a batch is handled that meets a deadlock or the like each time.
_TRANSIENT_TRIES = 4


@dataclass(frozen=True, slots=True)
class InSession:
    """`fn(row_id, session)` for each row; with `takes_row`, `fn(row, session)`.

    An outcome that is returned commits the handler's writes with it; an exception rolls them back. A handler that
    sets the status itself and commits keeps its word. What it rolls back itself is gone, and the row is settled as it
    answers. It must leave its own row there, under its key: a settle that does not find it undoes what was written.
    """

    fn: SessionFunction
    default_concurrency: int = 1
    entities: bool = False
    takes_row: bool = False

    def next_share(self, waiting: deque[Claim]) -> list[Claim]:
        return [waiting.popleft()]

    async def run(self, share: list[Claim], desk: Desk) -> None:
        (claim,) = share
        try:
            session = desk.open_session()
            try:
                subject = self._row(claim, session) if self.takes_row else claim.key
                answer = await self.fn(subject, session)
                await to_the_end(desk.settle_in(session, [(claim, answer)]))
            except BaseException:
                await _close(session)
                raise
        except Exception as exc:
            log.debug("handler failed on %s", claim.key, exc_info=exc)
            desk.settle(claim, exc)

    def _row(self, claim: Claim, session: AsyncSession) -> Any:
        row = claim.read(claim.record)
        if self.entities:
            attach([row], session)  # so that what the handler sets on it is written too
        return row


@dataclass(frozen=True, slots=True)
class BatchInSession:
    """`fn(rows, session)` for all rows of a claim: what it writes and all their settles are one transaction.

    A deadlock is tried again. Where the database refuses the data of a row, nothing is committed, and the rows are read
    and handled again in halves until the one to blame is alone: what a handler does outside the database it then does
    again. Any other exception is every row's failure.
    """

    fn: BatchSessionFunction
    default_concurrency: int = 1
    entities: bool = False

    def next_share(self, waiting: deque[Claim]) -> list[Claim]:
        return of_one_claim(waiting)

    async def run(self, share: list[Claim], desk: Desk) -> None:
        await self._run(share, desk, _TRANSIENT_TRIES)

    async def _run(self, share: list[Claim], desk: Desk, tries: int) -> None:
        share, rows = await read(share, desk)
        if not share:
            return
        try:
            await self._commit(share, rows, desk)
        except Exception as exc:
            middle = len(share) // 2
            if is_transient(exc) and tries > 1:
                await asyncio.sleep(random.uniform(0, 0.1))
                await self._again(share, desk, tries - 1)
            elif middle and blames_data(exc):
                await self._again(share[:middle], desk, tries)
                await self._again(share[middle:], desk, tries)
            else:
                fail_all(share, exc, desk)

    async def _again(self, share: list[Claim], desk: Desk, tries: int) -> None:
        """Handle rows as they are now: not as an attempt left them that was undone, nor those of another worker."""
        try:
            held = await desk.reread(share)
        except Exception as exc:
            fail_all(share, exc, desk)
            return
        if held:
            await self._run(held, desk, tries)

    async def _commit(self, share: list[Claim], rows: list[Any], desk: Desk) -> None:
        session = desk.open_session()
        try:
            if self.entities:
                attach(rows, session)
            answers = answers_of(share, await self.fn(rows, session))
            await to_the_end(desk.settle_in(session, answers))
        except BaseException:
            await _close(session)
            raise


async def _close(session: AsyncSession) -> None:
    """Roll back and give the connection back; what fails at that is not what the row failed of."""
    try:
        await to_the_end(session.close())
    except Exception as exc:
        log.debug("a session could not be closed", exc_info=exc)
