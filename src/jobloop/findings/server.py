"""What else goes on in the server: snapshots that hold vacuum back, the isolation level, our own connections."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from jobloop.binding import OWN_CONNECTIONS, most_connections
from jobloop.findings.finding import Finding, advice, statements

#: A transaction that is open for longer than this keeps dead rows from vacuum for as long.
LONG = timedelta(minutes=5)
#: Transactions that began since a replication slot's oldest; about the dead rows it keeps.
MANY_TRANSACTIONS = 100_000

_SNAPSHOTS = sa.text("""
    SELECT 'session' AS kind, pid::text AS name, age(coalesce(backend_xmin, backend_xid))::int8 AS transactions,
           extract(epoch FROM clock_timestamp() - xact_start)::float8 AS seconds,
           concat_ws(', ', usename, nullif(application_name, ''), state, left(query, 100)) AS words
    FROM pg_stat_activity
    WHERE pid <> pg_backend_pid() AND backend_type IN ('client backend', 'walsender')
      AND coalesce(backend_xmin, backend_xid) IS NOT NULL
      AND (datname = current_database() OR backend_type = 'walsender')
    UNION ALL
    SELECT 'prepared', gid, age(transaction)::int8, extract(epoch FROM clock_timestamp() - prepared)::float8,
           owner::text
    FROM pg_prepared_xacts WHERE database = current_database()
    UNION ALL
    SELECT 'slot', slot_name, age(xmin)::int8, NULL, concat_ws(', ', slot_type, CASE WHEN active THEN 'active' END)
    FROM pg_replication_slots WHERE xmin IS NOT NULL
    ORDER BY transactions DESC NULLS LAST
""")
_ISOLATION = sa.text("""
    SELECT current_setting('transaction_isolation') AS used,
           current_setting('default_transaction_isolation') AS default,
           quote_ident(current_user::text) AS role, quote_ident(current_database()) AS database,
           (SELECT source FROM pg_settings WHERE name = 'default_transaction_isolation') AS source
""")


async def snapshots(connection: AsyncConnection) -> list[Finding]:
    return list(judge([dict(row) for row in (await connection.execute(_SNAPSHOTS)).mappings()]))


def judge(holders: list[dict[str, Any]]) -> Iterator[Finding]:
    """`holders`: kind (session, prepared, slot), name, transactions since, seconds open, words."""
    why = "Vacuum must keep every row that died since, and each claim steps over those at the head of its index."
    mends = {
        "session": ("Session", "SELECT pg_terminate_backend({})"),
        "prepared": ("Prepared transaction", "ROLLBACK PREPARED {}"),
        "slot": ("Replication slot", "SELECT pg_drop_replication_slot({})"),
    }
    for kind, (noun, mend) in mends.items():
        old = [
            holder
            for holder in holders
            if holder["kind"] == kind
            and (
                (holder["transactions"] or 0) > MANY_TRANSACTIONS
                if kind == "slot"
                else timedelta(seconds=holder["seconds"] or 0) > LONG
            )
        ]
        if not old:
            continue
        first = old[0]
        since = "" if first["seconds"] is None else f" for {timedelta(seconds=round(first['seconds']))}"
        yield advice(
            f"server.{kind}",
            f"{noun} {first['name']} has held an old snapshot{since}, over {first['transactions'] or 0:,} transactions",
            why + (" End it where it came from, if you can; the statement ends it here." if kind == "session" else ""),
            statements(*(mend.format(_name(holder)) for holder in old)),
            holders=[{"name": holder["name"], "words": holder["words"]} for holder in old],
        )


async def isolation(connection: AsyncConnection) -> list[Finding]:
    """`connection` must have the engine's own isolation level."""
    found = (await connection.execute(_ISOLATION)).one()
    wanted = "read committed"
    if found.used == wanted and found.default == wanted:
        return []
    is_ours = found.source == "client" or found.default == wanted
    return [
        advice(
            "server.isolation",
            f"Transactions are {found.used} by default",
            "The queue's own statements begin READ COMMITTED all the same, with two more round trips each: 42 % fewer "
            "rows at batch 10, 7 % at 500. A handler with a session gets the default, and its settle fails whenever "
            "somebody else touched the row meanwhile."
            + (" It is set by the application's engine: change it there." if is_ours else " New sessions follow."),
            None
            if is_ours
            else f"ALTER ROLE {found.role} IN DATABASE {found.database} "
            "SET default_transaction_isolation = 'read committed';",
            set_by="engine" if is_ours else found.source,
        )
    ]


def pool(engine: AsyncEngine, session_handlers: int) -> list[Finding]:
    """Has the engine as many connections as the loop may want at once?"""
    has, wants = most_connections(engine), session_handlers + OWN_CONNECTIONS
    if has is None or has >= wants:
        return []
    return [
        advice(
            "server.pool",
            f"The connection pool has {has}, the queue may want {wants} at once",
            f"{session_handlers} for handlers with a session, {OWN_CONNECTIONS} for claims, settles and renewals. A "
            "renewal that waits for a connection comes too late. Raise pool_size or lower the concurrency.",
            None,
            has=has,
            wants=wants,
        )
    ]


def _name(holder: dict[str, Any]) -> str:
    if holder["kind"] == "session":
        return str(holder["name"])
    return "'" + str(holder["name"]).replace("'", "''") + "'"
