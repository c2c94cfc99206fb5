"""Do the two partial indexes of the queue exist, exactly, and what do the other indexes cost it?"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.sql import operators

from jobloop.catalogue import IndexFacts, TableFacts
from jobloop.findings.finding import Finding, advice, problem, statements
from jobloop.queue import JobQueue
from jobloop.schema import NEVER, quote
from jobloop.status import Role

#: More indexes than this on a queue's table are worth a word.
MANY = 8

_DESCENDING, _NULLS_FIRST = 1, 2
_MODIFIERS = (operators.asc_op, operators.desc_op, operators.nulls_first_op, operators.nulls_last_op)
_DIALECT = PGDialect_asyncpg()  # type: ignore[no-untyped-call]


@dataclass(frozen=True, slots=True)
class Term:
    """One key of an index: its SQL, and PostgreSQL's option bits for DESC and NULLS FIRST."""

    sql: str
    option: int = 0
    is_column: bool = True

    @property
    def ddl(self) -> str:
        words = [self.sql if self.is_column else f"({self.sql})"]
        if self.option & _DESCENDING:
            words.append("DESC" if self.option & _NULLS_FIRST else "DESC NULLS LAST")
        elif self.option & _NULLS_FIRST:
            words.append("NULLS FIRST")
        return " ".join(words)

    def is_key(self, sql: str, option: int) -> bool:
        return self.option == option and plain(self.sql) == plain(sql)


def claim_terms(queue: JobQueue) -> list[Term]:
    """The keys of the index that a claim is read from, in order."""
    retry_at = quote(queue.columns.next_retry_at.name)
    terms = [Term(f"COALESCE({retry_at}, {NEVER})", is_column=False)]
    for wanted in queue.order_by:
        term = _term(wanted)
        if term.sql not in [earlier.sql for earlier in terms]:
            terms.append(term)
    return terms


def find(queue: JobQueue, table: TableFacts) -> Iterator[Finding]:
    """The claim's index, then the rescue's."""
    wanted = claim_terms(queue)
    of_claim = [index for index in table.indexes if _is_for(queue, Role.QUEUED, index)]
    due_first = [index for index in of_claim if wanted[0].is_key(index.terms[0], index.options[0])]
    exact = [index for index in due_first if _has_keys(index, wanted)]
    sql = create(queue, table, Role.QUEUED, taken=[index.name for index in table.indexes])
    slow = "every claim sorts the backlog: 600 rows/s instead of 16,300 at 1,000,000 waiting rows"
    hint = "In a migration: op.create_queue_indexes(…), see jobloop.migrations."
    if not any(index.is_valid for index in due_first):
        if exact:
            yield _invalid(exact[0], table, sql, "claim")
        else:
            yield problem("index.claim.missing", f"No index serves the claim, {slow}", hint, sql)
    elif not any(index.is_valid for index in exact):
        (old, *_) = due_first
        yield problem(
            "index.claim.order",
            f"The claim's index {old.name} is not in the queue's order, {slow}",
            hint,
            statements(sql.rstrip(";"), f"DROP INDEX {_concurrently(table)}{old.name}"),
            index=old.definition,
            wanted=", ".join(term.ddl for term in wanted),
        )
    of_rescue = [index for index in table.indexes if _is_for(queue, Role.PROCESSING, index)]
    sql = create(queue, table, Role.PROCESSING, taken=[index.name for index in table.indexes])
    if not of_rescue:
        yield problem(
            "index.rescue.missing",
            "No index serves the rescue, every cycle begins by reading the whole table",
            f"A partial index on the rows in process: 72 buffers. One query for queued and expired rows: 1,649. {hint}",
            sql,
        )
    elif not any(index.is_valid for index in of_rescue):
        yield _invalid(of_rescue[0], table, sql, "rescue")


def costs(queue: JobQueue, table: TableFacts) -> Iterator[Finding]:
    """Indexes that make the queue's updates dear."""
    c = queue.columns
    roles = {name: getattr(c, name) for name in ("claim_token", "lease_expires_at", "retry_count", "rescue_count")}
    for index in table.indexes:
        named = [column.name for column in roles.values() if table.numbers(column.name) & set(index.columns)]
        if named and not index.is_constraint:
            yield advice(
                "index.bookkeeping",
                f"Index {index.name} names {' and '.join(map(repr, named))}",
                "No lease renewal can be a heap-only update while an index names what it writes; without one, 100 % "
                "are. No statement of the queue reads this index.",
                f"DROP INDEX {_concurrently(table)}{index.name};",
                index=index.definition,
                scans=index.scans,
            )
    if len(table.indexes) > MANY:
        ours = (Role.QUEUED, Role.PROCESSING)
        unused = [
            index
            for index in table.indexes
            if not index.scans and not index.is_unique and not any(_is_for(queue, role, index) for role in ours)
        ]
        yield advice(
            "index.many",
            f"The table has {len(table.indexes)} indexes, {len(unused)} of them never used since statistics began",
            "A claim and a settle each write every index of the row: with one more index 27,500 rows/s were processed "
            "instead of 48,900. Look at the use on replicas, too, before you drop any.",
            statements(*(f"DROP INDEX {_concurrently(table)}{index.name}" for index in unused)) if unused else None,
            scans={index.name: index.scans for index in table.indexes},
        )


def create(queue: JobQueue, table: TableFacts, role: Role, *, taken: Sequence[str]) -> str:
    """The statement that makes the index of the claim (QUEUED) or the rescue (PROCESSING)."""
    terms = claim_terms(queue) if role is Role.QUEUED else [_term(queue.columns.status)]
    stem = f"ix_{queue.table.name}_{queue.prefix}{'due' if role is Role.QUEUED else 'processing'}"
    used = {name.rpartition(".")[2].strip('"') for name in taken}
    name = next(name for name in (stem, *(f"{stem}_{n}" for n in range(2, 100))) if name not in used)
    keys = ", ".join(term.ddl for term in terms)
    status = f"{quote(queue.columns.status.name)} = {queue.literal(role)}"
    return f"CREATE INDEX {_concurrently(table)}{quote(name)} ON {table.name} ({keys}) WHERE {status};"


def plain(sql: str) -> str:
    """SQL without casts, quotes, parentheses and case, so that what was written and what PostgreSQL shows agree."""
    without_casts = re.sub(
        r'::(?:"[^"]+"|[\w.]+)(?:\."[^"]+")?(?: with(?:out)? time zone| varying)?(?:\(\d+\))?', "", sql
    )
    return re.sub(r'[()"\s]', "", without_casts).lower()


def _invalid(index: IndexFacts, table: TableFacts, create_sql: str, whose: str) -> Finding:
    if table.is_partitioned:
        return problem(
            "index.partitions",
            f"The {whose}'s index {index.name} is not on every partition",
            "The planner uses it on no partition that lacks it. The statement makes what is missing and blocks writes "
            "to those partitions meanwhile.",
            statements(create_sql.rstrip(";"), f"DROP INDEX {index.name}"),
            index=index.definition,
        )
    return problem(
        "index.invalid",
        f"The {whose}'s index {index.name} is invalid: its CREATE INDEX CONCURRENTLY did not finish",
        "The planner ignores it, and every update still writes it.",
        f"REINDEX INDEX CONCURRENTLY {index.name};",
        index=index.definition,
    )


def _is_for(queue: JobQueue, role: Role, index: IndexFacts) -> bool:
    """True if the index holds the rows of a role. A condition beside it may be one of the queue's filters."""
    status, label = quote(queue.columns.status.name), str(queue.literal(role))
    wanted = {plain(f"{status} = {label}"), plain(f"{status} = {label[1:-1]}")}  # a number is shown without quotes
    parts = re.split(r"\bAND\b", index.predicate or "")
    return not wanted.isdisjoint(map(plain, parts)) and " OR " not in (index.predicate or "")


def _has_keys(index: IndexFacts, wanted: list[Term]) -> bool:
    if len(index.terms) < len(wanted):
        return False
    pairs = zip(wanted, index.terms, index.options, strict=False)
    return all(
        term.is_key(sql, option) or (not term.is_column and i > 0)  # how PostgreSQL writes an expression is its own
        for i, (term, sql, option) in enumerate(pairs)
    )


def _term(wanted: Any) -> Term:
    """A term of an ORDER BY, as a key of an index."""
    descending, nulls_first = False, None
    while isinstance(wanted, sa.UnaryExpression) and wanted.modifier in _MODIFIERS:
        descending |= wanted.modifier is operators.desc_op
        if wanted.modifier in (operators.nulls_first_op, operators.nulls_last_op):
            nulls_first = wanted.modifier is operators.nulls_first_op
        wanted = wanted.element
    first = descending if nulls_first is None else nulls_first
    option = (_DESCENDING if descending else 0) | (_NULLS_FIRST if first else 0)
    expression = wanted.__clause_element__() if hasattr(wanted, "__clause_element__") else wanted
    if isinstance(expression, sa.Column):
        return Term(quote(expression.name), option)
    sql = expression.compile(dialect=_DIALECT, compile_kwargs={"literal_binds": True, "include_table": False})
    return Term(str(sql), option, is_column=False)


def _concurrently(table: TableFacts) -> str:
    return "" if table.is_partitioned else "CONCURRENTLY "
