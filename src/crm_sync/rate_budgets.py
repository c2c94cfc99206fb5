"""RateBudgets: the ledger of HubSpot calls in PostgreSQL, by the database's clock.

Each step is one statement: it locks the token's rows, looks at the clock, decides and writes, and is over. So it is
serialised, holds no lock while a process thinks, and needs no session: a transaction pooler may stand between.

A row keeps when calls were granted, and how many: see `models.RateBudget`. A call counts from its grant for the length
of the window and a margin, because HubSpot counts it when it arrives.
"""

import asyncio
import hmac
import random
from collections.abc import Mapping, Sequence
from typing import Any

from asyncpg import InterfaceError, PostgresError
from sqlalchemy import TextClause, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from crm_sync.hubspot.exchange import Bucket
from crm_sync.hubspot.ratelimit import DEFAULT_BUDGETS, Budget, Reading
from crm_sync.hubspot.shared_ratelimit import Grant, LedgerAway

#: A database that takes longer than this for one step counts as away.
_TIMEOUT_SECONDS = 2.0
#: HubSpot's largest limit is far below; a column of 32 bits holds this.
_LARGEST_LIMIT = 1_000_000_000
_TRANSIENT = ("40001", "40P01")  # serialization failure (where that is the server's default isolation), deadlock
_MOST_TRIES = 10

# What each statement begins with: the rows, locked in one order; the time, once they are; and their calls.
#
#     calls(bucket, at, n)   granted at `at`, still of interest: a third of a window longer than they count
#     live(bucket, …, used)  the calls that count now, for so long as `span`
#
# `at` is rounded up to a 250th of the window, so that a row stays small. Times that lie ahead are from before the
# clock was set back. The margin is for the way to HubSpot; it is smaller for a short window, where it costs more.
_HEAD = """
WITH locked AS MATERIALIZED (
    SELECT *, make_interval(secs => window_seconds + least(0.25, 0.15 * window_seconds)) AS span
    FROM rate_budgets
    WHERE token_fingerprint = :token AND bucket = ANY(:buckets)
    ORDER BY bucket
    FOR UPDATE
), clock AS MATERIALIZED (
    SELECT clock_timestamp() AS now FROM (SELECT count(*) FROM locked) AS all_locked
), calls AS MATERIALIZED (
    SELECT bucket, call.at, call.n, call.at > now - span AS counts
    FROM clock, locked, unnest(taken_at, taken) AS call (at, n)
    WHERE call.at > now - span - make_interval(secs => window_seconds / 3) AND call.at < now + interval '1 second'
), live AS MATERIALIZED (
    SELECT locked.*, now, coalesce((SELECT sum(n) FROM calls WHERE calls.bucket = locked.bucket AND counts), 0) AS used,
           date_bin(make_interval(secs => window_seconds / 250), now, 'epoch')
               + make_interval(secs => window_seconds / 250) AS stamp
    FROM locked, clock
)
"""

# And what each writes: `added(bucket, n, …)` join the calls of the row.
_WRITTEN = """
, written AS (
    UPDATE rate_budgets AS budget
    SET taken_at = coalesce(kept.at, '{}'), taken = coalesce(kept.n, '{}'),
        limit_calls = added.limit_calls, window_seconds = added.window_seconds
    FROM added, LATERAL (
        SELECT array_agg(at ORDER BY at) AS at, array_agg(n ORDER BY at) AS n FROM (
            SELECT at, sum(n)::int AS n
            FROM (
                SELECT at, n FROM calls WHERE calls.bucket = added.bucket UNION ALL SELECT added.stamp, added.n
            ) AS old_and_new
            WHERE n > 0
            GROUP BY at
        ) AS by_time
    ) AS kept
    WHERE budget.token_fingerprint = :token AND budget.bucket = added.bucket
)
"""

_PLACES = """
, wait AS MATERIALIZED (
    SELECT bucket, limit_calls - used AS free, greatest(paused_until, (
        SELECT min(at) + span
        FROM (SELECT at, sum(n) OVER (ORDER BY at) AS gone FROM calls WHERE calls.bucket = live.bucket AND counts) AS a
        WHERE gone > used - limit_calls AND used >= limit_calls
    )) AS until
    FROM live
), verdict AS MATERIALIZED (
    SELECT CASE WHEN bool_or(until > now) THEN 0 ELSE least(:wanted, min(free)) END::int AS places,
           greatest(extract(epoch FROM max(until) - min(now)), 0)::float AS wait_seconds
    FROM wait, clock
    HAVING count(*) = cardinality(:buckets)
), added AS (
    SELECT bucket, limit_calls, window_seconds, stamp, places AS n FROM live, verdict WHERE places > 0
)
"""

_GRANT = """
SELECT places, wait_seconds, limit_calls, window_seconds, (used + places)::int AS counted
FROM live, verdict
WHERE bucket = :of
"""

# HubSpot's count at a call that went :ago_seconds ago, less what was granted in the window before it, was made by
# others. Nobody knows when; they count from now.
_OF_OTHERS = """
, added AS (
    SELECT bucket, CAST(:limit_calls AS int) AS limit_calls, CAST(:window_seconds AS float) AS window_seconds, stamp,
           greatest(CAST(:used AS int) - (
               SELECT coalesce(sum(n), 0) FROM calls
               WHERE calls.bucket = live.bucket AND at > now - span - make_interval(secs => :ago_seconds)
           ), 0)::int AS n
    FROM live
)
"""

RESERVE = text("".join((_HEAD, _PLACES, _WRITTEN, _GRANT)))

CORRECT = text("".join((_HEAD, _OF_OTHERS, _WRITTEN, "SELECT n FROM added")))

PAUSE = text("""
UPDATE rate_budgets
SET paused_until = greatest(paused_until, clock_timestamp() + make_interval(secs => :seconds))
WHERE token_fingerprint = :token AND bucket = :bucket
""")

BEGIN = text("""
INSERT INTO rate_budgets (token_fingerprint, bucket, limit_calls, window_seconds)
VALUES (:token, :bucket, :limit_calls, :window_seconds)
ON CONFLICT DO NOTHING
""")


def fingerprint(token: str) -> str:
    """Tells tokens apart. 64 bits of a keyed hash of a random secret: it cannot be turned back."""
    return hmac.new(b"jobloop rate budgets", token.encode(), "sha256").hexdigest()[:16]


class RateBudgets:
    """A `Ledger`.

    budgets  count until HubSpot says otherwise; a bucket that they lack has its default
    pooler   a transaction pooler stands before the database
    """

    def __init__(
        self, engine: AsyncEngine, token: str, budgets: Mapping[Bucket, Budget], *, pooler: bool = False
    ) -> None:
        # With autocommit the rows are free again when the statement ends, not when this process comes round. A pooler
        # may prepare a statement in one session and execute it in another, unless a transaction keeps them together.
        self._engine = engine if pooler else engine.execution_options(isolation_level="AUTOCOMMIT")
        self._token = fingerprint(token)
        self._budgets = {**DEFAULT_BUDGETS, **budgets}

    async def reserve(self, buckets: Sequence[Bucket], wanted: int) -> Grant:
        binds = {"buckets": [bucket.value for bucket in buckets], "of": buckets[-1].value, "wanted": wanted}
        rows = await self._run(RESERVE, binds)
        if not rows:
            for bucket in buckets:
                await self._begin(bucket)
            rows = await self._run(RESERVE, binds)
        if not rows:
            raise LedgerAway("the rows of the token were removed a moment after they were made")
        return Grant(*rows[0])

    async def correct(self, bucket: Bucket, reading: Reading, ago_seconds: float) -> None:
        budget = self._budgets[bucket]
        window_seconds = reading.window_seconds or budget.window_seconds
        limit = max(min(reading.limit or budget.calls, _LARGEST_LIMIT), 1)
        # What was granted long before this call is no longer kept, and would be taken for the calls of others.
        is_recent = reading.limit is not None and reading.remaining is not None and ago_seconds < window_seconds / 3
        used = (reading.limit or 0) - (reading.remaining or 0) if is_recent else 0
        binds = {
            "buckets": [bucket.value],
            "limit_calls": limit,
            "window_seconds": window_seconds,
            "used": max(used, 0),
            "ago_seconds": ago_seconds,
        }
        await self._run(CORRECT, binds)

    async def pause(self, bucket: Bucket, seconds: float) -> None:
        await self._run(PAUSE, {"bucket": bucket.value, "seconds": seconds})

    async def _begin(self, bucket: Bucket) -> None:
        budget = self._budgets[bucket]
        binds = {"bucket": bucket.value, "limit_calls": budget.calls, "window_seconds": budget.window_seconds}
        await self._run(BEGIN, binds)

    async def _run(self, statement: TextClause, binds: Mapping[str, Any]) -> Sequence[Any]:
        for attempt in range(1, _MOST_TRIES + 1):
            try:
                async with asyncio.timeout(_TIMEOUT_SECONDS), self._engine.connect() as connection:
                    result = await connection.execute(statement, {**binds, "token": self._token})
                    rows = result.all() if result.returns_rows else ()
                    await connection.commit()
                    return rows
            except DBAPIError as exc:
                if getattr(exc.orig, "sqlstate", None) not in _TRANSIENT or attempt == _MOST_TRIES:
                    raise LedgerAway(_reason(exc.orig or exc)) from exc
                await asyncio.sleep(random.uniform(0, 0.002 * 2**attempt))
            except (OSError, SQLAlchemyError, PostgresError, InterfaceError) as exc:
                raise LedgerAway(_reason(exc)) from exc
        raise AssertionError("unreachable")


def _reason(exc: BaseException) -> str:
    if isinstance(exc, TimeoutError):
        return f"the database did not answer within {_TIMEOUT_SECONDS:g} seconds"
    return " ".join(str(exc).split()) or type(exc).__name__
