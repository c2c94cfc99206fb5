"""Ask the doctor, and take its medicine as a user would."""

from __future__ import annotations

from jobloop import JobQueue
from jobloop.doctor import Finding, Severity, examine
from tests.jobloop.tickets import Desk, make_queue


async def found(desk: Desk, queue: JobQueue | None = None) -> dict[str, Finding]:
    return {finding.code: finding for finding in await examine(queue or make_queue(), desk.engine)}


def to_mend(findings: dict[str, Finding]) -> list[str]:
    return [code for code, finding in findings.items() if finding.severity is not Severity.INFO]


async def mend(desk: Desk, finding: Finding) -> None:
    """Run its SQL as a user would paste it into psql: one statement after the other, outside a transaction."""
    assert finding.sql is not None
    for statement in finding.sql.split(";\n"):
        async with desk.engine.connect() as connection:
            await connection.execution_options(isolation_level="AUTOCOMMIT")
            await connection.exec_driver_sql(statement)
    await desk.engine.dispose()  # prepared statements of these sessions may be void now
