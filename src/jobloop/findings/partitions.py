"""Is the table divided in a way that the queue can live with?"""

from __future__ import annotations

from collections.abc import Iterator

from jobloop.catalogue import TableFacts
from jobloop.findings.finding import Finding, info, problem
from jobloop.queue import JobQueue
from jobloop.schema import BOOKKEEPING

#: A claim opens the head of the queue's index in each partition.
MANY = 100


def refused(queue: JobQueue, table: TableFacts) -> Iterator[Finding]:
    """Partitions by a column that the queue changes."""
    c = queue.columns
    ours = {c.status.name, *(getattr(c, role).name for role in BOOKKEEPING)}
    if named := [name for name in sorted(ours) if table.numbers(name) & set(table.partition_key)]:
        yield problem(
            "partitions.key",
            f"The table is partitioned by {' and '.join(map(repr, named))}, which the queue changes",
            "Each claim and each settle would move the row to another partition, under a worker that holds it: "
            "statements of others then fail. Partition by something that a job does not change.",
            None,
        )


def find(queue: JobQueue, table: TableFacts) -> Iterator[Finding]:
    if len(table.leaves) > MANY:
        yield info(
            "partitions.many",
            f"The table has {len(table.leaves)} partitions",
            "A claim looks at the head of the queue's index in each of them. A filter on the partition key, in the "
            "queue's filters, spares it those where nothing is ever queued.",
            None,
            partitions=len(table.leaves),
        )
