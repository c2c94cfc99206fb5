"""Doctor: is this table fit to be a queue, and what would make it better?

    for finding in await examine(queue, engine):
        print(finding.severity, finding.title, finding.sql)

It changes nothing. What it reads is the catalogue, the statistics, EXPLAIN without ANALYZE, and counts over the
queue's partial indexes, so it may run against production.
"""

from __future__ import annotations

from itertools import chain

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from jobloop.catalogue import TableFacts, read_table, table_name
from jobloop.findings import access, columns, indexes, partitions, plans, rows, server, storage, triggers
from jobloop.findings.finding import Finding, Severity, problem
from jobloop.queue import JobQueue

__all__ = ["Finding", "Severity", "examine"]

_WORST_FIRST = list(Severity)


async def examine(queue: JobQueue, engine: AsyncEngine, *, session_handlers: int = 1) -> list[Finding]:
    """Everything worth saying about the queue's table and its server, the worst first; empty: nothing is.

    `session_handlers` is how many handlers with a session run at once, for the size of the pool. A table that lacks
    what the queue cannot do without is not examined further.
    """
    async with engine.connect() as connection:
        table = await read_table(queue, connection)
        if table is None:
            return [problem("table.missing", f"Table {table_name(queue)} does not exist", "Run the migrations.")]
        if found := await cannot_work(queue, table, connection):
            return found
        found = list(
            chain(
                columns.unfit(queue, table),
                await columns.refused_labels(queue, table, connection),
                partitions.find(queue, table),
                indexes.find(queue, table),
                indexes.costs(queue, table),
                await access.row_security(table, connection),
                await triggers.find(queue, table, connection),
                await storage.find(table, connection),
                await server.isolation(connection),
                await server.snapshots(connection),
                server.pool(engine, session_handlers),
                await rows.find(queue, table, connection),
            )
        )
        if not any(finding.code.startswith(("column.", "status.")) for finding in found):  # else EXPLAIN itself fails
            found += await plans.find(queue, table, connection)
        await connection.rollback()
    return sorted(found, key=lambda finding: _WORST_FIRST.index(finding.severity))


async def cannot_work(queue: JobQueue, table: TableFacts, connection: AsyncConnection) -> list[Finding]:
    """What stops the queue altogether: columns, labels, privileges, policies."""
    security = await access.row_security(table, connection)
    return [
        *columns.missing(queue, table),
        *partitions.refused(queue, table),
        *await access.privileges(queue, table, connection),
        *(finding for finding in security if finding.severity is Severity.PROBLEM),
    ]
