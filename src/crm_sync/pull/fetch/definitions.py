"""PropertyDefinitions: the properties that the portal has of an object type, looked up once a day.

They are kept in `hubspot.properties`, where people who read the mirror find what a property means.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from crm_sync.hubspot import HubSpotClient
from crm_sync.hubspot.properties import PropertyDefinition
from crm_sync.models.relations import properties
from crm_sync.pull.cursor import Cursor
from crm_sync.pull.mirror.values import storable
from crm_sync.pull.report import StreamReport
from crm_sync.pull.spelling import did_you_mean
from crm_sync.pull.stream import Stream

KEPT_FOR: Final = timedelta(hours=24)
#: Whoever asks for everything expects the property that was made just now.
KEPT_FOR_A_FULL_PULL: Final = timedelta(minutes=10)

Definitions = Mapping[str, PropertyDefinition]


class PropertyDefinitions:
    """`writes` False looks up and keeps nothing, as a dry run must."""

    def __init__(self, client: HubSpotClient, engine: AsyncEngine, *, writes: bool = True) -> None:
        self._client = client
        self._engine = engine
        self._writes = writes

    async def of(
        self, stream: Stream, cursor: Cursor, kept_for: timedelta = KEPT_FOR, wanted: Collection[str] = ()
    ) -> Definitions:
        """By name, as looked up at most `kept_for` ago, or minutes ago where one that is `wanted` was not there then.
        Raises HubSpotError.

        When there are new ones, the cursor goes back to the last time that they were looked up: what was written to
        them since then came without them.
        """
        kept = await self._kept(stream.name, kept_for)
        if kept and not all(name in kept for name in wanted):
            kept = await self._kept(stream.name, KEPT_FOR_A_FULL_PULL)
        if kept:
            return kept
        found = tuple(map(_storable, await self._client.list_properties(stream.object_type)))
        if self._writes:
            await self._keep(stream.name, found, cursor)
        return {one.name: one for one in found}

    async def _kept(self, object_type: str, kept_for: timedelta) -> Definitions:
        c = properties.c
        statement = sa.select(properties).where(c.object_type == object_type, c.synced_at > sa.func.now() - kept_for)
        async with self._engine.connect() as connection:
            return {
                row.name: PropertyDefinition(
                    name=row.name,
                    label=row.label,
                    type=row.type,
                    field_type=row.field_type,
                    group_name=row.group_name,
                    description=row.description,
                    options=tuple(row.options),
                )
                for row in await connection.execute(statement)
            }

    async def _keep(self, object_type: str, found: tuple[PropertyDefinition, ...], cursor: Cursor) -> None:
        rows = [
            {
                "object_type": object_type,
                "name": one.name,
                "type": one.type,
                "field_type": one.field_type,
                "label": one.label,
                "group_name": one.group_name,
                "description": one.description,
                "options": list(one.options),
            }
            for one in found
        ]
        async with self._engine.begin() as connection:
            await cursor.move(connection)  # refused when another run has the stream now, and its definitions
            former = await connection.execute(
                sa.delete(properties)
                .where(properties.c.object_type == object_type)
                .returning(properties.c.name, properties.c.synced_at)
            )
            known = {row.name: row.synced_at for row in former}
            if known and cursor.synced_to is not None and any(one.name not in known for one in found):
                await cursor.move(connection, synced_to=min(cursor.synced_to, *known.values()))
            if rows:
                await connection.execute(sa.insert(properties), rows)


def note_unknown(wanted: Iterable[str], definitions: Definitions, report: StreamReport) -> None:
    """Say which of the wanted properties the portal has not. They are asked for all the same: HubSpot does not mind."""
    for name in wanted:
        if name not in definitions:
            words = f"HUBSPOT_PULL_PROPERTIES names {name!r}, a property that the account does not have."
            report.note(f"{words} {did_you_mean(name, definitions)}".strip())


def _storable(one: PropertyDefinition) -> PropertyDefinition:
    """People write labels and descriptions, and may paste anything."""
    return replace(
        one,
        label=storable(one.label),
        group_name=storable(one.group_name),
        description=storable(one.description),
        options=tuple(map(storable, one.options)),
    )
