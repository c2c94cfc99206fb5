"""Every SQL statement of a queue, one function each: built with SQLAlchemy Core, never executed here.

The shape of each is measured (see docs/design.md); a test pins its text and its plan. What holds for all:

- Status values are literals, so that the partial indexes serve generic plans too; limits and times are binds.
- The database's clock decides: statement_timestamp() in predicates (STABLE, so it can bound an index scan),
  clock_timestamp() only for values written.
- Rows are locked FOR NO KEY UPDATE, so that a foreign-key check on the row neither blocks nor hides it.
- Waiting statements lock in primary-key order, so that two workers cannot deadlock.
- Columns with an ORM `onupdate` are set to themselves: bookkeeping is not a change of the user's row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from jobloop.queue import JobQueue
from jobloop.schema import NEVER
from jobloop.status import Role

_NOW = sa.func.statement_timestamp()
_CLOCK = sa.func.clock_timestamp()
_NEVER: sa.ColumnElement[Any] = sa.literal_column(NEVER, sa.DateTime(timezone=True))

_ONE_SECOND: sa.ColumnElement[Any] = sa.literal_column("interval '1 second'", sa.Float())


def claim(queue: JobQueue) -> sa.UpdateBase:
    """Take up to :batch_size due rows: QUEUED → PROCESSING, with :token and a lease of :lease_seconds.

    Fresh rows come first, in the queue's order, then due retries, the longest due first. Up to :retry_share due
    retries go before them, so that a backlog which never empties cannot starve them. Rows that others hold are
    skipped. A row without next_retry_at is a fresh request: its counters start again at 0.

    Returns (ord, retry_count, *key, *row columns), unordered; `ord` restores the order of the claim.
    """
    c = queue.columns
    due_at = sa.func.coalesce(c.next_retry_at, _NEVER)
    claimable = sa.and_(
        c.status == queue.literal(Role.QUEUED),
        due_at <= _NOW,
        sa.or_(c.claim_token.is_(None), c.lease_expires_at < _NOW),
        *queue.filters,
    )

    def locked(limit: str, *more: sa.ColumnElement[bool]) -> sa.Select[Any]:
        return (
            sa.select(*c.key)
            .where(claimable, *more)
            .order_by(due_at, *queue.order_by, *c.key)
            .limit(sa.bindparam(limit, type_=sa.Integer()))
            .with_for_update(skip_locked=True, key_share=True, of=queue.table)
        )

    # UPDATE … WHERE id IN (SELECT … LIMIT n) may run its subquery again and again: the CTEs pin what was locked.
    retries = _materialized(locked("retry_share", due_at > _NEVER).cte("due_retries"))
    already = sa.tuple_(*c.key) if len(c.key) > 1 else c.key[0]
    first = _materialized(locked("batch_size", already.not_in(sa.select(*retries.c))).cte("due"))
    both = sa.union_all(sa.select(*retries.c), sa.select(*first.c)).subquery("both")
    picked = (
        sa.select(*both.c, sa.func.row_number().over().label("ord"))
        .limit(sa.bindparam("batch_size", type_=sa.Integer()))
        .cte("picked")
    )
    fresh = c.next_retry_at.is_(None)
    return (
        _update(
            queue,
            {
                c.status: queue.literal(Role.PROCESSING),
                c.claim_token: sa.bindparam("token", type_=sa.Uuid()),
                c.lease_expires_at: _CLOCK + _seconds(sa.bindparam("lease_seconds", type_=sa.Float())),
                c.next_retry_at: sa.null(),
                c.retry_count: sa.case((fresh, 0), else_=c.retry_count),
                c.rescue_count: sa.case((fresh, 0), else_=c.rescue_count),
            },
        )
        .where(_same_key(c.key, picked))
        .returning(
            picked.c.ord,
            c.retry_count.label("claimed_retry_count"),
            *(column.label(f"claimed_key_{i}") for i, column in enumerate(c.key)),
            *(column.label(name) for name, column in queue.row_columns.items()),
        )
    )


def settle(queue: JobQueue, values: Sequence[str] = ()) -> sa.UpdateBase:
    """Write the outcome of many claims at once; each row only if its token is still the claim's.

    Takes one array bind per column of `settle_rows`; `values` are the attributes that the rows' outcomes write.
    A row whose status is no longer PROCESSING keeps it (a user re-queued or cancelled it meanwhile), gives up its
    claim, and so runs again only after this attempt ended. Returns (*key, role): a row that is not returned was
    lost; `role` is the outcome that was written, or the end ("complete", "error") that the handler itself or a user
    wrote meanwhile; null where the row was re-queued or cancelled meanwhile.
    """
    c = queue.columns
    said = _said(
        queue,
        outcome=sa.String(),
        error=sa.Text(),
        counted=sa.Boolean(),
        delay_seconds=sa.Float(),
        until=sa.DateTime(timezone=True),
        **{f"value_{i}": queue.column_named(name).type for i, name in enumerate(values)},
    )
    held = _materialized(
        sa.select(
            *(column.label(f"key_{i}") for i, column in enumerate(c.key)),
            *(column for name, column in said.c.items() if not name.startswith(("key_", "token"))),
            # A user who cancels may set NULL: an unknown status is not PROCESSING.
            sa.func.coalesce(c.status == queue.literal(Role.PROCESSING), sa.false()).label("applied"),
        )
        .join(queue.table, sa.and_(_same_key(c.key, said), c.claim_token == said.c.token))
        .order_by(*c.key)
        .with_for_update(key_share=True, of=queue.table)
        .cte("held")
    )
    becomes = {role: held.c.outcome == role.value for role in (Role.COMPLETE, Role.ERROR, Role.QUEUED)}
    kept = sa.not_(held.c.applied)
    retry_at = sa.func.coalesce(held.c.until, _CLOCK + _seconds(held.c.delay_seconds))
    changes: dict[sa.Column[Any], Any] = {
        c.status: sa.case(
            (kept, c.status),
            *((condition, queue.literal(role)) for role, condition in becomes.items()),
            else_=c.status,
        ),
        c.error: sa.case(
            (kept, c.error),
            (becomes[Role.COMPLETE], sa.null()),
            else_=sa.func.coalesce(held.c.error, c.error),
        ),
        c.retry_count: c.retry_count + sa.case((sa.and_(held.c.applied, held.c.counted), 1), else_=0),
        c.next_retry_at: sa.case((kept, c.next_retry_at), (becomes[Role.QUEUED], retry_at), else_=sa.null()),
        c.claim_token: sa.null(),
        c.lease_expires_at: sa.null(),
    }
    if c.decision is not None:
        changes[c.decision] = sa.case(
            (kept, c.decision),
            *((becomes[role], queue.literal(role, c.decision)) for role in (Role.COMPLETE, Role.ERROR)),
            else_=c.decision,
        )
    for i, name in enumerate(values):
        changes[queue.column_named(name)] = held.c[f"value_{i}"]
    return (
        _update(queue, changes)
        .where(sa.and_(*(column == held.c[f"key_{i}"] for i, column in enumerate(c.key))))
        .returning(
            *c.key,
            sa.case(
                (held.c.applied, held.c.outcome),
                *((c.status == queue.literal(role), role.value) for role in (Role.COMPLETE, Role.ERROR)),
            ).label("role"),
        )
    )


def renew(queue: JobQueue) -> sa.Select[Any]:
    """Give every held claim a new lease of :lease_seconds; returns the keys whose token is still the claim's.

    A row that is locked, most often by its own handler's transaction, is not waited for: nobody can rescue it
    while it is locked, and the next renewal comes. It counts as held.
    """
    c = queue.columns
    said = sa.select(*_said(queue).c).cte("claims")
    mine = sa.and_(_same_key(c.key, said), c.claim_token == said.c.token)
    held = _materialized(
        sa.select(*(column.label(f"key_{i}") for i, column in enumerate(c.key)))
        .join(said, mine)
        .order_by(*c.key)
        .with_for_update(key_share=True, skip_locked=True, of=queue.table)
        .cte("held")
    )
    renewed = (
        _update(
            queue,
            {c.lease_expires_at: _CLOCK + _seconds(sa.bindparam("lease_seconds", type_=sa.Float()))},
        )
        .where(_same_key(c.key, held))
        .returning(*c.key)
        .cte("renewed")
    )
    return sa.select(*c.key).join(said, mine).add_cte(renewed)


def rescue(queue: JobQueue) -> sa.UpdateBase:
    """Take up to :batch_size rows from workers that are gone: PROCESSING with an expired lease → QUEUED, due now.

    A row that lost :max_rescues workers goes to ERROR instead. A PROCESSING row without a lease, left by an older
    system, is not touched. Returns (*key, is_poison).
    """
    c = queue.columns
    dead = _materialized(
        sa.select(*(column.label(f"key_{i}") for i, column in enumerate(c.key)))
        .where(c.status == queue.literal(Role.PROCESSING), c.lease_expires_at < _NOW)
        .order_by(*c.key)
        .limit(sa.bindparam("batch_size", type_=sa.Integer()))
        .with_for_update(skip_locked=True, key_share=True, of=queue.table)
        .cte("dead")
    )
    lost = c.rescue_count + 1
    is_poison = lost >= sa.bindparam("max_rescues", type_=sa.Integer())
    words = sa.func.concat("worker lost ", sa.cast(lost, sa.Text()), " times")
    changes: dict[sa.Column[Any], Any] = {
        # `else` is never reached: it gives the literals the column's type, whatever that is in the database.
        c.status: sa.case(
            (is_poison, queue.literal(Role.ERROR)), (sa.true(), queue.literal(Role.QUEUED)), else_=c.status
        ),
        c.error: sa.case((is_poison, words), else_=c.error),
        c.next_retry_at: sa.case((is_poison, sa.null()), else_=_CLOCK),
        c.rescue_count: lost,
        c.claim_token: sa.null(),
        c.lease_expires_at: sa.null(),
    }
    if c.decision is not None:
        changes[c.decision] = sa.case((is_poison, queue.literal(Role.ERROR, c.decision)), else_=c.decision)
    return (
        _update(queue, changes)
        .where(_same_key(c.key, dead))
        .returning(*c.key, (c.status == queue.literal(Role.ERROR)).label("is_poison"))
    )


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
        sa.and_(c.status == queue.literal(Role.QUEUED), c.next_retry_at > _NOW, *where),
        {c.next_retry_at: _CLOCK},
    )


def counts(queue: JobQueue) -> sa.Select[Any]:
    """One row for each role in use: (role, rows, waiting, retries, expired, oldest_due_at).

    `waiting` rows have a next_retry_at still to come, `retries` failed at least once, `expired` lost their lease.
    `oldest_due_at` is when the longest waiting due row became due: its next_retry_at or, for a fresh request, the
    first timestamp that the queue orders by (nothing records when a user queued a row); null without either.
    """
    c = queue.columns
    role = sa.case(
        *((c.status == queue.literal(role), sa.literal_column(f"'{role.value}'", sa.String())) for role in Role)
    )
    is_waiting = c.next_retry_at > _NOW
    due_since = sa.func.coalesce(c.next_retry_at, *_timestamps(queue.order_by)[:1], type_=c.next_retry_at.type)
    return (
        sa.select(
            role.label("role"),
            sa.func.count().label("rows"),
            sa.func.count().filter(is_waiting).label("waiting"),
            sa.func.count().filter(c.retry_count > 0).label("retries"),
            sa.func.count().filter(c.lease_expires_at < _NOW).label("expired"),
            sa.func.min(due_since).filter(due_since <= _NOW).label("oldest_due_at"),
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
        (c.status == queue.literal(Role.ERROR), sa.literal_column("'error'", sa.String())),
        else_=sa.literal_column("'queued'", sa.String()),
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


# -- the parts that several statements share -----------------------------------------------------------------------


def _update(queue: JobQueue, changes: dict[sa.Column[Any], Any]) -> sa.Update:
    """UPDATE of the table that leaves every column not in `changes` as it is, also those with an `onupdate`."""
    untouched = {
        column: column for column in queue.table.columns if column.onupdate is not None and column not in changes
    }
    return sa.update(queue.table).values({**untouched, **changes})


def _operate(queue: JobQueue, which: sa.ColumnElement[bool], changes: dict[sa.Column[Any], Any]) -> sa.Update:
    """An operator's bulk change of the rows `which`, locked in primary-key order."""
    c = queue.columns
    chosen = _materialized(
        sa.select(*(column.label(f"key_{i}") for i, column in enumerate(c.key)))
        .where(which)
        .order_by(*c.key)
        .with_for_update(key_share=True, of=queue.table)
        .cte("chosen")
    )
    return _update(queue, changes).where(_same_key(c.key, chosen)).returning(*c.key)


def _timestamps(order_by: Sequence[Any]) -> list[sa.ColumnElement[Any]]:
    """The timestamp columns in an ORDER BY list, without their asc() or desc()."""
    columns = (term.element if isinstance(term, sa.UnaryExpression) else term for term in order_by)
    return [column for column in columns if isinstance(column.type, sa.DateTime)]


def _said(queue: JobQueue, **more: sa.types.TypeEngine[Any]) -> sa.TableValuedAlias:
    """The caller's rows, passed as one array bind per column: key_0…, token and whatever else is named."""
    types: dict[str, Any] = {f"key_{i}": column.type for i, column in enumerate(queue.columns.key)}
    types |= {"token": sa.Uuid(), **more}
    arrays = [sa.bindparam(name, type_=postgresql.ARRAY(type_)) for name, type_ in types.items()]
    columns = [sa.column(name, type_) for name, type_ in types.items()]
    return sa.func.unnest(*arrays).table_valued(*columns, name="said").render_derived()  # said(key_0, token, …)


def _same_key(key: tuple[sa.Column[Any], ...], other: Any) -> sa.ColumnElement[bool]:
    """Equality of the primary key; `other` has the key first, in the same order."""
    return sa.and_(*(mine == theirs for mine, theirs in zip(key, other.c, strict=False)))


def _materialized(cte: sa.CTE) -> sa.CTE:
    return cte.prefix_with("MATERIALIZED", dialect="postgresql")


def _seconds(seconds: Any) -> sa.ColumnElement[Any]:
    """`seconds` as an interval."""
    return sa.type_coerce(seconds * _ONE_SECOND, sa.Interval())
