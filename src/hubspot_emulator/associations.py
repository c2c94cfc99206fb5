"""Associations: who belongs to whom, under which labels, seen from either side."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from .associationtypes import AssociationType, AssociationTypes
from .objecttype import ObjectType

__all__ = ["Associations"]

_Side = dict[int, dict[int, set[int]]]


class Associations:
    """Every association is held once per direction: from id → to id → type ids.

    Nothing here moves a modified date: an association is no change of the record [O].
    """

    def __init__(self) -> None:
        self.types = AssociationTypes()
        self._sides: dict[tuple[str, str], _Side] = {}

    def _side(self, origin: str, target: str) -> _Side:
        return self._sides.setdefault((origin, target), {})

    def link(self, type_: AssociationType, from_id: int, to_id: int) -> None:
        """Add one type between two records, in both directions. Idempotent."""
        inverse = self.types.inverse(type_)
        self._side(type_.from_type, type_.to_type).setdefault(from_id, {}).setdefault(to_id, set()).add(type_.type_id)
        self._side(inverse.from_type, inverse.to_type).setdefault(to_id, {}).setdefault(from_id, set()).add(
            inverse.type_id
        )

    def unlink(self, type_: AssociationType, from_id: int, to_id: int) -> None:
        """Take one type away; the association ends with its last type. Idempotent."""
        inverse = self.types.inverse(type_)
        for one, origin, target in ((type_, from_id, to_id), (inverse, to_id, from_id)):
            side = self._side(one.from_type, one.to_type)
            types = side.get(origin, {}).get(target)
            if types is not None:
                types.discard(one.type_id)
                if not types:
                    self._drop(side, origin, target)

    def separate(self, origin: ObjectType, target: ObjectType, from_id: int, to_id: int) -> None:
        """End an association under all its types. Idempotent."""
        self._drop(self._side(origin.type_id, target.type_id), from_id, to_id)
        self._drop(self._side(target.type_id, origin.type_id), to_id, from_id)

    def _drop(self, side: _Side, origin: int, target: int) -> None:
        targets = side.get(origin)
        if targets is not None:
            targets.pop(target, None)
            if not targets:
                del side[origin]

    def of(self, origin: ObjectType, target: ObjectType, from_id: int) -> dict[int, set[int]]:
        """To id → type ids, in the order of association."""
        return self._sides.get((origin.type_id, target.type_id), {}).get(from_id, {})

    def add_types(
        self, origin: ObjectType, target: ObjectType, from_id: int, to_id: int, types: Iterable[AssociationType]
    ) -> None:
        """Associate; a labelled association is an unlabelled one as well [D]."""
        self.link(self.types.default(origin, target), from_id, to_id)
        for type_ in types:
            self.link(type_, from_id, to_id)

    def forget(self, type_id: str, record_id: int) -> None:
        """End every association of a record."""
        for origin, target, targets in list(self._sides_of(type_id, record_id)):
            for other in targets:
                self._drop(self._side(target, origin), other, record_id)
            self._side(origin, target).pop(record_id, None)

    def move(self, type_id: str, old_id: int, new_id: int) -> None:
        """Give a merged record's associations to the record it became, which keeps its own primary company."""
        for origin, target, targets in list(self._sides_of(type_id, old_id)):
            for other, type_ids in targets.items():
                if origin == target and other == new_id:
                    continue
                known = self.types.between_ids(origin, target)
                for type_ in [known[one] for one in type_ids]:
                    if not (self.types.is_primary(type_) and self._has(type_, new_id)):
                        self.link(type_, new_id, other)
        self.forget(type_id, old_id)

    def _has(self, type_: AssociationType, from_id: int) -> bool:
        targets = self._side(type_.from_type, type_.to_type).get(from_id, {})
        return any(type_.type_id in types for types in targets.values())

    def _sides_of(self, type_id: str, record_id: int) -> Iterator[tuple[str, str, dict[int, set[int]]]]:
        for (origin, target), side in list(self._sides.items()):
            if origin == type_id and record_id in side:
                yield origin, target, dict(side[record_id])

    def retire(self, type_: AssociationType) -> None:
        """End a type, and every association that is only of that type."""
        side = self._side(type_.from_type, type_.to_type)
        for from_id, targets in list(side.items()):
            for to_id, types in list(targets.items()):
                if type_.type_id in types:
                    self.unlink(type_, from_id, to_id)
        self.types.remove(type_)

    def pairs(self) -> Iterator[tuple[str, str, int, int, frozenset[int]]]:
        """Every association in every direction: from type, to type, from id, to id, type ids."""
        for (origin, target), side in self._sides.items():
            for from_id, targets in side.items():
                for to_id, types in targets.items():
                    yield origin, target, from_id, to_id, frozenset(types)
