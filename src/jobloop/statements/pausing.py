"""The statements on the pauses table."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from jobloop.queue import JobQueue
from jobloop.statements.parts import CLOCK, NOW, seconds


def is_paused(queue: JobQueue, pauses: sa.Table) -> sa.ColumnElement[bool]:
    return pauses.c.queue == queue.name


def pause(queue: JobQueue, pauses: sa.Table) -> sa.Insert:
    """Pause the queue: :reason, :paused_by, and :until or :seconds from now, or neither.

    An operator's pause without an end is not weakened by a worker's. Returns the pause in force.
    """
    until = sa.func.coalesce(
        sa.bindparam("until", type_=sa.DateTime(timezone=True)),
        CLOCK + seconds(sa.bindparam("seconds", type_=sa.Float())),
    )
    values = {
        "queue": queue.name,
        "reason": sa.bindparam("reason", type_=sa.Text()),
        "paused_by": sa.bindparam("paused_by", type_=sa.Text()),
        "until": until,
        "probing_until": sa.null(),
    }
    insert = postgresql.insert(pauses).values(values)
    is_operators = sa.and_(pauses.c.until.is_(None), insert.excluded.paused_by != "operator")
    kept = {name: sa.case((is_operators, pauses.c[name]), else_=insert.excluded[name]) for name in values}
    return insert.on_conflict_do_update(
        index_elements=[pauses.c.queue], set_={**kept, "probes": pauses.c.probes + sa.case((is_operators, 0), else_=1)}
    ).returning(*pauses.c)


def resume(queue: JobQueue, pauses: sa.Table, *, after_probe: bool = False) -> Any:
    """Lift the pause; after a probe only if it has an end: an operator's without one is the operator's to lift.

    Returns what was lifted.
    """
    which = [is_paused(queue, pauses)]
    if after_probe:
        which.append(pauses.c.until.is_not(None))
    return sa.delete(pauses).where(*which).returning(*pauses.c)


def end_probe(queue: JobQueue, pauses: sa.Table) -> sa.Update:
    """Give back the right to probe: there was no row to probe with."""
    return sa.update(pauses).where(is_paused(queue, pauses)).values(probing_until=sa.null()).returning(pauses.c.queue)


def probe(queue: JobQueue, pauses: sa.Table) -> sa.Update:
    """Take the right to probe for :lease_seconds, if the pause has come to its time. Returns the pause, or nothing."""
    return (
        sa.update(pauses)
        .where(
            is_paused(queue, pauses),
            pauses.c.until <= NOW,
            sa.or_(pauses.c.probing_until.is_(None), pauses.c.probing_until < NOW),
        )
        .values(probing_until=CLOCK + seconds(sa.bindparam("lease_seconds", type_=sa.Float())))
        .returning(*pauses.c)
    )


def paused(queue: JobQueue, pauses: sa.Table) -> sa.Select[Any]:
    """The pause in force, if any."""
    return sa.select(*pauses.c).where(is_paused(queue, pauses))
