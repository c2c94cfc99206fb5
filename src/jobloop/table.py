"""The check at start: does the table in the database have what the queue needs?"""

from __future__ import annotations

import logging
import weakref
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from jobloop.catalogue import read_table
from jobloop.doctor import cannot_work
from jobloop.errors import TableUnfit
from jobloop.findings import indexes
from jobloop.queue import JobQueue

log = logging.getLogger("jobloop")


async def check_table(queue: JobQueue, engine: AsyncEngine) -> None:
    """Raise `TableUnfit` for what the queue cannot do without; warn about missing indexes. Once per table and engine.

    `jobloop.doctor` looks at the rest.
    """
    checked: dict[str, weakref.WeakSet[Any]] = queue.table.info.setdefault("jobloop_checked", {})
    engines = checked.setdefault(queue.columns.status.name, weakref.WeakSet())
    if engine.sync_engine in engines:
        return
    async with engine.connect() as connection:
        table = await read_table(queue, connection)
        if table is None:
            raise TableUnfit(queue.table.fullname, ("It does not exist in this database: run the migrations.",))
        if problems := await cannot_work(queue, table, connection):
            raise TableUnfit(queue.table.fullname, tuple(finding.sentence for finding in problems))
    for finding in indexes.find(queue, table):
        log.warning("%s: %s", queue.name, finding.sentence[:1].lower() + finding.sentence[1:])
    engines.add(engine.sync_engine)
