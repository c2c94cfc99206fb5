"""HubSpot's records → a page of the mirror (pure): no record is lost, and no value of a property is an error.

A value that does not fit its column leaves it None, stays as it is in `properties`, and becomes an Issue. `properties`
holds HubSpot's texts as they came, an e-mail with its case and its blanks; only what PostgreSQL cannot hold is
replaced, which is an Issue too. Properties without a value are left out; "" is no value: to HubSpot it clears one.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType, NoneType
from typing import Any, ClassVar, Final

from sqlalchemy import Table

from crm_sync.errors import CrmSyncError
from crm_sync.hubspot.objects import Record
from crm_sync.hubspot.properties import PropertyDefinition
from crm_sync.pull.mirror.page import HistoryEntry, Issue, MirrorPage
from crm_sync.pull.mirror.typed_column import columns_to_fill
from crm_sync.pull.mirror.values import BIGINT_MAX, Unfit, storable, utc

#: The property in which a record names those that were merged into it: "1;2".
MERGED_IDS: Final = "hs_merged_object_ids"

#: Characters of a raw value that an Issue keeps.
ISSUE_VALUE_LENGTH: Final = 200

_NO_DEFINITIONS: Final[Mapping[str, PropertyDefinition]] = MappingProxyType({})
_LONG_AGO: Final = datetime.min.replace(tzinfo=UTC)
_TEXTS: Final = frozenset({str, NoneType})
_JSON: Final = json.JSONEncoder(ensure_ascii=False, check_circular=False, separators=(",", ":")).encode


class UnusableRecordId(CrmSyncError):
    """HubSpot answered with a record whose id is no number of up to 63 bits, so nothing can be said about it."""

    exit_code: ClassVar[int] = 4  # as for every answer of HubSpot's that cannot be used


class Transform:
    """Records of one object type → pages of its mirror table.

    `definitions` are those of the object type's properties, by name; see `columns_to_fill` for what a column says.
    """

    def __init__(self, table: Table, definitions: Mapping[str, PropertyDefinition] = _NO_DEFINITIONS) -> None:
        self._typed = columns_to_fill(table, definitions)

    def page(self, records: Sequence[Record]) -> MirrorPage:
        """One row for each record id: of several records the one updated last, of these the one that comes last.

        Raises UnusableRecordId, and nothing else.
        """
        newest = _newest(records)
        ids, kept = list(newest), list(newest.values())
        issues = _Issues()
        rows, texts = _properties(newest, issues)
        columns: dict[str, list[Any]] = {"hubspot_id": ids}
        for typed in self._typed:
            name, convert = typed.property, typed.convert
            raw = [row.get(name) for row in rows]
            columns[typed.name] = raw if convert is None else _column(ids, raw, convert, name, issues)
        columns["properties"] = texts
        columns["created_at"] = _column(ids, [record.created_at for record in kept], utc, "createdAt", issues)
        columns["updated_at"] = _column(ids, [record.updated_at for record in kept], utc, "updatedAt", issues)
        columns["archived"] = [record.archived for record in kept]
        columns["archived_at"] = _column(ids, [record.archived_at for record in kept], utc, "archivedAt", issues)
        merged = _merged(ids, rows, issues)
        history = tuple(_history(newest, issues))
        return MirrorPage(columns, issues.found(), merged, history)


class _Issues:
    """What a page has to report, one Issue for a property of a record."""

    def __init__(self) -> None:
        self._found: dict[tuple[int, str], Issue] = {}

    def add(self, record_id: int, name: str, value: str, reason: str) -> None:
        name = storable(name)
        known = self._found.get((record_id, name))
        if known is not None:
            if reason in known.reason:
                return
            value, reason = known.value, f"{known.reason}; {reason}"
        value = storable(value[:ISSUE_VALUE_LENGTH])
        self._found[record_id, name] = Issue(record_id, name, value, reason)

    def found(self) -> tuple[Issue, ...]:
        return tuple(self._found.values())


def _newest(records: Iterable[Record]) -> dict[int, Record]:
    """One record for each id, in the order of the ids."""
    newest: dict[int, Record] = {}
    for record in records:
        record_id = id_of(record)
        known = newest.get(record_id)
        if known is None or _age(record) >= _age(known):
            newest[record_id] = record
    return dict(sorted(newest.items()))


def id_of(record: Record) -> int:
    """Raises UnusableRecordId."""
    record_id = _record_id(record.id)
    if record_id is None:
        raise UnusableRecordId(f"HubSpot sent a record with the id {record.id[:40]!r}, which is no record id.")
    return record_id


def _record_id(text: str) -> int | None:
    """The id as a number; None for anything but up to 19 digits that a bigint holds."""
    record_id = int(text) if text.isascii() and text.isdecimal() and len(text) <= 19 else -1
    return record_id if 0 <= record_id <= BIGINT_MAX else None


def _age(record: Record) -> datetime:
    """Greater is newer; a record without a time is the oldest."""
    try:
        return utc(record.updated_at) if record.updated_at is not None else _LONG_AGO
    except Unfit:
        return _LONG_AGO


def _properties(records: Mapping[int, Record], issues: _Issues) -> tuple[list[dict[str, str]], list[str]]:
    """Each record's properties that have a value, and the same as JSON."""
    rows: list[dict[str, str]] = []
    texts: list[str] = []
    for record_id, record in records.items():
        given: Mapping[str, Any] = record.properties
        if not _TEXTS.issuperset(map(type, given.values())):
            given = {name: _as_text(value) for name, value in given.items()}
        row = {name: value for name, value in given.items() if value}
        text = _JSON(row)
        # The escape of NUL may as well be a backslash and "u0000": then the row is looked at closely for nothing.
        if "\\u0000" in text or not (text.isascii() or storable(text) is text):
            row = _storable(record_id, row, issues)
            text = _JSON(row)
        rows.append(row)
        texts.append(text)
    return rows, texts


def _as_text(value: object) -> str | None:
    """HubSpot sends texts and nulls only [documented]; anything else is kept as its JSON."""
    return value if value is None or isinstance(value, str) else _JSON(value)


def _storable(record_id: int, row: Mapping[str, str], issues: _Issues) -> dict[str, str]:
    for name, value in row.items():
        if storable(value) is not value:
            issues.add(record_id, name, value, "characters that PostgreSQL cannot hold were replaced")
    return {storable(name): storable(value) for name, value in row.items()}


def _column(
    ids: Sequence[int], raw: Sequence[Any], convert: Callable[[Any], Any], name: str, issues: _Issues
) -> list[Any]:
    values: list[Any] = []
    for at, value in enumerate(raw):
        if value is not None:
            try:
                value = convert(value)
            except Unfit as exc:
                issues.add(ids[at], name, str(value), str(exc))
                value = None
        values.append(value)
    return values


def _merged(ids: Sequence[int], rows: Sequence[Mapping[str, str]], issues: _Issues) -> tuple[tuple[int, int], ...]:
    """Each old id once: where two records name it, with the one that was not merged in its turn."""
    pairs: list[tuple[int, int]] = []
    for record_id, row in zip(ids, rows, strict=True):
        if listed := row.get(MERGED_IDS):
            for part in filter(None, listed.split(";")):
                old_id = _record_id(part)
                if old_id is None:
                    issues.add(record_id, MERGED_IDS, listed, "not each part is a record id")
                elif old_id != record_id:
                    pairs.append((old_id, record_id))
    gone = {old_id for old_id, _ in pairs}
    return tuple(dict(sorted(pairs, key=lambda pair: pair[1] not in gone)).items())


def _history(records: Mapping[int, Record], issues: _Issues) -> Iterable[HistoryEntry]:
    """Every change, the oldest first; HubSpot lists the newest first, so a change that is new keeps their positions."""
    for record_id, record in records.items():
        for name, versions in record.history.items():
            at_once: Counter[datetime] = Counter()
            for version in reversed(versions):
                try:
                    changed_at = utc(version.at)
                except Unfit as exc:
                    issues.add(record_id, name, str(version.at), str(exc))
                    continue
                value, source_type, source_id = (
                    storable(text) if (text := _as_text(given)) else None
                    for given in (version.value, version.source_type, version.source_id)
                )
                position = at_once[changed_at]
                at_once[changed_at] += 1
                yield HistoryEntry(record_id, storable(name), value, changed_at, source_type, source_id, position)
