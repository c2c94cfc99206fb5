"""The three forms of a handler, told apart by their wrapper.

    fn(row_id, session)   one row with its own session: the handler's writes and the settle commit together
    each(fn)              fn(row): one row, no session, no connection held while it runs
    batch(fn)             fn(rows): many rows in one call, answered with {primary key: outcome}

`each` and `batch` hand out light rows (`jobloop.row`) or, with `entities=True`, instances of the model.

A form turns an answer or an exception into outcomes and hands them to the desk; it decides nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial, wraps
from inspect import iscoroutinefunction
from typing import Any, Protocol, TypeVar

from sqlalchemy.ext.asyncio import AsyncSession

from jobloop.claim import Claim
from jobloop.errors import InvalidOutcome, QueueDeclarationError
from jobloop.interrupt import to_the_end
from jobloop.outcome import Outcome, Retry

log = logging.getLogger("jobloop")

Answer = Outcome | BaseException | None
EachFunction = Callable[[Any], Awaitable[Outcome | None]]
BatchFunction = Callable[[list[Any]], Awaitable[Mapping[Any, Outcome | None]]]
T = TypeVar("T")
SessionFunction = Callable[[Any, AsyncSession], Awaitable[Outcome | None]]


#: Threads are made when they are needed, so this is only the most: the loop's concurrency is the real bound.
_MOST_THREADS = 1000


class Desk(Protocol):
    """Where a form hands in its answers."""

    def settle(self, claim: Claim, answer: Answer) -> None:
        """Write this answer soon, together with others."""

    async def settle_in(self, session: AsyncSession, claim: Claim, answer: Answer) -> None:
        """Write this answer in `session` and commit, or roll back if the claim was lost; then close the session.

        Where the handler left no transaction open, `settle` it.
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
        token = waiting[0].token  # that of one claim
        share = []
        while waiting and waiting[0].token is token:
            share.append(waiting.popleft())
        return share

    async def run(self, share: list[Claim], desk: Desk) -> None:
        try:
            answers = await self.fn([claim.read(claim.record) for claim in share])
            if not isinstance(answers, Mapping):
                raise InvalidOutcome(
                    f"a batch handler answered {type(answers).__name__}; it must return {{primary key: outcome}}"
                )
        except Exception as exc:
            log.debug("batch handler failed on %d rows", len(share), exc_info=exc)
            for claim in share:
                desk.settle(claim, exc)
            return
        missing = Retry("the batch handler gave no outcome for this row")
        for claim in share:
            desk.settle(claim, answers.get(claim.key, missing))


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
                await to_the_end(desk.settle_in(session, claim, answer))
            except BaseException:
                await to_the_end(session.close())
                raise
        except Exception as exc:
            log.debug("handler failed on %s", claim.key, exc_info=exc)
            desk.settle(claim, exc)


def threaded(fn: Callable[..., T]) -> Callable[..., Awaitable[T]]:
    """Make a blocking function a handler: `each(threaded(fn))` or `batch(threaded(fn))` runs it in a thread.

    It has threads of its own, as many as the loop runs calls at once: asyncio's pool has six on a small machine, and
    others wait for those too.

    A thread cannot be cancelled. When its worker is stopped, the worker waits a few seconds for the answer and settles
    by it; a thread that takes longer is left behind with its row, which is rescued when the lease ends.
    """

    if _is_async(fn):
        raise QueueDeclarationError(f"handler {_name_of(fn)} is async already: do not wrap it with threaded")
    threads = ThreadPoolExecutor(_MOST_THREADS, thread_name_prefix=_name_of(fn))

    @wraps(fn)
    async def run(*arguments: Any) -> T:
        in_context = partial(copy_context().run, fn, *arguments)
        call = asyncio.get_running_loop().run_in_executor(threads, in_context)
        while not call.done():
            try:
                await asyncio.shield(call)
            except asyncio.CancelledError:
                continue
        return call.result()

    return run


def each(fn: EachFunction, *, entities: bool = False) -> Each:
    """Wrap `fn(row) -> Outcome | None`: one row a call, no session, no connection held.

    `entities`: a row is an instance of the model, detached, with the queue's `columns` loaded. Its relationships are
    not: touching one raises `DetachedInstanceError`. Otherwise it is a light row, which is cheaper: see `jobloop.row`.
    """
    return Each(_awaitable(fn, "each"), entities=entities)


def batch(fn: BatchFunction, *, entities: bool = False) -> Batch:
    """Wrap `fn(rows) -> {primary key: Outcome}`: all rows of a claim in one call. `entities` as for `each`."""
    return Batch(_awaitable(fn, "batch"), entities=entities)


def handler_of(processing_function: Each | Batch | InSession | SessionFunction) -> Each | Batch | InSession:
    """The form of a processing function; a bare function has the form `fn(row_id, session)`."""
    if isinstance(processing_function, Each | Batch | InSession):
        return processing_function
    return InSession(_awaitable(processing_function))


def _awaitable(fn: Any, form: str = "each") -> Any:
    """`fn`, if it is async; raises `QueueDeclarationError` for a plain function, which would block the event loop."""
    if not _is_async(fn):
        name = _name_of(fn)
        raise QueueDeclarationError(f"handler {name} must be async; wrap a blocking one: {form}(threaded({name}))")
    return fn


def _is_async(fn: Any) -> bool:
    return iscoroutinefunction(fn) or iscoroutinefunction(getattr(fn, "__call__", None))  # noqa: B004


def _name_of(fn: Any) -> str:
    return str(getattr(fn, "__name__", repr(fn)))
