"""Is the mirror what the portal holds? Every record, property, association and history is compared."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from crm_sync.models.relations import associations, property_history
from crm_sync.pull.stream import Stream
from hubspot_emulator import EmulatorServer


async def differences(emulator: EmulatorServer, engine: AsyncEngine, streams: Iterable[Stream]) -> list[str]:
    """What is not the same, a line each, at most twenty; empty when all is."""
    found: list[str] = []
    async with engine.connect() as connection:
        for stream in streams:
            found += _compared(f"{stream.name}", portal_records(emulator, stream), await rows(connection, stream))
            for target in stream.targets:
                found += _compared(
                    f"{stream.name} to {target}",
                    _portal_associations(emulator, stream, target),
                    await _edges(connection, stream, target),
                )
            found += _compared(
                f"history of {stream.name}",
                _portal_history(emulator, stream),
                await _history(connection, stream),
            )
    return found[:20]


def _compared(what: str, expected: dict[Any, Any], actual: dict[Any, Any]) -> list[str]:
    lines = [f"{what} {key}: not in the mirror" for key in expected.keys() - actual.keys()]
    lines += [f"{what} {key}: not in the portal" for key in actual.keys() - expected.keys()]
    lines += [
        f"{what} {key}: {actual[key]!r} is {expected[key]!r} in the portal"
        for key in expected.keys() & actual.keys()
        if expected[key] != actual[key]
    ]
    return lines


def _at(ms: int | None) -> datetime | None:
    return None if ms is None else datetime.fromtimestamp(ms / 1000, UTC)


def portal_records(emulator: EmulatorServer, stream: Stream) -> dict[int, Any]:
    with emulator.account.lock:
        table = emulator.portal.table(stream.object_type)
        return {
            record.id: (
                {name: value for name in table.properties if (value := record.value(name))},
                _at(record.created_ms),
                _at(record.updated_ms),
                record.archived,
                _at(record.archived_ms),
            )
            for record in table.from_id(0)
        }


async def rows(connection: AsyncConnection, stream: Stream, *, marked: bool = False) -> dict[int, Any]:
    """Those that wait to be asked for by id, as a listing lacked them, only when `marked`."""
    c = stream.table.c
    found = await connection.execute(
        sa.select(c.hubspot_id, c.properties, c.created_at, c.updated_at, c.archived, c.archived_at, c.missing_since)
    )
    return {
        row.hubspot_id: (row.properties, row.created_at, row.updated_at, row.archived, row.archived_at)
        for row in found
        if marked or row.missing_since is None
    }


def _portal_associations(emulator: EmulatorServer, stream: Stream, target: str) -> dict[Any, str | None]:
    with emulator.account.lock:
        portal = emulator.portal
        origin, other = portal.table(stream.object_type), portal.table(target)
        return {
            (record.id, to_id, type_.category, type_.type_id): type_.label
            for record in origin.from_id(0)
            if not record.archived
            for to_id, types in portal.relations.targets(origin, record, other)
            for type_ in types
        }


async def _edges(connection: AsyncConnection, stream: Stream, target: str) -> dict[Any, str | None]:
    c = associations.c
    rows = await connection.execute(
        sa.select(c.from_id, c.to_id, c.category, c.type_id, c.label).where(
            c.from_type == stream.name, c.to_type == target
        )
    )
    return {(row.from_id, row.to_id, row.category, row.type_id): row.label for row in rows}


def _portal_history(emulator: EmulatorServer, stream: Stream) -> dict[Any, list[Any]]:
    with emulator.account.lock:
        table = emulator.portal.table(stream.object_type)
        return {
            (record.id, name): [(_at(at_ms), value or None) for at_ms, value in reversed(versions)]
            for record in table.from_id(0)
            if not record.archived
            for name in stream.history
            if (versions := record.versions(name))
        }


async def _history(connection: AsyncConnection, stream: Stream) -> dict[Any, list[Any]]:
    c = property_history.c
    rows = await connection.execute(
        sa.select(c.hubspot_id, c.property, c.changed_at, c.value)
        .where(
            c.object_type == stream.name,
            c.hubspot_id.in_(sa.select(stream.table.c.hubspot_id).where(sa.not_(stream.table.c.archived))),
        )
        .order_by(c.hubspot_id, c.property, c.changed_at, c.position)
    )
    found: dict[Any, list[Any]] = {}
    for row in rows:
        found.setdefault((row.hubspot_id, row.property), []).append((row.changed_at, row.value))
    return found
