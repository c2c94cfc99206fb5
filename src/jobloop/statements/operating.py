"""What an operator may do to a queue, and see of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from jobloop.queue import JobQueue
from jobloop.statements.parts import CLOCK, NOW, materialized, role_text, same_key, update
from jobloop.status import Role


def requeue(queue: JobQueue, *where: sa.ColumnElement[bool]) -> sa.UpdateBase:
    """Operator: put rows in ERROR back as fresh requests, counters at 0 with the next claim. Returns the keys."""
    return _operate(
        queue,
        sa.and_(queue.columns.status == queue.literal(Role.ERROR), *where),
        {queue.columns.status: queue.literal(Role.QUEUED), queue.columns.next_retry_at: sa.null()},
    )


def retry_now(queue: JobQueue, *where: sa.ColumnElement[bool]) -> sa.UpdateBase:
    """Operator: make waiting retries due at once, counters kept. Returns the keys."""
    c = queue.columns
    return _operate(
        queue,
        sa.and_(c.status == queue.literal(Role.QUEUED), c.next_retry_at > NOW, *where),
        {c.next_retry_at: CLOCK},
    )


def cancel(queue: JobQueue, *where: sa.ColumnElement[bool]) -> sa.UpdateBase:
    """Operator: take QUEUED rows out of the queue, to :status (a value of the user's, or null). Returns the keys.

    A row that is being processed at this moment is not touched; the worker's settle will be its end.
    """
    c = queue.columns
    return _operate(
        queue,
        sa.and_(c.status == queue.literal(Role.QUEUED), *where),
        {c.status: sa.bindparam("status", type_=c.status.type), c.next_retry_at: sa.null()},
    )


def adopt(queue: JobQueue, *where: sa.ColumnElement[bool]) -> sa.UpdateBase:
    """Operator: put PROCESSING rows without a lease, left by an older system, back into the queue. Returns the keys.

    Only the operator knows that no older worker still runs, and which column tells how old a row is: `where`.
    """
    c = queue.columns
    return _operate(
        queue,
        sa.and_(
            c.status == queue.literal(Role.PROCESSING), c.lease_expires_at.is_(None), c.claim_token.is_(None), *where
        ),
        {c.status: queue.literal(Role.QUEUED), c.next_retry_at: sa.null()},
    )


def is_older(column: sa.Column[Any], than: timedelta) -> sa.ColumnElement[bool]:
    """True for rows whose timestamp is longer ago than that, by the database's clock; never for null."""
    return column < NOW - sa.literal(than, sa.Interval())


def counts(queue: JobQueue) -> sa.Select[Any]:
    """One row for each role in use: (role, rows, waiting, retries, expired, oldest_due_at).

    `waiting` rows have a next_retry_at still to come, `retries` failed at least once, `expired` lost their lease.
    `oldest_due_at` is when the longest waiting due row became due: its next_retry_at or, for a fresh request, the
    first timestamp that the queue orders by (nothing records when a user queued a row); null without either.
    """
    c = queue.columns
    role = sa.case(*((c.status == queue.literal(role), role_text(role)) for role in Role))
    is_waiting = c.next_retry_at > NOW
    due_since = sa.func.coalesce(c.next_retry_at, *_timestamps(queue.order_by)[:1], type_=c.next_retry_at.type)
    return (
        sa.select(
            role.label("role"),
            sa.func.count().label("rows"),
            sa.func.count().filter(is_waiting).label("waiting"),
            sa.func.count().filter(c.retry_count > 0).label("retries"),
            sa.func.count().filter(c.lease_expires_at < NOW).label("expired"),
            sa.func.min(due_since).filter(due_since <= NOW).label("oldest_due_at"),
        )
        .where(sa.or_(*(c.status == queue.literal(role) for role in Role)))
        .group_by(role)
    )


def errors(queue: JobQueue) -> sa.Select[Any]:
    """The :most commonest error texts of rows in ERROR or waiting for a retry: (role, error, rows, examples).

    `examples` holds up to three primary keys, as text.
    """
    c = queue.columns
    role = sa.case(
        (c.status == queue.literal(Role.ERROR), role_text(Role.ERROR)),
        else_=role_text(Role.QUEUED),
    )
    key = sa.func.concat_ws("/", *c.key)
    return (
        sa.select(
            role.label("role"),
            c.error.label("error"),
            sa.func.count().label("rows"),
            sa.func.array_agg(postgresql.aggregate_order_by(key, *c.key))[1:3].label("examples"),
        )
        .where(
            c.error.is_not(None),
            sa.or_(c.status == queue.literal(Role.ERROR), c.status == queue.literal(Role.QUEUED)),
        )
        .group_by(role, c.error)
        .order_by(sa.desc("rows"), c.error)
        .limit(sa.bindparam("most", type_=sa.Integer()))
    )


def _operate(queue: JobQueue, which: sa.ColumnElement[bool], changes: dict[sa.Column[Any], Any]) -> sa.Update:
    """An operator's bulk change of the rows `which`, locked in primary-key order."""
    c = queue.columns
    chosen = materialized(
        sa.select(*(column.label(f"key_{i}") for i, column in enumerate(c.key)))
        .where(which)
        .order_by(*c.key)
        .with_for_update(key_share=True, of=queue.table)
        .cte("chosen")
    )
    return update(queue, changes).where(same_key(c.key, chosen)).returning(*c.key)


def _timestamps(order_by: Sequence[Any]) -> list[sa.ColumnElement[Any]]:
    """The timestamp columns in an ORDER BY list, without their asc() or desc()."""
    columns = (term.element if isinstance(term, sa.UnaryExpression) else term for term in order_by)
    return [column for column in columns if isinstance(column.type, sa.DateTime)]
