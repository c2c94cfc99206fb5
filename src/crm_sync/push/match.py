"""Which part of a batch's answer belongs to which write (pure).

HubSpot answers in an order of its own, sometimes with fewer entries than it was sent, and repeats the trace id of
an input only in some answers. So an entry belongs to a write by trace id, else by record id, else by the unique
property; never by its place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from crm_sync.hubspot.objects import BatchError, BatchResult, Record
from crm_sync.push.plan import Write

NormalKey = Callable[[str | None], str]
#: ("trace", …), ("id", …) or ("key", …): one way to name a write.
_Name = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Matched:
    """Every write is in exactly one of `done`, `failed` and `lost`.

    lost       neither a result nor an error names them
    ambiguous  the answer also holds entries that name no write: the lost ones may be among them
    """

    done: tuple[tuple[Write, Record], ...]
    failed: tuple[tuple[Write, BatchError], ...]
    lost: tuple[Write, ...]
    ambiguous: bool


def match(writes: Sequence[Write], result: BatchResult, key_property: str, normal_key: NormalKey) -> Matched:
    """Match the answer to what was sent. The only entry for an only write is meant for it in any case."""
    names = {name: write for write in writes for name in _names_of_write(write)}
    only = writes[0] if len(writes) == 1 and len(result.results) + len(result.errors) == 1 else None
    done: dict[str, tuple[Write, Record]] = {}
    failed: dict[str, tuple[Write, BatchError]] = {}
    unmatched = result.num_errors - len(result.errors)
    for record in result.results:
        write = _first(names, _names_of_record(record, key_property, normal_key)) or only
        if write is None or write.trace_id in done:
            unmatched += 1
        else:
            done[write.trace_id] = (write, record)
    for error in result.errors:
        meant = [names[name] for name in _names_of_error(error, normal_key) if name in names]
        if not meant and only is not None:
            meant = [only]
        if not meant:
            unmatched += 1
        for write in meant:
            if write.trace_id not in done:
                failed.setdefault(write.trace_id, (write, error))
    lost = tuple(write for write in writes if write.trace_id not in done and write.trace_id not in failed)
    return Matched(tuple(done.values()), tuple(failed.values()), lost, ambiguous=unmatched > 0)


def _names_of_write(write: Write) -> Iterable[_Name]:
    yield ("trace", write.trace_id)
    yield ("key", write.key)
    if write.record_id is not None:
        yield ("id", write.record_id)


def _names_of_record(record: Record, key_property: str, normal_key: NormalKey) -> Iterable[_Name]:
    if record.trace_id:
        yield ("trace", record.trace_id)
    yield ("id", record.id)
    yield ("key", normal_key(record.properties.get(key_property)))


def _names_of_error(error: BatchError, normal_key: NormalKey) -> Iterable[_Name]:
    """Trace ids if there are any; else ids, which are record ids or values of the unique property."""
    if error.trace_ids:
        yield from (("trace", trace_id) for trace_id in error.trace_ids)
    else:
        for value in error.ids:
            yield ("id", value)
            yield ("key", normal_key(value))


def _first(names: dict[_Name, Write], candidates: Iterable[_Name]) -> Write | None:
    return next((names[name] for name in candidates if name in names), None)
