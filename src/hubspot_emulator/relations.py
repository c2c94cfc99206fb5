"""The rules of associating: which types a request may name, what is shown in line, who becomes primary."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .associations import Associations
from .associationtypes import AssociationType
from .objecttype import ObjectType
from .problems import BadRequest, NotFound
from .record import Record
from .table import Table

__all__ = ["Link", "Relations"]

INLINE_PAGE = 100
"""Associations shown in line with a record; more need the association endpoints [O]."""


@dataclass(frozen=True, slots=True)
class Link:
    """An association that a create request asks for."""

    target: Table
    record: Record
    types: tuple[AssociationType, ...]


class Relations:
    """Associations between the live records of a portal's tables."""

    def __init__(self, tables: Mapping[str, Table], primary_company: Callable[[], bool]) -> None:
        self._tables = tables
        self._primary_company = primary_company
        self.store = Associations()

    # writing

    def specified(
        self, origin: ObjectType, target: ObjectType, raw: object, *, may_be_empty: bool = False
    ) -> list[AssociationType]:
        """The types of `[{associationCategory, associationTypeId}]`. Raises BadRequest for one that this pair of
        object types does not have."""
        if not isinstance(raw, list) or not (raw or may_be_empty):
            raise BadRequest("Some required fields were not set: [types]")
        known = self.store.types.between(origin, target)
        found = []
        for spec in raw:
            type_id = spec.get("associationTypeId") if isinstance(spec, Mapping) else None
            if isinstance(type_id, str) and type_id.isascii() and type_id.isdecimal():
                type_id = int(type_id)
            type_ = known.get(type_id) if isinstance(type_id, int) else None
            if type_ is None or spec.get("associationCategory") not in (type_.category, None):
                raise BadRequest(
                    f"Association type {type_id} does not exist between {origin.type_id} and {target.type_id}"
                )
            found.append(type_)
        return found

    def associate(
        self, origin: Table, record: Record, target: Table, other: Record, types: Iterable[AssociationType] = ()
    ) -> None:
        """Associate two records; the first company of a contact, deal or ticket becomes its primary one."""
        chosen = list(types)
        there, here = origin.type, target.type
        if self._primary_company():
            for one, two, from_id, to_id in ((there, here, record.id, other.id), (here, there, other.id, record.id)):
                primary = self.store.types.primary(one, two)
                if primary is not None and not self._has(one, two, from_id, primary):
                    self.store.link(primary, from_id, to_id)
        for type_ in chosen:
            self._displace_primary(there, here, record.id, type_)
        self.store.add_types(there, here, record.id, other.id, chosen)

    def _has(self, origin: ObjectType, target: ObjectType, from_id: int, type_: AssociationType) -> bool:
        return any(type_.type_id in types for types in self.store.of(origin, target, from_id).values())

    def _displace_primary(self, origin: ObjectType, target: ObjectType, from_id: int, type_: AssociationType) -> None:
        """There is one primary company: naming another takes the mark from the former."""
        primary = self.store.types.primary(origin, target)
        if primary is None or primary.type_id != type_.type_id:
            return
        for other, types in list(self.store.of(origin, target, from_id).items()):
            if primary.type_id in types:
                self.store.unlink(primary, from_id, other)

    def wanted(self, origin: Table, raw: object, *, merged: bool = True) -> list[Link]:
        """The `associations` of a create request: `[{to: {id}, types: [...]}]`; `merged`: merged ids resolve.

        Raises BadRequest for a type that starts elsewhere, NotFound for a record that is not there."""
        if raw is None:
            return []
        if not isinstance(raw, list) or not all(isinstance(one, Mapping) for one in raw):
            raise BadRequest("Invalid input JSON: associations must be a list of {to, types}")
        return [self._link(origin, one, merged) for one in raw]

    def _link(self, origin: Table, raw: Mapping[str, Any], merged: bool) -> Link:
        types, to = raw.get("types"), raw.get("to")
        id_ = to.get("id") if isinstance(to, Mapping) else None
        if not isinstance(types, list) or not types or not isinstance(id_, str | int):
            raise BadRequest("Some required fields were not set: [to, types]")
        for target in self._tables.values():
            try:
                found = self.specified(origin.type, target.type, types)
            except BadRequest:
                continue
            return Link(target, self.live(target, str(id_), merged=merged), tuple(found))
        raise BadRequest(f"No association of {origin.type.name} has the types {types}")

    def live(self, table: Table, id_: str, *, merged: bool = True) -> Record:
        """Raises NotFound unless the record is there; `merged`: or another that it was merged into."""
        number = int(id_) if id_.isascii() and id_.isdecimal() and len(id_) < 19 else None
        record = None
        if number is not None:
            record = table.resolve(number) if merged else table.live(number)
        if record is None:
            raise NotFound(f"{table.type.singular.upper()} {id_} not found", ids=[id_])
        return record

    # reading

    def targets(self, origin: Table, record: Record, target: Table) -> list[tuple[int, list[AssociationType]]]:
        """(to id, types) of live associated records, ordered by id; the unlabelled type comes first."""
        known = self.store.types.between(origin.type, target.type)
        return [
            (other, [known[type_id] for type_id in known if type_id in types])
            for other, types in sorted(self.store.of(origin.type, target.type, record.id).items())
            if target.live(other) is not None
        ]

    def inline(self, origin: Table, record: Record, targets: Sequence[Table], path: str) -> dict[str, Any]:
        """The `associations` of a record: the same id once per type, cut at 100 with a link [O]."""
        shown: dict[str, Any] = {}
        for target in targets:
            rows = [
                {"id": str(other), "type": type_.name}
                for other, types in self.targets(origin, record, target)
                for type_ in types
            ]
            if not rows:
                continue
            name = target.type.fully_qualified_name or target.type.name
            shown[name] = {"results": rows[:INLINE_PAGE]}
            if len(rows) > INLINE_PAGE:
                after = rows[INLINE_PAGE]["id"]
                link = f"https://api.hubapi.com{path}/{record.id}/associations/{target.type.name}?after={after}"
                shown[name]["paging"] = {"next": {"after": after, "link": link}}
        return shown
