"""Which database a model lives in: the session factory, given or bound once."""

from __future__ import annotations

import logging
from typing import Any

from sqlalchemy import inspect
from sqlalchemy.exc import UnboundExecutionError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker
from sqlalchemy.orm import Session
from sqlalchemy.pool import QueuePool

from jobloop.errors import NotBound, QueueDeclarationError

log = logging.getLogger("jobloop")

_KEY = "jobloop_sessions"
#: Connections beside the handlers': one each for claims, settles and lease renewals.
OWN_CONNECTIONS = 3


def bind(base: type[Any], session_factory: async_sessionmaker[AsyncSession]) -> None:
    """Let every queue on a model of `base` (a DeclarativeBase) use `session_factory` when none is given.

    It is kept with the base's metadata, so two applications in one process do not see each other's.
    """
    base.metadata.info[_KEY] = session_factory


def sessions_of(model: type[Any], given: async_sessionmaker[AsyncSession] | None) -> async_sessionmaker[AsyncSession]:
    """The factory given, else the one bound to the model's base; raises `NotBound` without either."""
    sessions = given or inspect(model).local_table.metadata.info.get(_KEY)
    if sessions is None:
        raise NotBound(
            f"no session factory for {model.__name__}: pass session_factory=…, or call "
            "jobloop.bind(Base, session_factory) once when the application starts"
        )
    return sessions


def engine_of(model: type[Any], sessions: async_sessionmaker[AsyncSession]) -> AsyncEngine:
    """The engine that the factory's `bind` and `binds` give `model`; raises `NotBound` if that is no AsyncEngine.

    A `get_bind` of the user's own is not asked: it may name a replica to whoever only reads.
    """
    try:
        bound = Session.get_bind(sessions().sync_session, inspect(model))
    except UnboundExecutionError:
        bound = None
    engine = next((engine for engine in _engines(sessions) if engine.sync_engine is bound), None)
    if engine is None:
        raise NotBound(
            f"the session factory must be bound to an AsyncEngine for {model.__name__}: async_sessionmaker(engine)"
        )
    return engine


def _engines(sessions: async_sessionmaker[AsyncSession]) -> set[AsyncEngine]:
    binds = sessions.kw.get("binds") or {}
    return {bound for bound in (sessions.kw.get("bind"), *binds.values()) if isinstance(bound, AsyncEngine)}


def need_one_transaction(engine: AsyncEngine, sessions: async_sessionmaker[AsyncSession], queue: str) -> None:
    """Raises `QueueDeclarationError` if what a handler writes and its settle would not be one transaction.

    That is so where sessions commit each statement, and where they write to some models by another engine.
    """
    if len(_engines(sessions)) > 1:
        raise QueueDeclarationError(
            f"{queue}: a handler with a session needs one transaction, and its sessions have several engines "
            "(`binds`), which commit one after the other; give the loop a session factory with the queue's engine alone"
        )
    given = engine.get_execution_options().get("isolation_level")
    level = given or getattr(engine.dialect, "_on_connect_isolation_level", None)
    if level == "AUTOCOMMIT":
        raise QueueDeclarationError(
            f"{queue}: a handler with a session needs transactions, and the engine's isolation level is AUTOCOMMIT; "
            "give the loop a session factory on an engine without it"
        )


def most_connections(engine: AsyncEngine) -> int | None:
    """How many connections the engine's pool opens at most; None: it sets no limit."""
    pool = engine.pool
    if not isinstance(pool, QueuePool) or pool._max_overflow < 0:
        return None
    return pool.size() + pool._max_overflow


def warn_if_small(engine: AsyncEngine, queue: str, session_handlers: int) -> None:
    """Warn when the engine's pool has fewer connections than the loop may want at once."""
    has, wants = most_connections(engine), session_handlers + OWN_CONNECTIONS
    if has is not None and has < wants:
        log.warning(
            "%s: may want %d connections at once (%d handlers with a session, %d of its own), the pool has %d; "
            "raise pool_size or lower the concurrency",
            queue,
            wants,
            session_handlers,
            OWN_CONNECTIONS,
            has,
        )
