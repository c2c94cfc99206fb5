"""Search: caps, keyset paging, and an index that matches old values and returns current ones."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .portal import Portal
from .problems import BadRequest
from .record import Record
from .searchfilter import Predicate, compile_filter, sort_value, value_reader
from .table import Table

__all__ = ["Search"]

MAX_GROUPS = 5
MAX_FILTERS_PER_GROUP = 6
MAX_FILTERS = 18
MAX_LIMIT = 200
MAX_TOTAL = 10_000
MAX_QUERY_CHARACTERS = 3_000
_DEFAULT_LIMIT = 10
_REMEMBERED = 8
_ID_RANGES = {"GT": 1, "GTE": 0}


class Search:
    """Runs search requests over a portal.

    The ids that a set of filters matches are remembered until the table changes, so paging a large table
    (by `after`, or by `hs_object_id GT`) costs one scan and not one per page.
    """

    def __init__(self, portal: Portal) -> None:
        self._portal = portal
        self._remembered: OrderedDict[tuple[str, int, str], list[int]] = OrderedDict()

    def page(self, table: Table, body: Mapping[str, Any]) -> tuple[int, list[Record], str | None]:
        """(total, records of this page, `after` of the next page or None). Raises BadRequest beyond a cap."""
        limit = _number(body, "limit", _DEFAULT_LIMIT)
        offset = _number(body, "after", 0)
        if not 1 <= limit <= MAX_LIMIT:
            raise BadRequest(f"Search limit must be between 1 and {MAX_LIMIT}")
        if offset + limit > MAX_TOTAL:
            raise BadRequest(f"Paging through search results ends at {MAX_TOTAL} records")
        ids, start = self._matching(table, body)
        chosen = ids[start + offset : start + offset + limit]
        records = [record for id_ in chosen if (record := table.live(id_)) is not None]
        total, following = len(ids) - start, offset + limit
        return total, records, str(following) if following < total else None

    def _matching(self, table: Table, body: Mapping[str, Any]) -> tuple[list[int], int]:
        """Matching ids in the order of the sort, and the position from which on they count."""
        groups = _groups(body)
        query = body.get("query") or ""
        if not isinstance(query, str) or len(query) > MAX_QUERY_CHARACTERS:
            raise BadRequest(f"A query has at most {MAX_QUERY_CHARACTERS} characters")
        sort_name, descending = _sort(table, body)
        above: int | None = None
        if len(groups) == 1 and sort_name == "hs_object_id" and not descending:
            above, groups = _split_id_range(groups)
        ids = self._ids(table, groups, query, sort_name, descending)
        return ids, 0 if above is None else bisect_left(ids, above)

    def _ids(self, table: Table, groups: list[list[object]], query: str, sort_name: str, descending: bool) -> list[int]:
        stale = self._portal.index.stale(table)
        asked = [groups, query, sort_name, descending, self._portal.behaviour.negations_match_missing]
        key = (table.type.type_id, table.version, json.dumps(asked, sort_keys=True))
        # Associations do not move a table's version, so what they decide is not remembered.
        lasting = not stale and "associations." not in key[2]
        if lasting and key in self._remembered:
            self._remembered.move_to_end(key)
            return self._remembered[key]
        compiled = [[self._compile(table, one) for one in group] for group in groups]
        records = self._scan(table, groups, compiled, stale, query)
        if sort_name != "hs_object_id" or descending:
            read = value_reader(table, table.properties[sort_name])
            # Two stable sorts: missing values stay last in either direction.
            keyed = [(sort_value(read)(record), record) for record in records]
            present = sorted((pair for pair in keyed if not pair[0][0]), key=lambda pair: pair[0][2])
            present.sort(key=lambda pair: pair[0][1], reverse=descending)
            records = [record for _, record in present] + [record for key_, record in keyed if key_[0]]
        ids = [record.id for record in records]
        if lasting:
            self._remembered[key] = ids
            while len(self._remembered) > _REMEMBERED:
                self._remembered.popitem(last=False)
        return ids

    def _compile(self, table: Table, raw: object) -> Predicate:
        def associated(name: str) -> Callable[[Record], set[str]]:
            target = self._portal.table(name)
            relations = self._portal.relations
            return lambda record: {str(other) for other, _ in relations.targets(table, record, target)}

        missing = self._portal.behaviour.negations_match_missing
        return compile_filter(table, raw, associated, negations_match_missing=missing)

    def _scan(
        self,
        table: Table,
        groups: list[list[object]],
        compiled: list[list[Predicate]],
        stale: Mapping[int, Record | None],
        query: str,
    ) -> list[Record]:
        """Live records whose indexed state matches, in id order."""
        words = query.lower().split()
        candidates = None if stale else _by_unique_value(table, groups)
        found: list[Record] = []
        for record in candidates if candidates is not None else table.records.values():
            if record.archived_ms is not None:
                continue
            indexed: Record | None = record
            if stale and record.id in stale:
                indexed = stale[record.id]
            if indexed is None:
                continue
            if compiled and not any(all(one(indexed) for one in group) for group in compiled):
                continue
            if words and not _contains(table, indexed, words):
                continue
            found.append(record)
        return found


def _contains(table: Table, record: Record, words: Sequence[str]) -> bool:
    text = " ".join(record.value(name) or "" for name in table.type.searched_properties).lower()
    return all(word in text for word in words)


def _by_unique_value(table: Table, groups: list[list[object]]) -> list[Record] | None:
    """Candidates from a unique index when the only group asks for exact values of a unique property."""
    if len(groups) != 1:
        return None
    for one in groups[0]:
        if not isinstance(one, Mapping) or one.get("propertyName") not in table.unique:
            continue
        name = one["propertyName"]
        if not table.properties[name].is_email:
            continue
        wanted = {"EQ": [one.get("value")], "IN": one.get("values")}.get(str(one.get("operator")))
        if not isinstance(wanted, list):
            continue
        holders = {
            holder.id: holder
            for value in wanted
            if isinstance(value, str) and (holder := table.holder(name, value)) is not None
        }
        return [holders[id_] for id_ in sorted(holders)]
    return None


def _groups(body: Mapping[str, Any]) -> list[list[object]]:
    raw = body.get("filterGroups") or []
    if not isinstance(raw, list) or not all(
        isinstance(group, Mapping) and isinstance(group.get("filters", []), list) for group in raw
    ):
        raise BadRequest("Invalid input JSON: filterGroups must be a list of {filters: []}")
    groups = [group.get("filters", []) for group in raw]
    loose = body.get("filters")
    if isinstance(loose, list) and loose:
        groups.append(loose)
    if len(groups) > MAX_GROUPS:
        raise BadRequest(f"Search takes at most {MAX_GROUPS} filter groups")
    if any(len(group) > MAX_FILTERS_PER_GROUP for group in groups):
        raise BadRequest(f"A filter group takes at most {MAX_FILTERS_PER_GROUP} filters")
    if sum(map(len, groups)) > MAX_FILTERS:
        raise BadRequest(f"Search takes at most {MAX_FILTERS} filters")
    return groups


def _sort(table: Table, body: Mapping[str, Any]) -> tuple[str, bool]:
    """(property, descending). With no sort, the oldest record comes first [D]."""
    raw = body.get("sorts") or []
    if not isinstance(raw, list) or len(raw) > 1:
        raise BadRequest("Search takes one sort")
    if not raw:
        return "hs_object_id", False
    sort = raw[0]
    if isinstance(sort, str):
        name, descending = sort.removeprefix("-"), sort.startswith("-")
    elif isinstance(sort, Mapping) and isinstance(sort.get("propertyName"), str):
        name, descending = sort["propertyName"], sort.get("direction") == "DESCENDING"
    else:
        raise BadRequest("Invalid input JSON: a sort is {propertyName, direction}")
    if name not in table.properties:
        raise BadRequest(f"Sort property {name} does not exist", propertyName=[name])
    return name, descending


def _split_id_range(groups: list[list[object]]) -> tuple[int | None, list[list[object]]]:
    """The lowest id that `hs_object_id GT/GTE` lets through, and the groups without those filters."""
    lowest: int | None = None
    rest: list[object] = []
    for one in groups[0]:
        step = None
        if isinstance(one, Mapping) and one.get("propertyName") == "hs_object_id":
            step = _ID_RANGES.get(str(one.get("operator")))
        value = one.get("value") if isinstance(one, Mapping) else None
        if step is None or not isinstance(value, str) or not (value.isascii() and value.isdecimal()):
            rest.append(one)
            continue
        lowest = max(lowest or 0, int(value) + step)
    return lowest, [rest] if rest else []


def _number(body: Mapping[str, Any], key: str, default: int) -> int:
    value = body.get(key)
    if value is None or value == "":
        return default
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise BadRequest(f"Invalid input JSON: {key} must be a number")
    text = str(value)
    if not (text.isascii() and text.isdecimal() and len(text) < 16):
        raise BadRequest(f"Invalid input JSON: {key} must be a number")
    return int(text)
