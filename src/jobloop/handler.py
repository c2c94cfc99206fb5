"""Handlers, told apart by their wrapper.

    fn(row_id, session)   one row with its own session: the handler's writes and the settle commit together
    each(fn)              fn(row): one row, no session, no connection held while it runs
                          each(fn, session=True): fn(row, session), one row with its own session
    batch(fn)             fn(rows): many rows in one call, answered with {primary key: outcome}
                          batch(fn, session=True): fn(rows, session), their writes and settles in one transaction

`each` and `batch` hand out light rows (`jobloop.row`) or, with `entities=True`, instances of the model.
"""

from __future__ import annotations

from typing import Any, Literal, overload

from jobloop.errors import QueueDeclarationError
from jobloop.forms import Batch, BatchFunction, Each, EachFunction
from jobloop.session_forms import BatchInSession, BatchSessionFunction, InSession, SessionFunction
from jobloop.threaded import is_async, is_threaded, name_of


@overload
def each(fn: EachFunction, *, entities: bool = False) -> Each: ...
@overload
def each(fn: SessionFunction, *, entities: bool = False, session: Literal[True]) -> InSession: ...
def each(fn: Any, *, entities: bool = False, session: bool = False) -> Each | InSession:
    """Wrap `fn(row) -> Outcome | None`: one row a call, no session, no connection held.

    `entities`: a row is an instance of the model, detached, with the queue's `columns` loaded. Its relationships are
    not: touching one raises `DetachedInstanceError`. Otherwise it is a light row, which is cheaper: see `jobloop.row`.

    `session`: wrap `fn(row, session)` instead, which has the row at hand where `fn(row_id, session)` has to load it.
    What it writes and the settle of the row commit together; see `InSession`. The row is as it was when it was claimed.
    An entity is part of the session: what is set on it is written too, and `session.get` or a SELECT find it as it is;
    `await session.refresh(row, with_for_update=True)` reads it anew. A commit or rollback of the handler's own expires
    it, as anything in a session (`MissingGreenlet` when it is touched). A light row stays what it is.
    """
    if session:
        return InSession(_awaitable(fn), entities=entities, takes_row=True)
    return Each(_awaitable(fn, "each"), entities=entities)


@overload
def batch(fn: BatchFunction, *, entities: bool = False) -> Batch: ...
@overload
def batch(fn: BatchSessionFunction, *, entities: bool = False, session: Literal[True]) -> BatchInSession: ...
def batch(fn: Any, *, entities: bool = False, session: bool = False) -> Batch | BatchInSession:
    """Wrap `fn(rows) -> {primary key: Outcome}`: all rows of a claim in one call. `entities` and rows as for `each`.

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
    """`fn`, if it is async; raises `QueueDeclarationError` for a plain function, which would block the event loop.

    And for one in a thread where there is a session (`form` is None).
    """
    if not is_async(fn) or (form is None and is_threaded(fn)):
        name = name_of(fn)
        hint = f"wrap a blocking one: {form}(threaded({name}))" if form else "its session cannot be used in a thread"
        raise QueueDeclarationError(f"handler {name} must be async; {hint}")
    return fn
