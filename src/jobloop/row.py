"""LightRow: a claimed row as a tuple with the attributes of the model; nothing is loaded later, nothing can be set."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any, ClassVar


class LightRow(tuple[Any, ...]):
    """The declared columns of a row, by attribute name or in their order.

    Made at some fifth of what an entity costs: most handlers only read.
    """

    __slots__ = ()
    _fields: ClassVar[tuple[str, ...]] = ()

    def _asdict(self) -> dict[str, Any]:
        """The values by attribute name."""
        return dict(zip(self._fields, self, strict=True))

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={value!r}" for name, value in self._asdict().items())
        return f"{type(self).__name__}({values})"

    def __reduce__(self) -> tuple[Any, ...]:  # its class is made here, where pickle would not find it
        return _restored, (type(self).__name__, self._fields, tuple(self))


def light_rows(
    model_name: str, attributes: Sequence[str], first: int, conversions: Mapping[int, Callable[[Any], Any]]
) -> Callable[[Any], LightRow]:
    """What makes a light row of a record: its values from place `first` on are those of `attributes`.

    `conversions` are by place in the row.
    """
    row_class, converted = _class(model_name, tuple(attributes)), tuple(conversions.items())

    def read(record: Any) -> LightRow:
        return row_class(record[first:])

    def read_converting(record: Any) -> LightRow:
        values = list(record[first:])
        for place, convert in converted:
            values[place] = convert(values[place])
        return row_class(values)

    return read_converting if converted else read


@lru_cache
def _class(name: str, fields: tuple[str, ...]) -> type[LightRow]:
    attributes = {field: property(itemgetter(i)) for i, field in enumerate(fields)}
    return type(name, (LightRow,), {**attributes, "__slots__": (), "_fields": fields})


def _restored(name: str, fields: tuple[str, ...], values: tuple[Any, ...]) -> LightRow:
    return _class(name, fields)(values)
