"""MirrorWriter: a batch, its associations and how far the stream has come, in one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from crm_sync.pull.batch import Batch, Span
from crm_sync.pull.cursor import Cursor
from crm_sync.pull.edges import Edges
from crm_sync.pull.mirror import statements
from crm_sync.pull.mirror.page import HistoryEntry, Issue, MirrorPage
from crm_sync.pull.mirror.transform import Transform
from crm_sync.pull.mirror.values import storable
from crm_sync.pull.report import StreamReport
from crm_sync.pull.stream import Stream


class MirrorWriter:
    """Writes one stream's batches and counts in `report` what that came to."""

    def __init__(self, engine: AsyncEngine, stream: Stream, transform: Transform, report: StreamReport) -> None:
        self._engine = engine
        self._stream = stream
        self._transform = transform
        self._report = report
        self._upsert = statements.upsert_records(stream.table)
        self._compare = statements.compare_records(stream.table)

    async def write(self, batch: Batch, edges: Sequence[Edges], cursor: Cursor, moves: Mapping[str, Any]) -> None:
        """Raises StreamLostError, and nothing is written, when another run has the stream now."""
        page = self._transform.page(batch.records)
        written = StreamReport(self._stream.name)
        async with self._engine.begin() as connection:
            # First of all, so that two runs never write to the mirror side by side.
            await cursor.move(connection, **moves)
            if len(page):
                await self._records(connection, page, batch, written)
            if batch.span is not None:
                await self._mark_missing(connection, page.ids, batch.span, batch.read_at)
            for one in edges:
                written.associations += await self._associations(connection, one)
            # Last, or the page would bring back what belonged to a record that it says is merged.
            gone = [*((one, None) for one in batch.gone), *page.merged]
            if written.inserted:
                gone += await self._merged_before(connection, page.ids)
            if gone:
                written.removed += await self._remove(connection, gone)
        self._count(written)
        self._report.issues += len(page.issues)

    async def compare(self, batch: Batch) -> None:
        """Count what `write` would do to the records, and write nothing."""
        page = self._transform.page(batch.records)
        self._report.issues += len(page.issues)
        async with self._engine.connect() as connection:
            if not await connection.run_sync(lambda sync: sa.inspect(sync).has_table(*self._name)):
                self._report.inserted += len(page)
                return
            if len(page):
                values = {**page.columns, "page_read_at": batch.read_at}
                self._add(self._report, (await connection.execute(self._compare, values)).one(), len(page))

    @property
    def _name(self) -> tuple[str, str | None]:
        return self._stream.table.name, self._stream.table.schema

    async def _records(
        self, connection: AsyncConnection, page: MirrorPage, batch: Batch, written: StreamReport
    ) -> None:
        counts = (await connection.execute(self._upsert, {**page.columns, "page_read_at": batch.read_at})).one()
        self._add(written, counts, len(page))
        if counts.inserted:
            await connection.execute(statements.forget_removed(), {**self._typed, "ids": page.ids})
        if counts.archived:
            archived = [one for one, gone in zip(page.ids, page.columns["archived"], strict=True) if gone]
            for statement in statements.drop_associations():
                await connection.execute(statement, {**self._typed, "ids": archived})
        if self._stream.history:
            await self._history(connection, page)
        await self._issues(connection, page.ids, page.issues, is_new=counts.inserted == len(page))

    async def _history(self, connection: AsyncConnection, page: MirrorPage) -> None:
        """Of live records: the recycle bin is listed without."""
        live = [one for one, gone in zip(page.ids, page.columns["archived"], strict=True) if not gone]
        await connection.execute(statements.drop_history(), {**self._typed, "ids": live})
        if page.history:
            columns = _columns(page.history, hubspot_id="record_id", **{name: name for name in _HISTORY})
            await connection.execute(statements.insert_history(), {**self._typed, **columns})

    async def _issues(
        self, connection: AsyncConnection, ids: list[int], issues: Sequence[Issue], *, is_new: bool
    ) -> None:
        stream = {"stream": self._stream.name}
        if not is_new:
            await connection.execute(statements.drop_issues(), {**stream, "ids": ids})
        if issues:
            columns = _columns(issues, **{name: name for name in ("record_id", "property", "value", "reason")})
            await connection.execute(statements.insert_issues(), {**stream, **columns})

    async def _mark_missing(self, connection: AsyncConnection, ids: list[int], span: Span, read_at: datetime) -> None:
        values = {"after": span.after, "upto": span.upto, "of_archived": span.of_archived}
        await connection.execute(
            statements.mark_missing(self._stream.table), {**values, "ids": ids, "page_read_at": read_at}
        )

    async def _merged_before(self, connection: AsyncConnection, ids: list[int]) -> list[tuple[int, int]]:
        """Those that were merged away: a page from before came late. No merge is ever undone."""
        found = await connection.execute(statements.merged_among(), {**self._typed, "ids": ids})
        return [(row.hubspot_id, row.merged_into) for row in found]

    async def _remove(self, connection: AsyncConnection, gone: Sequence[tuple[int, int | None]]) -> int:
        """Take records that HubSpot no longer has out of the mirror; returns how many it had."""
        into = dict(gone)
        values = {**self._typed, "hubspot_id": list(into), "merged_into": list(into.values())}
        news = {row.hubspot_id for row in await connection.execute(statements.note_removed(), values)}
        dropped = await connection.execute(statements.drop_records(self._stream.table), {"ids": list(into)})
        held = {row.hubspot_id for row in dropped}
        if not news | held:
            return 0
        ids = {**self._typed, "ids": sorted(news | held)}
        await connection.execute(statements.move_associations(), values)
        for statement in (*statements.drop_associations(), statements.drop_history()):
            await connection.execute(statement, ids)
        await connection.execute(statements.drop_issues(), {"stream": self._stream.name, "ids": ids["ids"]})
        return len(held)

    async def _associations(self, connection: AsyncConnection, edges: Edges) -> int:
        names = ("from_id", "to_type", "to_id", "category", "type_id")
        columns: dict[str, list[Any]] = {name: [row[number] for row in edges.rows] for number, name in enumerate(names)}
        values = {
            "ids": list(edges.ids),
            "targets": list(edges.targets),
            "label": [label and storable(label) for label in edges.rows.values()],
        }
        done = await connection.execute(statements.replace_associations(), {**self._typed, **columns, **values})
        counts = done.one()
        return int(counts.written + counts.ended)

    @property
    def _typed(self) -> dict[str, str]:
        return {"object_type": self._stream.name}

    @staticmethod
    def _add(report: StreamReport, counts: sa.Row[int, int, int], fetched: int) -> None:
        report.inserted += counts.inserted
        report.updated += counts.updated
        report.archived += counts.archived
        report.unchanged += fetched - counts.inserted - counts.updated

    def _count(self, written: StreamReport) -> None:
        """Only after the commit: what was rolled back was not done."""
        for name in ("inserted", "updated", "unchanged", "archived", "removed", "associations"):
            setattr(self._report, name, getattr(self._report, name) + getattr(written, name))


_HISTORY = ("property", "changed_at", "position", "value", "source_type", "source_id")


def _columns(rows: Iterable[HistoryEntry | Issue], **fields: str) -> dict[str, list[Any]]:
    return {column: [getattr(row, field) for row in rows] for column, field in fields.items()}
