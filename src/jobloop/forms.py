"""The forms of a handler without a session: one row a call, or all rows of a claim.

A form turns an answer or an exception into outcomes and hands them to the desk; it decides nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy.ext.asyncio import AsyncSession

from jobloop.claim import Claim
from jobloop.errors import InvalidOutcome
from jobloop.outcome import Outcome, Retry

log = logging.getLogger("jobloop")

#: So many rows are read in one go.
_PORTION_ROWS = 50

Answer = Outcome | BaseException | None
EachFunction = Callable[[Any], Awaitable[Outcome | None]]
BatchFunction = Callable[[list[Any]], Awaitable[Mapping[Any, Outcome | None]]]


class Desk(Protocol):
    """Where a form hands in its answers."""

    def settle(self, claim: Claim, answer: Answer) -> None:
        """Write this answer soon, together with others."""

    async def reread(self, share: list[Claim]) -> list[Claim]:
        """Give these claims their rows as they are now; returns those that are still ours, and settles the others."""

    async def settle_in(self, session: AsyncSession, answers: Sequence[tuple[Claim, Answer]]) -> None:
        """Write these answers in `session` and commit, or roll back if a claim was lost; then close the session.

        Where the handler left no transaction open, `settle` them.
        """

    def open_session(self) -> AsyncSession:
        """A session of the handler's own."""


class Handler(Protocol):
    """What the workers run: shares of the waiting rows, one call a share."""

    @property
    def default_concurrency(self) -> int:
        """Calls at once when the loop is not told."""

    @property
    def entities(self) -> bool:
        """Whether rows are instances of the model."""

    def next_share(self, waiting: deque[Claim]) -> list[Claim]:
        """Take from the left what the next call is for; something waits."""

    async def run(self, share: list[Claim], desk: Desk) -> None:
        """Process one share. Every claim of it is handed to the desk, unless this is cancelled."""


@dataclass(frozen=True, slots=True)
class Each:
    """`fn(row)` for each row; up to `concurrency` calls at once."""

    fn: EachFunction
    default_concurrency: int = 10
    entities: bool = False

    def next_share(self, waiting: deque[Claim]) -> list[Claim]:
        return [waiting.popleft()]

    async def run(self, share: list[Claim], desk: Desk) -> None:
        (claim,) = share
        answer: Answer
        try:
            answer = await self.fn(claim.read(claim.record))
        except Exception as exc:
            log.debug("handler failed on %s", claim.key, exc_info=exc)
            answer = exc
        desk.settle(claim, answer)


@dataclass(frozen=True, slots=True)
class Batch:
    """`fn(rows)` for all rows of a claim; a row that is missing from its answer failed."""

    fn: BatchFunction
    default_concurrency: int = 1
    entities: bool = False

    def next_share(self, waiting: deque[Claim]) -> list[Claim]:
        return of_one_claim(waiting)

    async def run(self, share: list[Claim], desk: Desk) -> None:
        share, rows = await read(share, desk)
        if not share:
            return
        try:
            answers = answers_of(share, await self.fn(rows))
        except Exception as exc:
            fail_all(share, exc, desk)
            return
        for claim, answer in answers:
            desk.settle(claim, answer)


def of_one_claim(waiting: deque[Claim]) -> list[Claim]:
    token = waiting[0].token
    share = []
    while waiting and waiting[0].token is token:
        share.append(waiting.popleft())
    return share


async def read(share: list[Claim], desk: Desk) -> tuple[list[Claim], list[Any]]:
    """(claims, their rows); a row that cannot be read fails by itself.

    Between two portions the loop takes in what came, and the server has its next claim.
    """
    claims: list[Claim] = []
    rows: list[Any] = []
    for first in range(0, len(share), _PORTION_ROWS):
        if first:
            await asyncio.sleep(0)
        for claim in share[first : first + _PORTION_ROWS]:
            try:
                row = claim.read(claim.record)
            except Exception as exc:
                log.debug("row %s cannot be read", claim.key, exc_info=exc)
                desk.settle(claim, exc)
            else:
                claims.append(claim)
                rows.append(row)
    return claims, rows


def fail_all(share: list[Claim], exc: Exception, desk: Desk) -> None:
    log.debug("batch handler failed on %d rows", len(share), exc_info=exc)
    for claim in share:
        desk.settle(claim, exc)


def answers_of(share: list[Claim], said: Any) -> list[tuple[Claim, Answer]]:
    """Each row's own of what a batch handler answered. Raises `InvalidOutcome` for no mapping, or one by other keys."""
    if not isinstance(said, Mapping):
        raise InvalidOutcome(f"a batch handler answered {type(said).__name__}; it must return {{primary key: outcome}}")
    if said and said.keys().isdisjoint([claim.key for claim in share]):
        raise InvalidOutcome(f"a batch handler answered for {next(iter(said))!r}, which is no primary key of its rows")
    missing = Retry("the batch handler gave no outcome for this row")
    return [(claim, said.get(claim.key, missing)) for claim in share]
