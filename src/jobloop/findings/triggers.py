"""What the user's triggers do to the queue's updates: each fires two or three times a job."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from jobloop.catalogue import TableFacts
from jobloop.findings.finding import Finding, advice, info, problem
from jobloop.queue import JobQueue
from jobloop.schema import BOOKKEEPING, quote

_ON_UPDATE, _BEFORE, _ROW = 16, 2, 1

_TRIGGERS = sa.text("""
    SELECT t.tgname AS name, t.tgtype::int AS kind, t.tgattr::int2[]::int[] AS columns, p.proname AS function,
           p.prosrc AS source, pg_get_triggerdef(t.oid) AS definition, t.tgconstraint <> 0 AS is_constraint,
           convert_from(substring(t.tgargs FOR greatest(length(t.tgargs) - 1, 0)), 'UTF8') AS arguments
    FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
    WHERE t.tgrelid = :table AND NOT t.tgisinternal AND t.tgenabled <> 'D' AND p.proname <> 'jobloop_wake'
    ORDER BY 1
""")
_ASSIGNS = re.compile(r'\bNEW\."?(\w+)"?\s*:?=(?!=)', re.IGNORECASE)
_RAISES = re.compile(r"\bRAISE\s+(?:EXCEPTION\b|SQLSTATE\b|'|\w+_\w+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Trigger:
    """`columns`: numbers of UPDATE OF, empty for all; `source`: the function's text."""

    name: str
    kind: int
    columns: list[int]
    function: str
    source: str
    definition: str
    is_constraint: bool
    arguments: str

    @property
    def sets(self) -> list[str]:
        """Columns that it assigns in the row that is being written."""
        if not (self.kind & _BEFORE and self.kind & _ROW):
            return []
        if self.function == "moddatetime":
            return [self.arguments]
        return list(dict.fromkeys(_ASSIGNS.findall(self.source)))

    @property
    def raises(self) -> bool:
        return bool(_RAISES.search(self.source))


async def find(queue: JobQueue, table: TableFacts, connection: AsyncConnection) -> list[Finding]:
    triggers = await connection.execute(_TRIGGERS, {"table": table.oid})
    return list(judge(queue, table, [Trigger(**row) for row in triggers.mappings()]))


def judge(queue: JobQueue, table: TableFacts, triggers: list[Trigger]) -> Iterator[Finding]:
    c = queue.columns
    ours = {c.status.name, *(getattr(c, role).name for role in BOOKKEEPING)}
    ours |= {column.name for column in queue.table.columns if column.onupdate is not None}  # set to themselves
    ours |= {c.decision.name} if c.decision is not None else set()
    orders = {str(getattr(term, "name", "")) for term in _columns(queue)}
    for trigger in triggers:
        of = set(trigger.columns)
        if not trigger.kind & _ON_UPDATE or (of and not of & table.numbers(*ours)):
            continue
        mend = _only_for_others(trigger, table, ours)
        seen = {"trigger": trigger.definition, "function": trigger.function}
        changed = [name for name in trigger.sets if name not in ours or name not in _bookkeeping(queue)]
        if written := [name for name in trigger.sets if name in _bookkeeping(queue)]:
            yield problem(
                "trigger.bookkeeping",
                f"Trigger {trigger.name} assigns {_names(written)}, which are the queue's own",
                "What a worker writes is not what the row then says: a row may run twice, or never again.",
                mend,
                **seen,
            )
        elif changed:
            starves = sorted(orders & set(changed))
            words = "Bookkeeping is no change of yours: 'last changed' is lost, and a sync that asks for changed rows "
            words += "finds the row again after each job."
            if starves:
                words = f"The queue claims in the order of {_names(starves)}: a row that failed goes to the end of the "
                words += "line each time. Also, 'last changed' is lost."
            yield advice(
                "trigger.changes_row",
                f"Trigger {trigger.name} sets {_names(changed)} whenever the queue updates a row",
                words,
                mend,
                **seen,
            )
        elif trigger.raises:
            yield advice(
                "trigger.raises",
                f"Trigger {trigger.name} can refuse an update of the queue's",
                "A row whose settle it refuses ends in Error with the trigger's words. But a row that it does not let "
                "become Processing, or leave it, fails each claim or rescue that meets it: the queue stands still.",
                mend,
                **seen,
            )
        else:
            yield info(
                "trigger.fires",
                f"Trigger {trigger.name} fires on the queue's updates",
                "Two or three times a job. If it is not meant to, let it fire for your own columns alone.",
                mend,
                **seen,
            )


def _only_for_others(trigger: Trigger, table: TableFacts, ours: set[str]) -> str:
    """The trigger again, for updates of columns that are not the queue's."""
    others = ", ".join(
        quote(name) for name, column in table.columns.items() if name not in ours and not column.is_generated
    )
    definition = re.sub(r"\bUPDATE(?: OF .+?)?(?= (?:OR|ON) )", f"UPDATE OF {others}", trigger.definition, count=1)
    if trigger.is_constraint:
        return f"DROP TRIGGER {quote(trigger.name)} ON {table.name};\n{definition};"
    return f"{definition.replace('CREATE TRIGGER', 'CREATE OR REPLACE TRIGGER', 1)};"


def _bookkeeping(queue: JobQueue) -> set[str]:
    return {queue.columns.status.name, *(getattr(queue.columns, role).name for role in BOOKKEEPING)}


def _columns(queue: JobQueue) -> Iterator[object]:
    for term in queue.order_by:
        while isinstance(term, sa.UnaryExpression):
            term = term.element
        yield term


def _names(names: list[str]) -> str:
    return " and ".join(map(repr, names))
