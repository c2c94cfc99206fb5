"""PipelinesPull: pipelines and their stages, HubSpot → `hubspot.pipelines` and `hubspot.pipeline_stages`.

One call an object type gives all of its pipelines; what HubSpot no longer has goes in the same transaction.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from crm_sync.hubspot import HubSpotClient, Pipeline
from crm_sync.hubspot.errors import ErrorAnswer, MissingScopes, NotFound, ValidationFailed
from crm_sync.models.marketing import pipeline_stages, pipelines
from crm_sync.pull.cursor import Cursors
from crm_sync.pull.hubspot_clock import hubspot_now
from crm_sync.pull.others import statements
from crm_sync.pull.others.lenient import json_text, moment, text
from crm_sync.pull.others.parts import held
from crm_sync.pull.others.rows import Counts, Row, RowWriter, step
from crm_sync.pull.report import Observer, StreamReport, counted
from crm_sync.pull.streams import find_custom
from crm_sync.pull.wish import Wish

#: Standard object types that may have pipelines.
STANDARD = ("deals", "tickets", "appointments", "orders")

#: The token may not, or the account has no such type, or the type has no pipelines.
_LEFT_ALONE = (MissingScopes, NotFound, ValidationFailed)

_INTEGER_MIN, _INTEGER_MAX = -(2**31), 2**31 - 1


class PipelinesPull:
    """`custom` maps streams of custom objects to any name of theirs, as `PullOptions.custom`."""

    def __init__(
        self, client: HubSpotClient, engine: AsyncEngine, cursors: Cursors, custom: Mapping[str, str] | None = None
    ) -> None:
        self._client = client
        self._engine = engine
        self._cursors = cursors
        self._custom = custom or {}

    async def run(self, wish: Wish, report: StreamReport, observe: Observer) -> None:
        """Read and write. An object type that cannot be read is a note, and its pipelines stay as they were.

        Raises HubSpotError, also the refusal where no type at all can be read; StreamBusyError, StreamLostError.
        """
        report.wants, report.is_dry_run = wish.wants.value, wish.dry_run
        with counted(report, observe) as show:
            async with held(self._cursors, report.stream, wish) as cursor:
                read = await self._read(report, show)
                report.fetched += sum(1 + len(one.stages) for found in read.values() for one in found)
                now = await hubspot_now(self._client)
                moves = {"synced_to": now, "full_at": now}
                async with step(self._engine, cursor, dry_run=wish.dry_run, **moves) as connection:
                    counts = [
                        await _replace(connection, RowWriter(table, dry_run=wish.dry_run), rows, list(read), wish)
                        for table, rows in (
                            (pipelines, list(_pipeline_rows(read))),
                            (pipeline_stages, list(_stage_rows(read))),
                        )
                    ]
            for one in counts:
                one.add_to(report)

    async def _read(self, report: StreamReport, show: Observer) -> dict[str, tuple[Pipeline, ...]]:
        """Pipelines by stream, of those that could be read."""
        read: dict[str, tuple[Pipeline, ...]] = {}
        refused: list[ErrorAnswer] = []
        types = {**{name: name for name in STANDARD}, **await self._custom_types(report)}
        for stream, object_type in types.items():
            report.doing = stream
            try:
                read[stream] = await self._client.list_pipelines(object_type)
            except _LEFT_ALONE as error:
                refused.append(error)
                report.note(f"The pipelines of {stream} cannot be read: {error.summary}")
            else:
                report.pages += 1
                if not read[stream]:
                    report.note(f"{stream} have no pipelines.")
            show(report)
        if not read:
            raise refused[0]
        return read

    async def _custom_types(self, report: StreamReport) -> dict[str, str]:
        """Object types by stream. Those that the account lacks are left to the pull of their records to complain of."""
        if not self._custom:
            return {}
        try:
            found = find_custom(self._custom, await self._client.list_schemas())
        except _LEFT_ALONE as error:
            report.note(f"The custom objects cannot be read: {error.summary}")
            return {}
        return {name: stream.object_type for name, stream in found.items()}


async def _replace(
    connection: AsyncConnection, writer: RowWriter, rows: list[Row], types: list[str], wish: Wish
) -> Counts:
    """Make the rows of the object types `types` these."""
    written = await writer.put(connection, rows)
    values = {**writer.columns(rows), "of_types": types}
    if wish.dry_run:
        removed = await connection.scalar(statements.count_other_pipelines(writer.table), values) or 0
    else:
        removed = (await connection.execute(statements.drop_other_pipelines(writer.table), values)).rowcount
    return Counts(written.rows, written.inserted, written.updated, written.archived, removed)


def _pipeline_rows(read: Mapping[str, tuple[Pipeline, ...]]) -> Iterator[Row]:
    for stream, found in read.items():
        for pipeline in found:
            yield {
                "object_type": stream,
                "pipeline_id": text(pipeline.id),
                "label": text(pipeline.label) or "",
                "display_order": _order(pipeline.display_order),
                "archived": pipeline.archived,
                "created_at": moment(pipeline.created_at),
                "updated_at": moment(pipeline.updated_at),
            }


def _stage_rows(read: Mapping[str, tuple[Pipeline, ...]]) -> Iterator[Row]:
    for stream, found in read.items():
        for pipeline in found:
            for stage in pipeline.stages:
                yield {
                    "object_type": stream,
                    "pipeline_id": text(pipeline.id),
                    "stage_id": text(stage.id),
                    "label": text(stage.label) or "",
                    "display_order": _order(stage.display_order),
                    "archived": stage.archived,
                    "metadata": json_text(stage.metadata),
                }


def _order(number: int) -> int:
    return max(_INTEGER_MIN, min(number, _INTEGER_MAX))
