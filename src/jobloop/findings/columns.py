"""Have the columns the names, types, defaults and labels that the queue needs?"""

from __future__ import annotations

from collections.abc import Iterator

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from jobloop.catalogue import ColumnFacts, TableFacts
from jobloop.findings.finding import Finding, advice, problem
from jobloop.outcome import ERROR_LENGTH
from jobloop.queue import JobQueue
from jobloop.schema import BOOKKEEPING, quote
from jobloop.status import Role

_TYPES = {
    "error": ("text", "character varying"),
    "retry_count": ("integer", "bigint", "smallint"),
    "next_retry_at": ("timestamp with time zone",),
    "claim_token": ("uuid",),
    "lease_expires_at": ("timestamp with time zone",),
    "rescue_count": ("integer", "bigint", "smallint"),
}
_CHECKS = sa.text("""
    SELECT conname AS name, pg_get_expr(conbin, conrelid) AS condition FROM pg_constraint
    WHERE conrelid = :table AND contype = 'c' AND conkey = ARRAY[CAST(:column AS int2)]
""")


def missing(queue: JobQueue, table: TableFacts) -> Iterator[Finding]:
    """What the queue cannot do without: every column, and every label of an enum status."""
    for role, spec in BOOKKEEPING.items():
        column = getattr(queue.columns, role)
        if column.name not in table.columns:
            rest = "integer NOT NULL DEFAULT 0" if spec.counter else _TYPES[role][0]
            yield problem(
                "column.missing",
                f"There is no column {column.name!r} for the queue's {role}",
                f"In a migration: {spec.migration(queue.table, queue.prefix, column.name)}.",
                f"ALTER TABLE {table.name} ADD COLUMN {quote(column.name)} {rest};",
                role=role,
            )
    for column in (queue.columns.status, queue.columns.decision):
        if column is None:
            continue
        if column.name not in table.columns:
            yield problem("column.missing", f"There is no column {column.name!r} for the status", "Run the migrations.")
            continue
        facts = table.columns[column.name]
        if facts.is_enum and facts.type != facts.base_type:
            yield problem(
                "status.domain",
                f"Column {column.name!r} is {facts.type}, a domain over the enum {facts.base_type}",
                "PostgreSQL cannot compare it with a label: 'operator does not exist'.",
                f"ALTER TABLE {table.name} ALTER COLUMN {quote(column.name)} TYPE {facts.base_type};",
            )
        roles = Role if column is queue.columns.status else (Role.COMPLETE, Role.ERROR)
        for label in (_label(queue, role, column) for role in roles):
            if facts.is_enum and label not in facts.labels:
                yield problem(
                    "status.label",
                    f"The enum {facts.base_type} of column {column.name!r} has no label {label!r}",
                    "A statement that writes it fails.",
                    f"ALTER TYPE {facts.base_type} ADD VALUE '{label.replace(chr(39), chr(39) * 2)}';",
                    labels=list(facts.labels),
                )


def unfit(queue: JobQueue, table: TableFacts) -> Iterator[Finding]:
    """Columns that are there, but cannot hold what the queue writes."""
    for role, types in _TYPES.items():
        column = table.columns.get(getattr(queue.columns, role).name)
        if column is None:
            continue
        alter = f"ALTER TABLE {table.name} ALTER COLUMN {quote(column.name)}"
        base = column.base_type
        if base not in types:
            using = f" USING {quote(column.name)}::{types[0]}" if role != "claim_token" else " USING NULL"
            yield problem(
                "column.type",
                f"Column {column.name!r} ({role}) is {column.type}, it must be {types[0]}",
                "Times are compared with the database's clock, tokens with each other; another type shifts or fails.",
                f"{alter} TYPE {types[0]}{using};",
                type=column.type,
            )
        if role == "error" and column.length is not None and column.length < ERROR_LENGTH:
            yield advice(
                "column.short",
                f"Column {column.name!r} holds {column.length} characters of an error",
                f"Errors have up to {ERROR_LENGTH:,} characters. Where the model does not say the column's length, a "
                "longer one is refused: its row ends in Error with PostgreSQL's words, or waits for the rescue.",
                f"{alter} TYPE text;",
                length=column.length,
            )
        yield from _nullability(role, column, alter)


def _nullability(role: str, column: ColumnFacts, alter: str) -> Iterator[Finding]:
    if not BOOKKEEPING[role].counter:
        if column.is_not_null:
            yield problem(
                "column.not_null",
                f"Column {column.name!r} ({role}) must allow NULL",
                "Nothing to say is said with NULL: every settle fails.",
                f"{alter} DROP NOT NULL;",
            )
    elif not column.is_not_null or column.default is None:
        yield problem(
            "column.counter",
            f"Counter {column.name!r} must be NOT NULL with a default of 0",
            "NULL + 1 is NULL: attempts are not counted and a row is tried for ever. Without a default every INSERT "
            "of yours must name it.",
            f"{alter} SET DEFAULT 0;\n"
            f"{alter} TYPE integer USING coalesce({quote(column.name)}, 0);\n"
            f"{alter} SET NOT NULL;",
            default=column.default,
            is_not_null=column.is_not_null,
        )


async def refused_labels(queue: JobQueue, table: TableFacts, connection: AsyncConnection) -> list[Finding]:
    """Status values that the column's length or a CHECK on it would refuse."""
    status = table.columns.get(queue.columns.status.name)
    if status is None or status.is_enum:
        return []
    findings = []
    labels = [_label(queue, role) for role in Role]
    longest = max(labels, key=len)
    if status.length is not None and len(longest) > status.length:
        findings.append(
            problem(
                "status.short",
                f"Column {status.name!r} holds {status.length} characters, {longest!r} has {len(longest)}",
                "A statement that writes it fails.",
                f"ALTER TABLE {table.name} ALTER COLUMN {quote(status.name)} TYPE text;",
                type=status.type,
            )
        )
    checks = await connection.execute(_CHECKS, {"table": table.oid, "column": status.number})
    for name, condition in checks.all():
        row = f"(SELECT CAST(:label AS text)::{status.type} AS {quote(status.name)}) AS row"
        ask = sa.text(f"SELECT coalesce({condition.replace(':', chr(92) + ':')}, true) FROM {row}")  # noqa: S608
        refused = [label for label in labels if not await connection.scalar(ask, {"label": label})]
        if refused:
            allowed = f"{condition} OR {quote(status.name)} IN ({', '.join(_quoted(label) for label in labels)})"
            findings.append(
                problem(
                    "status.check",
                    f"CHECK {name} on {status.name!r} refuses {', '.join(map(repr, refused))}",
                    "A statement that writes it fails.",
                    f"ALTER TABLE {table.name} DROP CONSTRAINT {quote(name)};\n"
                    f"ALTER TABLE {table.name} ADD CONSTRAINT {quote(name)} CHECK ({allowed}) NOT VALID;",
                    condition=condition,
                )
            )
    return findings


def _label(queue: JobQueue, role: Role, column: sa.Column[str] | None = None) -> str:
    return str(queue.literal(role, column))[1:-1].replace("''", "'")


def _quoted(label: str) -> str:
    escaped = label.replace("'", "''")
    return f"'{escaped}'"
