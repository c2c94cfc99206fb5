"""PullEngine: one run of one stream, HubSpot's records → its mirror.

    hold the stream's cursor → plan the passes, or take up those that a run before left half done
    → for each pass: fetch a batch (and its associations) while the one before is written with the cursor

A run may end anywhere, by a fault, a kill or a spent limit: what was written is written with the place where to go on,
and nothing is written twice over something newer.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from crm_sync.hubspot import HubSpotClient
from crm_sync.pull.batch import Batch
from crm_sync.pull.conveyor import convey
from crm_sync.pull.cursor import Cursor, Cursors
from crm_sync.pull.edges import Edges
from crm_sync.pull.fetch.association_types import AssociationTypes
from crm_sync.pull.fetch.associations import AssociationReader
from crm_sync.pull.fetch.clock import DatabaseClock
from crm_sync.pull.fetch.definitions import KEPT_FOR, KEPT_FOR_A_FULL_PULL, PropertyDefinitions, note_unknown
from crm_sync.pull.fetch.source import Source
from crm_sync.pull.hubspot_clock import hubspot_now
from crm_sync.pull.mirror import statements
from crm_sync.pull.mirror.transform import Transform, id_of
from crm_sync.pull.mirror.writer import MirrorWriter
from crm_sync.pull.report import Observer, StreamReport, counted, ignore
from crm_sync.pull.stream import Stream
from crm_sync.pull.window import Margins, Pass, Window, full_passes, incremental_passes, window
from crm_sync.pull.wish import Wants, Wish


@dataclass(frozen=True, slots=True)
class _Journey:
    """What the passes of one run work with."""

    stream: Stream
    wish: Wish
    cursor: Cursor
    report: StreamReport
    source: Source
    reader: AssociationReader
    writer: MirrorWriter
    clock: DatabaseClock
    observe: Observer

    def place(self, name: Pass) -> str:
        """Under what the cursor keeps the position: associations may be asked for apart, to other targets."""
        if self.wish.wants is Wants.ASSOCIATIONS:
            return f"{name.value} to {', '.join(self.reader.targets)}"
        return name.value


class PullEngine:
    """Pulls any stream. `narrowed` maps a stream's name to the only properties that are wanted of it."""

    def __init__(
        self,
        client: HubSpotClient,
        engine: AsyncEngine,
        streams: Mapping[str, Stream],
        *,
        margins: Margins | None = None,
        narrowed: Mapping[str, tuple[str, ...]] | None = None,
        cursors: Cursors | None = None,
    ) -> None:
        self._client = client
        self._engine = engine
        self._streams = streams
        self._margins = margins or Margins()
        self._narrowed = narrowed or {}
        self._cursors = cursors or Cursors(engine)

    async def run(self, stream: Stream, wish: Wish, report: StreamReport, observe: Observer = ignore) -> None:
        """Do what is wished and count it in `report`. Raises HubSpotError, StreamBusyError, StreamLostError."""
        report.wants, report.is_dry_run = wish.wants.value, wish.dry_run
        with counted(report, observe) as show:
            async with self._cursor(stream, wish) as cursor:
                journey = await self._journey(stream, wish, cursor, report, show)
                if wish.wants is Wants.ASSOCIATIONS:
                    await self._pass(Pass.ASSOCIATIONS, journey)
                else:
                    await self._records(journey)

    async def _records(self, journey: _Journey) -> None:
        cursor, wish = journey.cursor, journey.wish
        journey.report.resumed = _goes_on(cursor, wish)
        if journey.report.resumed:
            await self._passes(journey)
            wish = replace(wish, wants=Wants.CHANGES)  # since that run was cut off
        await self._plan(replace(journey, wish=wish))
        await self._passes(journey)

    async def _plan(self, journey: _Journey) -> None:
        """Write the passes of a new run into the cursor."""
        cursor, wish, margins = journey.cursor, journey.wish, self._margins
        now = await hubspot_now(self._client)
        since = wish.since or cursor.synced_to
        if wish.wants is Wants.FULL or since is None:
            archived_at = None if wish.catch_up else cursor.archived_at
            passes, changes = full_passes(now, margins, archived_at=archived_at), Window(now, now)
        else:
            passes = incremental_passes(
                now,
                margins,
                archived_at=cursor.archived_at,
                associations_at=cursor.associations_at,
                has_targets=bool(journey.reader.targets),
                catch_up=wish.catch_up,
            )
            changes = window(since, now, margins, exact=wish.since is not None)
        moves = {"passes": passes, "position": {}, "window_from": changes.start, "window_to": changes.end}
        if wish.dry_run:
            _move(cursor, {**moves, "passes": tuple(one for one in passes if one in _COMPARED)})
            return
        async with self._engine.begin() as connection:
            await cursor.move(connection, **moves)

    async def _passes(self, journey: _Journey) -> None:
        cursor = journey.cursor
        while cursor.passes:
            if cursor.passes[0] == Pass.ARCHIVED_SINCE and not await self._is_any_missing(journey):
                async with self._engine.begin() as connection:
                    await cursor.move(connection, passes=cursor.passes[1:])
            else:
                await self._pass(Pass(cursor.passes[0]), journey)

    async def _is_any_missing(self, journey: _Journey) -> bool:
        async with self._engine.connect() as connection:
            found = await connection.execute(statements.missing_ids(journey.stream.table), {"after": 0, "most": 1})
            return found.first() is not None

    async def _pass(self, name: Pass, journey: _Journey) -> None:
        report = journey.report
        report.doing, report.total = name.value, None
        position = journey.cursor.position.get(journey.place(name), {})

        async def fetched() -> AsyncIterator[tuple[Batch, list[Edges]]]:
            async for batch in self._batches(name, journey, position):
                edges = [] if journey.wish.dry_run else await _edges(name, journey.reader, batch)
                journey.observe(report)
                yield batch, edges

        async def write(item: tuple[Batch, list[Edges]]) -> None:
            batch, edges = item
            moves = self._moves(name, journey, batch)
            if journey.wish.dry_run:
                await journey.writer.compare(batch)
                _move(journey.cursor, moves)
            else:
                await journey.writer.write(batch, edges, journey.cursor, moves)
            journey.observe(report)

        await convey(fetched(), write)

    def _batches(self, name: Pass, journey: _Journey, position: Mapping[str, Any]) -> AsyncIterator[Batch]:
        source, cursor = journey.source, journey.cursor
        match name:
            case Pass.LIST:
                return source.listed(position, archived=False)
            case Pass.ARCHIVED | Pass.ARCHIVED_SINCE:
                return source.listed(position, archived=True)
            case Pass.CHANGES:
                return source.changed(cursor.window, position)
            case Pass.MISSING:
                return source.by_ids(self._ids(statements.missing_ids(journey.stream.table), journey, position))
            case Pass.ASSOCIATIONS:
                return _bare(self._ids(statements.live_ids(journey.stream.table), journey, position), journey)

    async def _ids(self, statement: Any, journey: _Journey, position: Mapping[str, Any]) -> AsyncIterator[list[int]]:
        """Ids from the mirror, a batch at a time; the last one is short, and may be empty."""
        after, most = int(position.get("last_id", 0)), journey.wish.batch_size
        while True:
            async with self._engine.connect() as connection:
                ids = list((await connection.scalars(statement, {"after": after, "most": most})).all())
            yield ids
            if len(ids) < most:
                return
            after = ids[-1]

    def _moves(self, name: Pass, journey: _Journey, batch: Batch) -> dict[str, Any]:
        """What the cursor says once the batch is written."""
        cursor, position = journey.cursor, dict(journey.cursor.position)
        if journey.wish.targets is not None and journey.wish.wants is not Wants.ASSOCIATIONS:
            position[_INCOMPLETE] = True
        if batch.position is not None:
            return {"position": {**position, journey.place(name): dict(batch.position)}}
        position.pop(journey.place(name), None)
        if journey.wish.wants is Wants.ASSOCIATIONS:
            return {"position": position}
        now = cursor.window_to
        moves: dict[str, Any] = {"position": position, "passes": cursor.passes[1:]}
        if name is Pass.LIST:
            moves |= {"synced_to": now, "full_at": now, "associations_at": now}
        elif name is Pass.CHANGES and cursor.synced_to is not None:
            if cursor.window.joins(cursor.synced_to, self._margins.overlap):
                moves["synced_to"] = now
        elif name in (Pass.ARCHIVED, Pass.ARCHIVED_SINCE):
            moves["archived_at"] = now
        elif name is Pass.ASSOCIATIONS:
            moves["associations_at"] = now
        if name in (Pass.LIST, Pass.CHANGES) and position.pop(_INCOMPLETE, False):
            moves["associations_at"] = None  # the next run that is not told otherwise reads them all
        return moves

    # -- before the first pass ------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _cursor(self, stream: Stream, wish: Wish) -> AsyncIterator[Cursor]:
        if wish.dry_run:
            cursor = await self._cursors.read(stream.name)
            cursor.passes = ()
            yield cursor
            return
        async with self._cursors.held(stream.name) as held:
            yield held

    async def _journey(
        self, stream: Stream, wish: Wish, cursor: Cursor, report: StreamReport, observe: Observer
    ) -> _Journey:
        narrowed = self._narrowed.get(stream.name)
        kept_for = KEPT_FOR_A_FULL_PULL if wish.wants is Wants.FULL else KEPT_FOR
        book = PropertyDefinitions(self._client, self._engine, writes=not wish.dry_run)
        definitions = await book.of(stream, cursor, kept_for, narrowed or ())
        note_unknown(narrowed or (), definitions, report)
        chosen = definitions if narrowed is None else narrowed
        properties = tuple(dict.fromkeys((*stream.needed_properties, *chosen)))
        chosen_targets = stream.targets if wish.targets is None else wish.targets
        targets = {name: self._streams[name] for name in chosen_targets if name in self._streams}
        if stream.is_custom and not wish.dry_run:
            async with self._engine.begin() as connection:
                await connection.run_sync(stream.table.metadata.create_all)
        clock = await DatabaseClock.of(self._engine)
        types = AssociationTypes(self._client, self._engine)
        listed = [target.object_type for target in targets.values()]
        return _Journey(
            stream,
            wish,
            cursor,
            report,
            Source(self._client, stream, properties, listed, clock, report, batch_size=wish.batch_size),
            AssociationReader(self._client, stream, targets, types, report),
            MirrorWriter(self._engine, stream, Transform(stream.table, definitions), report),
            clock,
            observe,
        )


#: What a dry run can tell of: the others depend on what was written before.
_COMPARED = (Pass.LIST, Pass.CHANGES, Pass.ARCHIVED)

#: In the position of a pass of which some batches were fetched without all of the stream's associations.
_INCOMPLETE = "without associations"


def _goes_on(cursor: Cursor, wish: Wish) -> bool:
    """Whether a run that was cut off is to be taken up, instead of a new one."""
    if not cursor.passes or wish.since is not None:
        return False
    return wish.wants is Wants.CHANGES or Pass.LIST in cursor.passes


async def _edges(name: Pass, reader: AssociationReader, batch: Batch) -> list[Edges]:
    if not batch.with_associations:
        return []
    if name is Pass.LIST:
        return await reader.of_listed(batch.records)
    return await reader.of_ids(batch.ids or [id_of(record) for record in batch.records])


async def _bare(ids: AsyncIterator[list[int]], journey: _Journey) -> AsyncIterator[Batch]:
    """Batches of records of which only the associations are wanted."""
    async for some in ids:
        is_last = len(some) < journey.wish.batch_size
        position = None if is_last else {"last_id": some[-1]}
        yield Batch(journey.clock.now(), position=position, ids=tuple(some), with_associations=True)


def _move(cursor: Cursor, moves: Mapping[str, Any]) -> None:
    for name, value in moves.items():
        setattr(cursor, name, value)
