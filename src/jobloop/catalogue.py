"""What PostgreSQL's catalogue says of a queue's table: its columns, its indexes, its partitions. Read once, judged by
`jobloop.table` at start and by `jobloop.doctor` when an operator asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from jobloop.queue import JobQueue
from jobloop.schema import quote

_TABLE = sa.text("""
    SELECT c.oid::int8 AS oid, c.relkind::text = 'p' AS is_partitioned, c.reltuples::int8 AS rows,
           row_security_active(c.oid) AS row_security,
           c.relkind::text <> 'v' AND coalesce(has_column_privilege(c.oid, (-1)::int2, 'SELECT'), false) AS has_places,
           ARRAY(SELECT a::int FROM pg_partitioned_table p, unnest(p.partattrs::int2[]) a
                 WHERE p.partrelid = c.oid) AS partition_key,
           ARRAY(SELECT DISTINCT p.relid::oid::int8 FROM pg_partition_tree(c.oid) p WHERE p.isleaf) AS leaves
    FROM pg_class c WHERE c.oid = to_regclass(:table)
""")
_COLUMNS = sa.text("""
    SELECT a.attnum::int AS number, a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type,
           a.attnotnull AS is_not_null, pg_get_expr(d.adbin, d.adrelid) AS default,
           a.attgenerated <> '' AS is_generated,
           format_type(b.oid, NULL) AS base_type, b.typtype = 'e' AS is_enum,
           ARRAY(SELECT e.enumlabel::text FROM pg_enum e WHERE e.enumtypid = b.oid) AS labels,
           information_schema._pg_char_max_length(b.oid, a.atttypmod) AS length,
           has_column_privilege(a.attrelid, a.attnum, 'SELECT') AS may_select,
           has_column_privilege(a.attrelid, a.attnum, 'UPDATE') AS may_update
    FROM pg_attribute a
    JOIN pg_type t ON t.oid = a.atttypid
    JOIN pg_type b ON b.oid = CASE t.typtype WHEN 'd' THEN t.typbasetype ELSE t.oid END
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE a.attrelid = to_regclass(:table) AND a.attnum > 0 AND NOT a.attisdropped
""")
_INDEXES = sa.text("""
    SELECT i.indexrelid::regclass::text AS name, i.indisvalid AS is_valid, i.indisunique AS is_unique,
           ARRAY(SELECT pg_get_indexdef(i.indexrelid, k, false) FROM generate_series(1, i.indnkeyatts) k) AS terms,
           i.indoption::int2[]::int[] AS options, pg_get_expr(i.indpred, i.indrelid) AS predicate,
           pg_get_indexdef(i.indexrelid) AS definition, coalesce(s.idx_scan, 0) AS scans,
           EXISTS (SELECT FROM pg_constraint n WHERE n.conindid = i.indexrelid) AS is_constraint,
           ARRAY(SELECT DISTINCT d.refobjsubid::int FROM pg_depend d
                 WHERE d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid
                   AND d.refobjid = i.indrelid AND d.refobjsubid > 0
                 UNION SELECT k::int FROM unnest(i.indkey::int2[]) k WHERE k > 0) AS columns
    FROM pg_index i LEFT JOIN pg_stat_all_indexes s ON s.indexrelid = i.indexrelid
    WHERE i.indrelid = to_regclass(:table)
    ORDER BY 1
""")


@dataclass(frozen=True, slots=True)
class ColumnFacts:
    """One column. `type` is as SQL names it; `labels` are of its enum; `length` is the most characters, if limited."""

    number: int
    name: str
    type: str
    is_not_null: bool
    default: str | None
    is_generated: bool
    base_type: str
    is_enum: bool
    labels: Sequence[str]
    length: int | None
    may_select: bool
    may_update: bool


@dataclass(frozen=True, slots=True)
class IndexFacts:
    """One index. `terms` are its key columns and expressions as PostgreSQL writes them, without ASC or DESC, which are
    in `options`; `columns` are the numbers of all columns it names, also in an expression or its predicate."""

    name: str
    is_valid: bool
    is_unique: bool
    terms: Sequence[str]
    options: Sequence[int]
    predicate: str | None
    definition: str
    scans: int
    is_constraint: bool
    columns: Sequence[int]


@dataclass(frozen=True, slots=True)
class TableFacts:
    """The queue's table.

    name           quoted and qualified as SQL needs it
    rows           estimate of the last ANALYZE; -1 when there was none
    row_security   policies decide what this role sees
    has_places     the place of a row, `ctid`, is there and this role may read it
    partition_key  numbers of the columns that a partitioned table is divided by; 0 stands for an expression
    leaves         object ids of the tables that hold the rows: the table itself, or its partitions
    """

    oid: int
    name: str
    is_partitioned: bool
    rows: int
    row_security: bool
    has_places: bool
    partition_key: Sequence[int]
    leaves: Sequence[int]
    columns: Mapping[str, ColumnFacts]
    indexes: Sequence[IndexFacts]

    def numbers(self, *names: str) -> set[int]:
        """The numbers of those of the named columns that exist."""
        return {self.columns[name].number for name in names if name in self.columns}


async def read_table(queue: JobQueue, connection: AsyncConnection) -> TableFacts | None:
    """What the catalogue says of the queue's table; None if there is no such table."""
    name = table_name(queue)
    binds = {"table": name}
    table = (await connection.execute(_TABLE, binds)).one_or_none()
    if table is None:
        return None
    columns = (await connection.execute(_COLUMNS, binds)).mappings().all()
    indexes = (await connection.execute(_INDEXES, binds)).mappings().all()
    facts: dict[str, Any] = dict(table._mapping)
    facts["leaves"] = facts["leaves"] or ([] if facts["is_partitioned"] else [facts["oid"]])
    return TableFacts(
        name=name,
        columns={row["name"]: ColumnFacts(**row) for row in columns},
        indexes=[IndexFacts(**row) for row in indexes],
        **facts,
    )


def table_name(queue: JobQueue) -> str:
    """The queue's table, quoted and qualified as SQL needs it."""
    schema = queue.table.schema
    name = str(quote(queue.table.name))
    return f"{quote(schema)}.{name}" if schema else name
