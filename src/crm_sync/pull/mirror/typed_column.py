"""TypedColumn: a column of a mirror that a property fills, and how (pure)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import BigInteger, Boolean, Column, Date, DateTime, Numeric, Table, Text

from crm_sync.hubspot.properties import PropertyDefinition
from crm_sync.pull.mirror.values import checkboxes, day, indexable, instant, integer, number, option, truth

Converter = Callable[[str], Any]

_CONVERTERS: Final[Mapping[type, Converter]] = {
    BigInteger: integer,
    Boolean: truth,
    Date: day,
    DateTime: instant,
    Numeric: number,
}


@dataclass(frozen=True, slots=True)
class TypedColumn:
    """`convert` gives the value for a text or raises Unfit; None: the text is the value."""

    name: str
    property: str
    convert: Converter | None


def columns_to_fill(table: Table, definitions: Mapping[str, PropertyDefinition]) -> tuple[TypedColumn, ...]:
    """The columns that name a property in `column.info["property"]`; their SQL types say what its text becomes.

    A text in an index must have room in an index entry.
    With `info["options"]` the text must be one of the definition's options, with `info["many"]` each of its parts
    must; a definition that is missing or lists none leaves the text unchecked. Raises TypeError for a column of
    another type than Text, Numeric, BigInteger, Date, DateTime(timezone=True) and Boolean.
    """
    indexed = {column for index in table.indexes for column in index.columns}
    return tuple(
        TypedColumn(column.name, column.info["property"], _converter(column, definitions, is_indexed=column in indexed))
        for column in table.columns
        if "property" in column.info
    )


def _converter(
    column: Column[Any], definitions: Mapping[str, PropertyDefinition], *, is_indexed: bool
) -> Converter | None:
    kind = column.type
    if type(kind) is Text:
        definition = definitions.get(column.info["property"])
        options = definition.options if definition is not None else ()
        if options and column.info.get("many"):
            return checkboxes(options)
        if options and column.info.get("options"):
            return option(options)
        return indexable if is_indexed else None
    # A mirror rounds nothing, and a time without a zone would mean another moment in each session.
    rounded = isinstance(kind, Numeric) and kind.precision is not None
    zoneless = isinstance(kind, DateTime) and not kind.timezone
    if type(kind) not in _CONVERTERS or rounded or zoneless:
        raise TypeError(f"no property can fill {column!r} of type {kind!r}")
    return _CONVERTERS[type(kind)]
