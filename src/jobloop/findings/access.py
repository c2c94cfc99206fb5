"""What the worker's role may do to the table, and which rows it is shown."""

from __future__ import annotations

from collections.abc import Iterator

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from jobloop.catalogue import TableFacts
from jobloop.findings.finding import Finding, info, problem
from jobloop.queue import JobQueue
from jobloop.schema import BOOKKEEPING, quote

_POLICIES = sa.text("""
    SELECT polname AS name, polcmd::text AS command, polpermissive AS is_permissive,
           pg_get_expr(polqual, polrelid) AS sees, pg_get_expr(polwithcheck, polrelid) AS may_write
    FROM pg_policy
    WHERE polrelid = :table AND (polroles = '{0}'
        OR EXISTS (SELECT FROM unnest(polroles) r WHERE pg_has_role(r, 'USAGE')))
    ORDER BY 1
""")
_ROLE = sa.text("SELECT quote_ident(current_user::text)")


async def privileges(queue: JobQueue, table: TableFacts, connection: AsyncConnection) -> list[Finding]:
    """Columns that this role must read or write, and may not."""
    c = queue.columns
    written = {c.status.name, *(getattr(c, role).name for role in BOOKKEEPING)}
    written |= {column.name for column in queue.table.columns if column.onupdate is not None}
    written |= {c.decision.name} if c.decision is not None else set()
    read = {*written, *(key.name for key in c.key), *(column.name for column in queue.row_columns.values())}
    unwritable = sorted(name for name in written if name in table.columns and not table.columns[name].may_update)
    unreadable = sorted(name for name in read if name in table.columns and not table.columns[name].may_select)
    if not unwritable and not unreadable:
        return []
    role = await connection.scalar(_ROLE)
    grants = [
        f"GRANT {privilege} ({', '.join(quote(name) for name in names)}) ON {table.name} TO {role};"
        for privilege, names in (("SELECT", unreadable), ("UPDATE", unwritable))
        if names
    ]
    return [
        problem(
            "access.privilege",
            f"Role {role} may not {'update' if unwritable else 'select'} every column that the queue "
            f"{'writes' if unwritable else 'reads'}",
            "Every claim fails with 'permission denied'.",
            "\n".join(grants),
            may_not_update=unwritable,
            may_not_select=unreadable,
        )
    ]


async def row_security(table: TableFacts, connection: AsyncConnection) -> list[Finding]:
    """What policies leave to this role. A superuser, a role with BYPASSRLS and mostly the owner see every row."""
    if not table.row_security:
        return []
    policies = (await connection.execute(_POLICIES, {"table": table.oid})).all()
    return list(_judge(table, list(policies), str(await connection.scalar(_ROLE))))


def _judge(table: TableFacts, policies: list[sa.Row[tuple[str, str, bool, str, str]]], role: str) -> Iterator[Finding]:
    seen = {policy.name: policy.sees for policy in policies}
    for letter, verb in (("r", "SELECT"), ("w", "UPDATE")):
        if not any(policy.is_permissive and policy.command in ("*", letter) for policy in policies):
            yield problem(
                "access.row_security",
                f"Row-level security shows role {role} no row for {verb}",
                "No permissive policy for it applies, so every claim finds nothing although rows are queued. The "
                "statement shows it every row; narrow the USING and WITH CHECK if it is not to see all.",
                f"CREATE POLICY {quote(f'jobloop_{verb.lower()}')} ON {table.name} FOR {verb} TO {role} USING (true)"
                + (" WITH CHECK (true);" if letter == "w" else ";"),
                policies=seen,
            )
            return
    yield info(
        "access.row_security_active",
        f"Row-level security decides which rows role {role} claims",
        "A row that a policy hides is not claimed, renewed or rescued. A policy must not name what the queue changes "
        "(status, token, lease): a row would vanish in the middle of its job.",
        None,
        policies=seen,
    )
