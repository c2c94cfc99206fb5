"""Rows that wait for an operator, or longer than a user may think. Each count reads a partial index of the queue."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from jobloop.catalogue import TableFacts
from jobloop.findings.finding import Finding, advice, info, problem
from jobloop.queue import JobQueue
from jobloop.schema import quote
from jobloop.status import Role

#: A retry that waits this much longer than the policy's longest delay was hardly meant.
_BEYOND = timedelta(days=1)


async def find(queue: JobQueue, table: TableFacts, connection: AsyncConnection) -> list[Finding]:
    c = queue.columns
    now = sa.func.statement_timestamp()
    far = queue.retry.max_delay + _BEYOND
    processing = (
        sa.select(
            sa.func.count().filter(c.lease_expires_at.is_(None), c.claim_token.is_(None)).label("orphans"),
            sa.func.count().filter(c.lease_expires_at < now - queue.lease).label("expired"),
            sa.func.min(c.lease_expires_at).label("since"),
        )
        .where(c.status == queue.literal(Role.PROCESSING))
        .select_from(queue.table)
    )
    queued = (
        sa.select(
            sa.func.count().label("waiting"),
            sa.func.count().filter(c.next_retry_at > now + far).label("far"),
            sa.func.max(c.next_retry_at).label("latest"),
        )
        .where(c.status == queue.literal(Role.QUEUED), c.next_retry_at > now)
        .select_from(queue.table)
    )
    held = (await connection.execute(processing)).one()
    return [*_held(queue, table, held), *_waiting(queue, table, (await connection.execute(queued)).one(), far)]


def _held(queue: JobQueue, table: TableFacts, held: Any) -> list[Finding]:
    findings = []
    status = quote(queue.columns.status.name)
    token, lease = quote(queue.columns.claim_token.name), quote(queue.columns.lease_expires_at.name)
    retry_at = quote(queue.columns.next_retry_at.name)
    queued, processing = queue.literal(Role.QUEUED), queue.literal(Role.PROCESSING)
    if held.orphans:
        findings.append(
            problem(
                "rows.without_lease",
                f"{held.orphans:,} rows are {processing} without a lease",
                "An older system, or a hand, left them. Nothing of jobloop's touches them, because only you know that "
                "no older worker still runs. Adopt those that are old enough: queue adopt --older-than 1h, or "
                "Control.adopt(where). The statement adopts all.",
                _update(
                    table,
                    f"{status} = {queued}, {retry_at} = NULL",
                    f"{status} = {processing} AND {lease} IS NULL AND {token} IS NULL",
                ),
                rows=held.orphans,
            )
        )
    if held.expired:
        findings.append(
            advice(
                "rows.expired",
                f"{held.expired:,} rows have had no worker for longer than a lease ({queue.lease})",
                "The next cycle of any worker rescues them: none has run since.",
                None,
                rows=held.expired,
                since=held.since.isoformat(),
            )
        )
    return findings


def _waiting(queue: JobQueue, table: TableFacts, waits: Any, far: timedelta) -> list[Finding]:
    findings = []
    status, retry_at = quote(queue.columns.status.name), quote(queue.columns.next_retry_at.name)
    queued = queue.literal(Role.QUEUED)
    if waits.far:
        findings.append(
            advice(
                "rows.far_future",
                f"{waits.far:,} rows are not due before {far} from now",
                f"The longest delay of the policy is {queue.retry.max_delay}: a handler snoozed them, or something "
                f"else wrote {retry_at}. Until then nothing claims them.",
                _update(
                    table,
                    f"{retry_at} = now()",
                    f"{status} = {queued} AND {retry_at} > now() + interval '{far.total_seconds():.0f} s'",
                ),
                rows=waits.far,
                latest=waits.latest.isoformat(),
            )
        )
    if waits.waiting:
        findings.append(
            info(
                "rows.waiting",
                f"{waits.waiting:,} rows wait for their next attempt",
                f"SET {status} = {queued} on such a row changes nothing, it waits on. To make one due now, as a fresh "
                f"request, set {retry_at} = NULL with it. The statement does so for all.",
                _update(
                    table, f"{status} = {queued}, {retry_at} = NULL", f"{status} = {queued} AND {retry_at} > now()"
                ),
                rows=waits.waiting,
            )
        )
    return findings


def _update(table: TableFacts, changes: str, where: str) -> str:
    return f"UPDATE {table.name} SET {changes} WHERE {where};"  # noqa: S608
