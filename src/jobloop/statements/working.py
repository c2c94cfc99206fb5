"""The four statements of a worker: claim, settle, renew, rescue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import lazyload
from sqlalchemy.sql import operators

from jobloop.queue import JobQueue
from jobloop.statements.parts import (
    CLOCK,
    NEVER,
    NOW,
    array_bind,
    cut_to,
    goes_alone,
    materialized,
    place_in,
    role_text,
    said,
    said_alone,
    said_keys,
    same_key,
    seconds,
    update,
)
from jobloop.statements.pausing import is_paused
from jobloop.status import Role


def claim(queue: JobQueue, *, although_paused: bool = False, by_place: bool = True) -> sa.UpdateBase:
    """Take up to :batch_size due rows: QUEUED → PROCESSING, with :token and a lease of :lease_seconds.

    Fresh rows come first, in the queue's order, then due retries, the longest due first. Up to :retry_share due
    retries go before them, so that a backlog which never empties cannot starve them. Rows that others hold are
    skipped. A row without next_retry_at is a fresh request: its counters start again at 0. A paused queue has no
    due rows, except for a probe (`although_paused`).

    The rows that were locked are found again by their place, which is the shortest way, and by their key. Without
    `by_place` by their key alone: a view has no places, and a role may be granted columns and not the whole table.

    Returns (claimed_ord, *claimed_columns), unordered; `claimed_ord` restores the order of the claim.
    """
    c = queue.columns
    due_at = sa.func.coalesce(c.next_retry_at, NEVER)
    claimable = sa.and_(
        c.status == queue.literal(Role.QUEUED),
        due_at <= NOW,
        sa.or_(c.claim_token.is_(None), c.lease_expires_at < NOW),
        *queue.filters,
    )
    if queue.pauses is not None and not although_paused:
        claimable = sa.and_(claimable, ~sa.exists().where(is_paused(queue, queue.pauses)))

    at = place_in(queue.table)
    found_by = [*c.key, at.label(None)] if by_place else [*c.key]

    def locked(limit: str, *more: sa.ColumnElement[bool]) -> sa.Select[Any]:
        return (
            sa.select(*found_by)
            .where(claimable, *more)
            .order_by(due_at, *queue.order_by)
            .limit(sa.bindparam(limit, type_=sa.Integer()))
            .with_for_update(skip_locked=True, key_share=True, of=queue.table)
        )

    # UPDATE … WHERE id IN (SELECT … LIMIT n) may run its subquery again and again: the CTEs pin what was locked.
    retries = materialized(locked("retry_share", due_at > NEVER).cte("due_retries"))
    already = sa.tuple_(*c.key) if len(c.key) > 1 else c.key[0]
    first = materialized(locked("batch_size", already.not_in(sa.select(*list(retries.c)[: len(c.key)]))).cte("due"))
    both = sa.union_all(sa.select(*retries.c), sa.select(*first.c)).subquery("both")
    picked = (
        sa.select(*both.c, sa.func.row_number().over().label("claimed_ord"))
        .limit(sa.bindparam("batch_size", type_=sa.Integer()))
        .cte("picked")
    )
    fresh = c.next_retry_at.is_(None)
    return (
        update(
            queue,
            {
                c.status: queue.literal(Role.PROCESSING),
                c.claim_token: sa.bindparam("token", type_=sa.Uuid()),
                c.lease_expires_at: CLOCK + seconds(sa.bindparam("lease_seconds", type_=sa.Float())),
                c.next_retry_at: sa.null(),
                c.retry_count: sa.case((fresh, 0), else_=c.retry_count),
                c.rescue_count: sa.case((fresh, 0), else_=c.rescue_count),
            },
        )
        .where(*([at == list(picked.c)[len(c.key)]] if by_place else []), same_key(c.key, picked))
        .returning(
            picked.c.claimed_ord,
            *_handed_on(queue),
        )
    )


def claimed_entities(queue: JobQueue) -> sa.Executable:
    """The rows of `claimed` as (*key, entity), loaded without relationships."""
    return sa.select(*queue.columns.key, queue.model).options(lazyload("*")).from_statement(claimed(queue))


def claimed(queue: JobQueue) -> sa.Select[Any]:
    """The rows of claims as they are now, as `claim` returns them; only those whose token is still the claim's.

    Takes the array binds key_0… and token; `claimed_ord` is the place in them.
    """
    claims = sa.select(*said(queue).c).cte("claims")
    mine = sa.and_(same_key(queue.columns.key, claims), queue.columns.claim_token == claims.c.token)
    found = queue.table.join(claims, mine)
    return sa.select(claims.c.place.label("claimed_ord"), *_handed_on(queue)).select_from(found)


def claimed_columns(queue: JobQueue) -> tuple[sa.Column[Any], ...]:
    """What a claim returns after `claimed_ord`: what jobloop needs itself, then the columns of the handler's row."""
    return (*_beside_the_row(queue), *queue.row_columns.values())


def _handed_on(queue: JobQueue) -> list[sa.ColumnElement[Any]]:
    """`claimed_columns`, under names that do not meet."""
    beside = [column.label(f"claimed_{column.key}") for column in _beside_the_row(queue)]
    return [*beside, *(column.label(name) for name, column in queue.row_columns.items())]


def _beside_the_row(queue: JobQueue) -> list[sa.Column[Any]]:
    """The key and retry_count, unless the handler's row has them: each value is made by the server and the driver."""
    has = set(queue.row_columns.values())
    return [column for column in (queue.columns.retry_count, *queue.columns.key) if column not in has]


def settle(queue: JobQueue, to: Role, values: Sequence[str] = ()) -> sa.Select[Any]:
    """Write the outcome `to` of many claims at once; each row only if its token is still the claim's.

    Takes one array bind per column: key_0…, token, one value_{i} for each of `values` (attributes that the outcomes
    write); for ERROR also error and counted; for QUEUED also delay_seconds and until. A value that `goes_alone` is a
    bind of its own: such rows are settled one statement each.

    A row whose status is no longer PROCESSING keeps it (a user re-queued or cancelled it meanwhile), gives up its
    claim, and so runs again only after this attempt ended. The role that a row has then is `to`, or the end
    ("complete", "error") that the handler itself or a user wrote meanwhile; null where the row was re-queued or
    cancelled meanwhile.

    Returns (place in the arrays from 1, is_held, role) only of rows whose claim did not hold, or whose role is not
    `to`: nearly always none.
    """
    key = queue.columns.key
    written = {f"value_{i}": queue.value_column(name) for i, name in enumerate(values)}
    together = {name: column.type for name, column in written.items() if not goes_alone(column)}
    given = sa.select(*said(queue, **_settled_types(to), **together).c).cte("given")
    answers = sa.select(*given.c).order_by(*(given.c[f"key_{i}"] for i in range(len(key)))).subquery("answers")
    settling, role = _settling(queue, to, written, answers.c)
    return _unlike(to, given, settling.returning(answers.c.place, role).cte("settled"), "place")


def complete_claim(queue: JobQueue) -> sa.Select[Any]:
    """`settle` to COMPLETE, without values, for rows of one claim: the array bind key_0, and one :token.

    For a key of one column. An array of keys takes the server 9 % fewer instructions than a join with them.
    Returns the same as `settle`.
    """
    (key,) = queue.columns.key
    given = said_keys(queue)
    # Not `key == any_(…)`: a type with a comparison of its own would wrap the array in it.
    ours: sa.ColumnElement[bool] = sa.BinaryExpression(key, sa.any_(array_bind("key_0", key.type)), operators.eq)
    settling, role = _settling(queue, Role.COMPLETE, {}, {"token": sa.bindparam("token", type_=sa.Uuid())}, ours)
    return _unlike(Role.COMPLETE, given, settling.returning(key.label("key_0"), role).cte("settled"), "key_0")


def _unlike(to: Role, given: Any, settled: sa.CTE, same: str) -> sa.Select[Any]:
    """(place, is_held, role) of the rows `given` that are not held or have another role than `to`."""
    return (
        sa.select(given.c.place, settled.c[same].is_not(None).label("is_held"), settled.c.role)
        .select_from(given.outerjoin(settled, settled.c[same] == given.c[same]))
        .where(settled.c.role.is_distinct_from(role_text(to)))
    )


def settle_one(queue: JobQueue, to: Role, values: Sequence[str] = ()) -> sa.UpdateBase:
    """`settle` for one claim, every bind a single value; returns (*key, role), or nothing if the claim was lost.

    The server keeps the plan of this statement; one with arrays it plans for every execution, because it cannot know
    how long they are, and that costs more than the update.
    """
    written = {f"value_{i}": queue.value_column(name) for i, name in enumerate(values)}
    settling, role = _settling(queue, to, written, said_alone(queue, **_settled_types(to)))
    return settling.returning(*queue.columns.key, role)


def _settled_types(to: Role) -> dict[str, sa.types.TypeEngine[Any]]:
    """What an outcome says beside its values."""
    types: dict[str, sa.types.TypeEngine[Any]] = {}
    if to is not Role.COMPLETE:
        types |= {"error": sa.Text(), "counted": sa.Integer()}
    if to is Role.QUEUED:
        types |= {"delay_seconds": sa.Float(), "until": sa.DateTime(timezone=True)}
    return types


def _settling(
    queue: JobQueue,
    to: Role,
    written: Mapping[str, sa.Column[Any]],
    answer: Any,
    ours: sa.ColumnElement[bool] | None = None,
) -> tuple[sa.Update, sa.ColumnElement[Any]]:
    """The update, and the role of each row after it. `answer` has the binds by name, but for values that go alone.

    `ours` says which rows; None: those with the keys of the answer.
    """
    c = queue.columns
    # Where PostgreSQL waits for a user's transaction, it evaluates all of this again on the row as that left it.
    is_ours = c.status == queue.literal(Role.PROCESSING)

    def unless_kept(column: sa.Column[Any], value: Any) -> sa.ColumnElement[Any]:
        return sa.case((is_ours, value), else_=column)

    changes: dict[sa.Column[Any], Any] = {
        c.status: unless_kept(c.status, queue.literal(to)),
        c.claim_token: sa.null(),
        c.lease_expires_at: sa.null(),
        **{
            column: answer[name] if name in answer else sa.bindparam(name, type_=column.type)
            for name, column in written.items()
        },
    }
    if to is Role.COMPLETE:
        changes[c.error] = unless_kept(c.error, sa.null())
    else:
        changes[c.error] = unless_kept(c.error, sa.func.coalesce(cut_to(c.error, answer["error"]), c.error))
        changes[c.retry_count] = c.retry_count + sa.case((is_ours, answer["counted"]), else_=0)
    if to is Role.QUEUED:
        retry_at = sa.func.coalesce(answer["until"], CLOCK + seconds(answer["delay_seconds"]))
        changes[c.next_retry_at] = unless_kept(c.next_retry_at, retry_at)
    elif c.decision is not None:
        changes[c.decision] = unless_kept(c.decision, queue.literal(to, c.decision))
    requeued_by_us = sa.and_(c.status == queue.literal(Role.QUEUED), c.next_retry_at.is_not(None))
    role_now = sa.case(
        *((c.status == queue.literal(role), role_text(role)) for role in (Role.COMPLETE, Role.ERROR)),
        (requeued_by_us, role_text(Role.QUEUED)),
    )
    if ours is None:
        ours = sa.and_(*(mine == answer[f"key_{i}"] for i, mine in enumerate(c.key)))
    settling = update(queue, changes).where(ours, c.claim_token == answer["token"])
    return settling, role_now.label("role")


def renew(queue: JobQueue) -> sa.Select[Any]:
    """Give every held claim a new lease of :lease_seconds; returns (*key, token) of those that are still held.

    A row that is locked, most often by its own handler's transaction, is not waited for: nobody can rescue it
    while it is locked, and the next renewal comes. It counts as held.
    """
    c = queue.columns
    claims = sa.select(*said(queue).c).cte("claims")
    mine = sa.and_(same_key(c.key, claims), c.claim_token == claims.c.token)
    held = materialized(
        sa.select(*(column.label(f"key_{i}") for i, column in enumerate(c.key)))
        .join(claims, mine)
        .order_by(*c.key)
        .with_for_update(key_share=True, skip_locked=True, of=queue.table)
        .cte("held")
    )
    renewed = (
        update(
            queue,
            {c.lease_expires_at: CLOCK + seconds(sa.bindparam("lease_seconds", type_=sa.Float()))},
        )
        .where(same_key(c.key, held))
        .returning(*c.key)
        .cte("renewed")
    )
    return sa.select(*c.key, c.claim_token).join(claims, mine).add_cte(renewed)


def rescue(queue: JobQueue) -> sa.UpdateBase:
    """Take up to :batch_size rows from workers that are gone: PROCESSING with an expired lease → QUEUED, due now.

    A row that lost :max_rescues workers goes to ERROR instead. A PROCESSING row without a lease, left by an older
    system, is not touched. Returns (*key, is_poison).
    """
    c = queue.columns
    dead = materialized(
        sa.select(*(column.label(f"key_{i}") for i, column in enumerate(c.key)))
        .where(c.status == queue.literal(Role.PROCESSING), c.lease_expires_at < NOW)
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
        c.next_retry_at: sa.case((is_poison, sa.null()), else_=CLOCK),
        c.rescue_count: lost,
        c.claim_token: sa.null(),
        c.lease_expires_at: sa.null(),
    }
    if c.decision is not None:
        changes[c.decision] = sa.case((is_poison, queue.literal(Role.ERROR, c.decision)), else_=c.decision)
    return (
        update(queue, changes)
        .where(same_key(c.key, dead))
        .returning(*c.key, (c.status == queue.literal(Role.ERROR)).label("is_poison"))
    )
