"""Reader: makes claims of the rows that the claim statement returned."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from jobloop import statements
from jobloop.claim import Claim
from jobloop.entity import Entities
from jobloop.queue import JobQueue
from jobloop.row import light_rows

_FIRST = itemgetter(0)
_Convert = Callable[[Any], Any]


class Reader:
    """Reads the driver's own records, past SQLAlchemy's rows, with SQLAlchemy's conversions where a type has one.

    entities   the handler gets instances of the model, not light rows
    """

    def __init__(self, queue: JobQueue, dialect: sa.Dialect, *, entities: bool = False) -> None:
        self._queue = queue
        self._dialect = dialect
        self._columns = statements.claimed_columns(queue)
        places = {column: i for i, column in enumerate(self._columns, start=1)}
        self._retry_count = places[queue.columns.retry_count]
        self._keys = [places[column] for column in queue.columns.key]
        self._first = 1 + len(self._columns) - len(queue.row_columns)
        self._entities = Entities(queue) if entities else None
        self._conversions: dict[int, _Convert] = {}
        self._read: _Convert | None = None

    @property
    def needs_orm(self) -> bool:
        """True if only SQLAlchemy can load the entities of this mapping: then the claims' own `read` does not do."""
        return self._entities is not None and not self._entities.is_simple

    def of_records(self, records: Iterable[Any], types: Sequence[int], token: UUID) -> list[Claim]:
        """Claims in the order of the queue. `types` are the oids of the records' columns, as the driver says them."""
        if self._read is None:
            self._conversions = dict(self._conversions_for(types))
            self._read = self._reading()
        in_order = sorted(records, key=_FIRST)
        read, retry_count = self._read, self._retry_count
        if len(self._keys) == 1 and self._keys[0] not in self._conversions:
            (key,) = self._keys
            return [Claim(record[key], token, record[retry_count], record, read) for record in in_order]
        return [Claim(self._key_of(record), token, record[retry_count], record, read) for record in in_order]

    def _key_of(self, record: Any) -> Any:
        convert = self._conversions
        return self._queue.key_of([convert.get(place, _as_is)(record[place]) for place in self._keys])

    def _reading(self) -> _Convert:
        """What makes the handler's row of a record."""
        names = tuple(self._queue.row_columns)
        in_row = {place - self._first: convert for place, convert in self._conversions.items() if place >= self._first}
        if self._entities is not None:
            return self._entities.reading(self._first, {names[i]: convert for i, convert in in_row.items()})
        return light_rows(f"{self._queue.model.__name__}Row", names, self._first, in_row)

    def _conversions_for(self, types: Sequence[int]) -> Iterable[tuple[int, _Convert]]:
        """What SQLAlchemy would do to each value on its way from the driver; nothing for most types."""
        for place, column in enumerate(self._columns, start=1):
            convert = column.type.dialect_impl(self._dialect).result_processor(self._dialect, types[place])
            if convert is not None:
                yield place, _Labels(convert).__getitem__ if isinstance(column.type, sa.Enum) else convert


def _as_is(value: Any) -> Any:
    return value


class _Labels(dict[Any, Any]):
    """The members of an enum by their labels, each asked for once."""

    def __init__(self, convert: _Convert) -> None:
        super().__init__()
        self._convert = convert

    def __missing__(self, label: Any) -> Any:
        member = self[label] = self._convert(label)
        return member
