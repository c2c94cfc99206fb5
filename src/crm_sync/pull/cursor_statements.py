"""Statements on the cursors: take a stream, hold it and move, let it go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.sql.dml import ReturningInsert, ReturningUpdate

from crm_sync.models import SyncCursor


def take_cursor() -> ReturningInsert[Any]:
    """Hold :stream for :holder during :seconds, unless another holds it; returns the cursor, or no row."""
    held_until = sa.func.clock_timestamp() + seconds(sa.bindparam("seconds", type_=sa.Float()))
    statement = insert(SyncCursor).values(
        stream=sa.bindparam("stream"), holder=sa.bindparam("holder", type_=sa.Uuid()), held_until=held_until
    )
    return statement.on_conflict_do_update(
        index_elements=["stream"],
        set_={"holder": statement.excluded.holder, "held_until": statement.excluded.held_until},
        where=sa.or_(SyncCursor.holder.is_(None), SyncCursor.held_until < sa.func.statement_timestamp()),
    ).returning(*SyncCursor.__table__.columns, _timed_out())


def hold_cursor(changes: Sequence[str] = ()) -> ReturningUpdate[Any]:
    """Hold :of_stream for :seconds more, and set what `changes` name; no row where :of_holder holds it no more.

    The row is locked until the transaction ends, and a process frozen in the midst of it would keep the stream for
    ever. So it is with taking it and letting it go: PostgreSQL ends what says nothing for as long as the hold.
    """
    table = SyncCursor.__table__
    return (
        sa.update(SyncCursor)
        .where(
            SyncCursor.stream == sa.bindparam("of_stream"),
            SyncCursor.holder == sa.bindparam("of_holder", type_=sa.Uuid()),
        )
        .values(
            held_until=sa.func.clock_timestamp() + seconds(sa.bindparam("seconds", type_=sa.Float())),
            updated_at=sa.func.now(),
            **{name: sa.bindparam(f"new_{name}", type_=table.c[name].type) for name in changes},
        )
        .returning(_timed_out())
    )


def release_cursor() -> ReturningUpdate[Any]:
    return (
        sa.update(SyncCursor)
        .where(
            SyncCursor.stream == sa.bindparam("of_stream"),
            SyncCursor.holder == sa.bindparam("of_holder", type_=sa.Uuid()),
        )
        .values(holder=sa.null(), held_until=sa.null())
        .returning(_timed_out())
    )


def _timed_out() -> sa.ColumnElement[Any]:
    """Set, for this transaction, the timeouts that this server has; `transaction_timeout` came with PostgreSQL 17.

    A client that is frozen between two statements leaves its transaction idle; within one, whose parameters the server
    waits for, it leaves a statement that does not end.
    """
    name = sa.column("name", sa.Text())
    timeout_ms = sa.bindparam("timeout_ms", type_=sa.Text())
    return (
        sa.select(sa.func.count(sa.func.set_config(name, timeout_ms, sa.true())))
        .select_from(sa.table("pg_settings"))
        .where(name.in_(("idle_in_transaction_session_timeout", "statement_timeout", "transaction_timeout")))
        .scalar_subquery()
        .label("timeouts")
    )


def seconds(value: sa.ColumnElement[float]) -> sa.ColumnElement[Any]:
    return sa.func.make_interval(0, 0, 0, 0, 0, 0, value)
