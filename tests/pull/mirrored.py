"""A mirror table with a column of every kind, and records for it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, Date, DateTime, MetaData, Numeric, Table, Text
from sqlalchemy.dialects.postgresql import JSONB

from crm_sync.hubspot.objects import Record
from crm_sync.hubspot.properties import PropertyDefinition

TIME = DateTime(timezone=True)
MONDAY = datetime(2026, 3, 2, 8, tzinfo=UTC)


def typed(name: str, type_: Any, of: str | None = None, **info: bool) -> Column[Any]:
    return Column(name, type_, info={"property": of or name, **info})


PETS = Table(
    "pets",
    MetaData(),
    Column("hubspot_id", BigInteger, primary_key=True, autoincrement=False),
    typed("email", Text),
    typed("weight", Numeric, of="weight_kg"),
    typed("owner_id", BigInteger),
    typed("born", Date),
    typed("seen_at", TIME),
    typed("tame", Boolean),
    typed("kind", Text, options=True),
    typed("colours", Text, many=True),
    Column("properties", JSONB, nullable=False),
    Column("created_at", TIME),
    Column("updated_at", TIME),
    Column("archived", Boolean, nullable=False),
    Column("archived_at", TIME),
    Column("read_at", TIME),
)

#: What a page gives values for.
WRITTEN = [column.name for column in PETS.columns if column.name != "read_at"]

DEFINITIONS = {
    name: PropertyDefinition(name, name, "enumeration", "select", "pets", options=options)
    for name, options in {"kind": ("CAT", "DOG"), "colours": ("red", "blue")}.items()
}


def record(record_id: str = "1", properties: dict[str, Any] | None = None, **more: Any) -> Record:
    return Record(**{"id": record_id, "properties": properties or {}, "updated_at": MONDAY, **more})
