"""What EXPLAIN says of the queue's own statements, with the table as it is now."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from jobloop import statements
from jobloop.catalogue import TableFacts
from jobloop.findings.finding import Finding, problem
from jobloop.findings.finding import statements as lines
from jobloop.queue import JobQueue
from jobloop.status import Role

#: Reading a smaller table from end to end is no mistake of the planner's.
FEW_ROWS = 2_000
#: Up to here the planner may prefer a scan although an index would do, and lose little.
MIDDLING_ROWS = 50_000
_BATCH = 100

Plan = dict[str, Any]


_SETTINGS = sa.text("""
    SELECT name, setting, source, quote_ident(current_database()) AS database, quote_ident(current_user::text) AS role
    FROM pg_settings
    WHERE category IN ('Query Tuning / Planner Cost Constants', 'Query Tuning / Planner Method Configuration')
      AND source IN ('database', 'user', 'database user') AND setting <> boot_val ORDER BY name
""")
_RESETS = {
    "database": "ALTER DATABASE {0.database} RESET {0.name}",
    "user": "ALTER ROLE {0.role} RESET {0.name}",
    "database user": "ALTER ROLE {0.role} IN DATABASE {0.database} RESET {0.name}",
}


async def find(queue: JobQueue, table: TableFacts, connection: AsyncConnection) -> list[Finding]:
    """Statements that read the whole table or sort the backlog. Nothing is executed."""
    findings = []
    for name, statement, binds in await _statements(queue, connection):
        try:
            if name == "claim" and not table.has_places:
                statement = statements.claim(queue, by_place=False)
            plan = await explain(connection, statement, binds)
        except DBAPIError as exc:
            findings.append(problem(f"plan.{name}.refused", f"PostgreSQL refuses the {name}", f"It says: {exc.orig}."))
            continue
        amiss = next(_amiss(plan, queue, name), None)
        if amiss is None or (rows := max(table.rows, amiss[1])) < FEW_ROWS:
            continue
        could_do = next(_amiss(await explain(connection, statement, binds, by_index=True), queue, name), None) is None
        if could_do and rows < MIDDLING_ROWS:
            continue
        settings = (await connection.execute(_SETTINGS)).all() if could_do else []
        why = "See the indexes."
        sql = None
        if settings:
            why = "An index would do; the planner's settings speak against it. New sessions follow the statement."
            sql = lines(*(_RESETS[setting.source].format(setting) for setting in settings))
        elif could_do:
            why, sql = "An index would do; the planner's statistics are old.", f"ANALYZE {table.name};"
        findings.append(
            problem(
                f"plan.{name}",
                f"The {name} {amiss[0]} of about {rows:,} rows",
                f"Measured on 1,000,000 waiting rows: 600 rows/s without the index, 16,300 with it. {why}",
                sql,
                plan=_outline(plan),
                settings={setting.name: setting.setting for setting in settings},
            )
        )
    return findings


async def explain(connection: AsyncConnection, statement: Any, binds: Plan, *, by_index: bool = False) -> Plan:
    """The plan of a statement; `by_index`: as it would be if scans and sorts were to be avoided."""
    async with connection.begin_nested() as savepoint:
        if by_index:
            await connection.execute(sa.text("SET LOCAL enable_seqscan = off"))
            await connection.execute(sa.text("SET LOCAL enable_sort = off"))
        text, values = await _as_sent(connection, statement, binds)
        explained = await connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {text}", values)
        found = explained.scalar_one()
        await savepoint.rollback()
    (answer,) = json.loads(found) if isinstance(found, str) else found
    return dict(answer["Plan"])


async def _as_sent(connection: AsyncConnection, statement: Any, binds: Plan) -> tuple[str, Any]:
    """The text and the values of a statement as the driver would get them. It is not executed."""

    class Stop(Exception):
        pass

    def stop(connection: Any, cursor: Any, text: str, values: Any, context: Any, many: bool) -> None:
        raise Stop(text, values)

    sync_connection = connection.sync_connection
    event.listen(sync_connection, "before_cursor_execute", stop)
    try:
        await connection.execute(statement, binds)
    except Stop as stopped:
        return stopped.args
    finally:
        event.remove(sync_connection, "before_cursor_execute", stop)
    raise AssertionError("unreachable")


def nodes(plan: Plan) -> Iterator[Plan]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


async def _statements(queue: JobQueue, connection: AsyncConnection) -> list[tuple[str, sa.Executable, Plan]]:
    some = (await connection.execute(sa.select(*queue.columns.key).limit(_BATCH))).all()
    token, count = UUID(int=0), len(some)
    held: Plan = {f"key_{i}": [row[i] for row in some] for i in range(len(queue.columns.key))}
    held["token"] = [token] * count
    until: list[datetime | None] = [None] * count
    said = {
        "error": ["busy"] * count,
        "counted": [1] * count,
        "delay_seconds": [60.0] * count,
        "until": until,
    }
    claim = {"batch_size": _BATCH, "retry_share": _BATCH // 4, "token": token, "lease_seconds": 60.0}
    return [
        ("claim", statements.claim(queue), claim),
        ("settle", statements.settle(queue, Role.QUEUED), {**held, **said}),
        ("renew", statements.renew(queue), {**held, "lease_seconds": 60.0}),
        ("rescue", statements.rescue(queue), {"batch_size": 1000, "max_rescues": queue.max_rescues}),
    ]


def _amiss(plan: Plan, queue: JobQueue, name: str) -> Iterator[tuple[str, int]]:
    """(what the statement does, rows of it) for each step that should not be there."""
    for node in nodes(plan):
        below = [child for child in nodes(node) if child is not node]
        if node["Node Type"] == "Seq Scan" and _is_ours(node, queue):
            yield "reads the whole table", int(node["Plan Rows"])
        if name == "claim" and node["Node Type"] == "Sort" and any("Relation Name" in child for child in below):
            most = max(int(child["Plan Rows"]) for child in below if "Relation Name" in child)
            if most > 2 * _BATCH:
                yield "sorts its candidates, out", most


def _is_ours(node: Plan, queue: JobQueue) -> bool:
    """Every table but the queue's is small or the caller's own: only ours counts, or partitions of it."""
    alias = str(node.get("Alias", ""))
    return node.get("Relation Name") == queue.table.name or alias.startswith(f"{queue.table.name}_")


def _outline(plan: Plan) -> list[str]:
    words = ("Node Type", "Relation Name", "Index Name")
    return [" ".join(str(node[word]) for word in words if word in node) for node in nodes(plan)]
