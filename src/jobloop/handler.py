"""The forms of a handler, told apart by their wrapper.

    fn(row_id, session)   one row with its own session: the handler's writes and the settle commit together
    each(fn)              fn(row): one row, no session, no connection held while it runs
    batch(fn)             fn(rows): many rows in one call, answered with {primary key: outcome}
                          batch(fn, session=True): fn(rows, session), their writes and settles in one transaction

`each` and `batch` hand out light rows (`jobloop.row`) or, with `entities=True`, instances of the model.

A form turns an answer or an exception into outcomes and hands them to the desk; it decides nothing.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, overload

from sqlalchemy.ext.asyncio import AsyncSession

from jobloop.claim import Claim
from jobloop.errors import InvalidOutcome, QueueDeclarationError
from jobloop.interrupt import to_the_end
from jobloop.outcome import Outcome, Retry
from jobloop.refusal import blames_data, is_transient
from jobloop.threaded import is_async, name_of

log = logging.getLogger("jobloop")

Answer = Outcome | BaseException | None
EachFunction = Callable[[Any], Awaitable[Outcome | None]]
BatchFunction = Callable[[list[Any]], Awaitable[Mapping[Any, Outcome | None]]]
SessionFunction = Callable[[Any, AsyncSession], Awaitable[Outcome | None]]
BatchSessionFunction = Callable[[list[Any], AsyncSession], Awaitable[Mapping[Any, Outcome | None]]]


#: How often a batch is handled that meets a deadlock or the like each time.
_TRANSIENT_TRIES = 4


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
        return _of_one_claim(waiting)

    async def run(self, share: list[Claim], desk: Desk) -> None:
        try:
            answers = _answers(share, await self.fn([claim.read(claim.record) for claim in share]))
        except Exception as exc:
            _fail(share, exc, desk)
            return
        for claim, answer in answers:
            desk.settle(claim, answer)


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
        return _of_one_claim(waiting)

    async def run(self, share: list[Claim], desk: Desk) -> None:
        await self._run(share, desk, _TRANSIENT_TRIES)

    async def _run(self, share: list[Claim], desk: Desk, tries: int) -> None:
        try:
            await self._commit(share, desk)
        except Exception as exc:
            middle = len(share) // 2
            if is_transient(exc) and tries > 1:
                await asyncio.sleep(random.uniform(0, 0.1))
                await self._again(share, desk, tries - 1)
            elif middle and blames_data(exc):
                await self._again(share[:middle], desk, tries)
                await self._again(share[middle:], desk, tries)
            else:
                _fail(share, exc, desk)

    async def _again(self, share: list[Claim], desk: Desk, tries: int) -> None:
        """Handle rows as they are now: not as an attempt left them that was undone, nor those of another worker."""
        try:
            held = await desk.reread(share)
        except Exception as exc:
            _fail(share, exc, desk)
            return
        if held:
            await self._run(held, desk, tries)

    async def _commit(self, share: list[Claim], desk: Desk) -> None:
        session = desk.open_session()
        try:
            answers = _answers(share, await self.fn([claim.read(claim.record) for claim in share], session))
            await to_the_end(desk.settle_in(session, answers))
        except BaseException:
            await to_the_end(session.close())
            raise


@dataclass(frozen=True, slots=True)
class InSession:
    """`fn(row_id, session)` for each row.

    An outcome that is returned commits the handler's writes with it; an exception rolls them back. A handler that
    sets the status itself and commits keeps its word.
    """

    fn: SessionFunction
    default_concurrency: int = 1
    entities: bool = False

    def next_share(self, waiting: deque[Claim]) -> list[Claim]:
        return [waiting.popleft()]

    async def run(self, share: list[Claim], desk: Desk) -> None:
        (claim,) = share
        try:
            session = desk.open_session()
            try:
                answer = await self.fn(claim.key, session)
                await to_the_end(desk.settle_in(session, [(claim, answer)]))
            except BaseException:
                await to_the_end(session.close())
                raise
        except Exception as exc:
            log.debug("handler failed on %s", claim.key, exc_info=exc)
            desk.settle(claim, exc)


def _of_one_claim(waiting: deque[Claim]) -> list[Claim]:
    token = waiting[0].token
    share = []
    while waiting and waiting[0].token is token:
        share.append(waiting.popleft())
    return share


def _fail(share: list[Claim], exc: Exception, desk: Desk) -> None:
    log.debug("batch handler failed on %d rows", len(share), exc_info=exc)
    for claim in share:
        desk.settle(claim, exc)


def _answers(share: list[Claim], said: Any) -> list[tuple[Claim, Answer]]:
    """Each row's own of what a batch handler answered. Raises `InvalidOutcome` for no mapping, or one by other keys."""
    if not isinstance(said, Mapping):
        raise InvalidOutcome(f"a batch handler answered {type(said).__name__}; it must return {{primary key: outcome}}")
    if said and said.keys().isdisjoint([claim.key for claim in share]):
        raise InvalidOutcome(f"a batch handler answered for {next(iter(said))!r}, which is no primary key of its rows")
    missing = Retry("the batch handler gave no outcome for this row")
    return [(claim, said.get(claim.key, missing)) for claim in share]


def each(fn: EachFunction, *, entities: bool = False) -> Each:
    """Wrap `fn(row) -> Outcome | None`: one row a call, no session, no connection held.

    `entities`: a row is an instance of the model, detached, with the queue's `columns` loaded. Its relationships are
    not: touching one raises `DetachedInstanceError`. Otherwise it is a light row, which is cheaper: see `jobloop.row`.
    """
    return Each(_awaitable(fn, "each"), entities=entities)


@overload
def batch(fn: BatchFunction, *, entities: bool = False) -> Batch: ...
@overload
def batch(fn: BatchSessionFunction, *, entities: bool = False, session: Literal[True]) -> BatchInSession: ...
def batch(fn: Any, *, entities: bool = False, session: bool = False) -> Batch | BatchInSession:
    """Wrap `fn(rows) -> {primary key: Outcome}`: all rows of a claim in one call. `entities` as for `each`.

    `session`: wrap `fn(rows, session)` instead. What it writes and the settles of all its rows commit together, or not
    at all, at a fraction of what a transaction for each row costs. That is so for rows that are answered with Retry or
    Fail as well: to undo what was written, raise. See `BatchInSession` for what the database refuses.
    """
    if session:
        return BatchInSession(_awaitable(fn), entities=entities)
    return Batch(_awaitable(fn, "batch"), entities=entities)


Form = Each | Batch | InSession | BatchInSession


def handler_of(processing_function: Form | SessionFunction) -> Form:
    """The form of a processing function; a bare function has the form `fn(row_id, session)`."""
    if isinstance(processing_function, Form):
        return processing_function
    return InSession(_awaitable(processing_function))


def _awaitable(fn: Any, form: str | None = None) -> Any:
    """`fn`, if it is async; raises `QueueDeclarationError` for a plain function, which would block the event loop."""
    if not is_async(fn):
        name = name_of(fn)
        hint = f"wrap a blocking one: {form}(threaded({name}))" if form else "its session cannot be used in a thread"
        raise QueueDeclarationError(f"handler {name} must be async; {hint}")
    return fn
