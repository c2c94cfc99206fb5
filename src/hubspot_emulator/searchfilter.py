"""Search filters compiled to predicates over one record."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from .problems import BadRequest
from .propertydef import PropertyDefinition, instant_ms
from .record import Record

if TYPE_CHECKING:
    from .table import Table

__all__ = ["Associated", "Predicate", "compile_filter", "sort_value", "value_reader"]

Predicate = Callable[[Record], bool]
Associated = Callable[[str], Callable[[Record], set[str]]]
"""Type name → reader of the ids (as text) of a record's associated records of that type."""
_Comparable = float | int | str

_OPERATORS = {
    "EQ", "NEQ", "LT", "LTE", "GT", "GTE", "BETWEEN", "IN", "NOT_IN", "HAS_PROPERTY", "NOT_HAS_PROPERTY",
    "CONTAINS_TOKEN", "NOT_CONTAINS_TOKEN",
}  # fmt: skip
_TOKEN = re.compile(r"[^\W_]+")


def compile_filter(
    table: Table, raw: object, associated: Associated, *, negations_match_missing: bool = False
) -> Predicate:
    """One `{propertyName, operator, value | values, highValue}`; `associations.contact` asks for an associated id.

    Text is compared without regard to case; the values of IN and NOT_IN on text are looked up as they are
    given, in an index that is lower-cased [D]. A record without a value matches NOT_HAS_PROPERTY, and what else
    says NOT by `negations_match_missing`.
    """
    if not isinstance(raw, Mapping):
        raise BadRequest("Invalid input JSON: a filter must be an object")
    name, operator = raw.get("propertyName"), raw.get("operator")
    if not isinstance(name, str) or not isinstance(operator, str):
        raise BadRequest("Some required fields were not set: [propertyName, operator]")
    if operator not in _OPERATORS:
        raise BadRequest(f"Invalid input JSON: {operator} is not one of the operators {sorted(_OPERATORS)}")
    definition = table.properties.get(name)
    if definition is None and name.startswith("associations."):
        return _association(raw, operator, associated(name.removeprefix("associations.")))
    if definition is None:
        raise BadRequest(f"There was a problem with the request: property {name} does not exist", propertyName=[name])
    read = value_reader(table, definition)
    if operator == "HAS_PROPERTY":
        return lambda record: read(record) is not None
    if operator == "NOT_HAS_PROPERTY":
        return lambda record: read(record) is None
    if operator in ("NEQ", "NOT_IN", "NOT_CONTAINS_TOKEN"):
        asserted = _positive(operator.removeprefix("NOT_").replace("NEQ", "EQ"), raw, definition, read)
        return lambda record: negations_match_missing if read(record) is None else not asserted(record)
    return _positive(operator, raw, definition, read)


def _positive(
    operator: str,
    raw: Mapping[str, Any],
    definition: PropertyDefinition,
    read: Callable[[Record], _Comparable | None],
) -> Predicate:
    """A filter that says what a value is, and that no missing value satisfies."""
    if operator == "IN":
        return _membership(raw, definition, read)
    if operator == "CONTAINS_TOKEN":
        return _tokens(_text(raw, "value"), read)
    low = comparable(definition, _text(raw, "value"))
    if operator == "BETWEEN":
        return _between(read, low, comparable(definition, _text(raw, "highValue")))
    return _comparison(operator, read, low)


def _association(raw: Mapping[str, Any], operator: str, read: Callable[[Record], set[str]]) -> Predicate:
    if operator == "HAS_PROPERTY":
        return lambda record: bool(read(record))
    if operator == "NOT_HAS_PROPERTY":
        return lambda record: not read(record)
    if operator == "EQ":
        wanted = {_text(raw, "value")}
    elif operator == "IN" and isinstance(raw.get("values"), list):
        wanted = {str(one) for one in raw["values"]}
    else:
        raise BadRequest(f"Operator {operator} does not suit {raw['propertyName']}")
    return lambda record: not wanted.isdisjoint(read(record))


def _text(raw: Mapping[str, Any], key: str) -> str:
    value = raw.get(key)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise BadRequest(f"Invalid input JSON: filter on {raw['propertyName']} needs {key}")
    return str(value)


def _between(read: Callable[[Record], _Comparable | None], low: _Comparable, high: _Comparable) -> Predicate:
    def between(record: Record) -> bool:
        value = read(record)
        return value is not None and low <= value <= high  # type: ignore[operator]

    return between


def _comparison(operator: str, read: Callable[[Record], _Comparable | None], low: _Comparable) -> Predicate:
    def found(record: Record) -> Any:
        return read(record)

    if operator == "EQ":
        return lambda record: found(record) == low
    if operator == "LT":
        return lambda record: (value := found(record)) is not None and value < low
    if operator == "LTE":
        return lambda record: (value := found(record)) is not None and value <= low
    if operator == "GT":
        return lambda record: (value := found(record)) is not None and value > low
    return lambda record: (value := found(record)) is not None and value >= low


def _membership(
    raw: Mapping[str, Any],
    definition: PropertyDefinition,
    read: Callable[[Record], _Comparable | None],
) -> Predicate:
    values = raw.get("values")
    if not isinstance(values, list) or not values or not all(isinstance(one, str) for one in values):
        raise BadRequest(f"Invalid input JSON: filter on {definition.name} needs values")
    wanted: set[_Comparable] = (
        set(values) if definition.type == "string" else {comparable(definition, one) for one in values}
    )
    return lambda record: read(record) in wanted


def _tokens(text: str, read: Callable[[Record], _Comparable | None]) -> Predicate:
    """Every word of `text` is a word of the value; `*` stands for any letters."""
    words = [re.escape(word).replace(r"\*", ".*") for word in re.split(r"[^\w*]+|_", text.lower()) if word]
    patterns = [re.compile(word) for word in words]

    def contains(record: Record) -> bool:
        value = read(record)
        if value is None:
            return False
        tokens = _TOKEN.findall(str(value).lower())
        return all(any(pattern.fullmatch(token) for token in tokens) for pattern in patterns)

    return contains


def comparable(definition: PropertyDefinition, text: str) -> _Comparable:
    """A filter's value in the order of its property. Raises BadRequest when it cannot be one."""
    if definition.type == "number":
        try:
            return int(text) if text.isascii() and text.isdecimal() else float(text)
        except ValueError:
            raise BadRequest(f"{text} is not a number (filter on {definition.name})") from None
    if definition.type in ("date", "datetime"):
        at_ms = instant_ms(text)
        if at_ms is None:
            raise BadRequest(f"{text} is not a timestamp (filter on {definition.name})")
        return at_ms
    return text.lower() if definition.type == "string" else text


def value_reader(table: Table, definition: PropertyDefinition) -> Callable[[Record], _Comparable | None]:
    """Reads one property in a form that compares: numbers as numbers, times as ms, text lower-cased."""
    name = definition.name
    if name == "hs_object_id":
        return lambda record: record.id
    if name == table.type.modified_property:
        return lambda record: record.updated_ms
    if name == table.type.created_property:
        return lambda record: record.created_ms
    if definition.type == "number":
        return lambda record: _number(record.value(name))
    if definition.type in ("date", "datetime"):
        return lambda record: None if (value := record.value(name)) is None else instant_ms(value)
    if definition.type == "string":
        return lambda record: None if (value := record.value(name)) is None else value.lower()
    return lambda record: record.value(name)


def _number(text: str | None) -> float | None:
    return None if text is None else float(text)


def sort_value(read: Callable[[Record], _Comparable | None]) -> Callable[[Record], Any]:
    """A key that puts records without a value last and breaks ties by id."""

    def key(record: Record) -> tuple[bool, Any, int]:
        value = read(record)
        return (value is None, 0 if value is None else value, record.id)

    return key
