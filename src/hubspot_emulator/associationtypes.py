"""Association types: which numbers stand for which relation, from either side."""

from __future__ import annotations

from dataclasses import dataclass

from .objecttype import ObjectType

__all__ = ["AssociationType", "AssociationTypes"]

HUBSPOT_DEFINED = "HUBSPOT_DEFINED"
USER_DEFINED = "USER_DEFINED"


@dataclass(slots=True)
class AssociationType:
    """One direction of a relation. `label` is shown to people, `name` is the `type` of v3 answers."""

    type_id: int
    from_type: str
    to_type: str
    name: str
    inverse_id: int
    category: str = HUBSPOT_DEFINED
    label: str | None = None

    def wire(self) -> dict[str, object]:
        return {"category": self.category, "typeId": self.type_id, "label": self.label}


# from type, to type → unlabelled type id, and the id of the way back [D].
_DEFAULTS = {
    ("0-1", "0-2"): (279, 280),
    ("0-1", "0-1"): (449, 449),
    ("0-2", "0-2"): (450, 450),
    ("0-3", "0-3"): (451, 451),
    ("0-5", "0-5"): (452, 452),
    ("0-3", "0-1"): (3, 4),
    ("0-3", "0-2"): (341, 342),
    ("0-1", "0-5"): (15, 16),
    ("0-5", "0-2"): (339, 340),
    ("0-3", "0-5"): (27, 28),
    ("0-123", "0-1"): (507, 508),
    ("0-123", "0-2"): (509, 510),
    ("0-123", "0-3"): (512, 511),
    ("0-421", "0-1"): (906, 907),
    ("0-421", "0-2"): (908, 909),
    ("0-421", "0-3"): (944, 945),
    ("0-46", "0-1"): (202, 201),
    ("0-46", "0-2"): (190, 189),
    ("0-46", "0-3"): (214, 213),
    ("0-46", "0-5"): (228, 227),
    ("0-48", "0-1"): (194, 193),
    ("0-48", "0-2"): (182, 181),
    ("0-48", "0-3"): (206, 205),
    ("0-48", "0-5"): (220, 219),
    ("0-49", "0-1"): (198, 197),
    ("0-49", "0-2"): (186, 185),
    ("0-49", "0-3"): (210, 209),
    ("0-49", "0-5"): (224, 223),
    ("0-47", "0-1"): (200, 199),
    ("0-47", "0-2"): (188, 187),
    ("0-47", "0-3"): (212, 211),
    ("0-47", "0-5"): (226, 225),
    ("0-27", "0-1"): (204, 203),
    ("0-27", "0-2"): (192, 191),
    ("0-27", "0-3"): (216, 215),
    ("0-27", "0-5"): (230, 229),
}

# The company that is the primary one of a contact, deal or ticket, and the way back [D].
_PRIMARY = {("0-1", "0-2"): (1, 2), ("0-3", "0-2"): (5, 6), ("0-5", "0-2"): (26, 25)}


class AssociationTypes:
    """The types between every pair of object types; those that HubSpot numbers per account are made when first
    asked for."""

    def __init__(self) -> None:
        self._pairs: dict[tuple[str, str], dict[int, AssociationType]] = {}
        self._next_id = 10_001

    def between(self, origin: ObjectType, target: ObjectType) -> dict[int, AssociationType]:
        """Type id → type, the unlabelled one first."""
        pair = (origin.type_id, target.type_id)
        if pair not in self._pairs:
            self._define_defaults(origin, target)
        return self._pairs[pair]

    def between_ids(self, from_type: str, to_type: str) -> dict[int, AssociationType]:
        """As `between`, for a pair that has been asked for before."""
        return self._pairs[(from_type, to_type)]

    def default(self, origin: ObjectType, target: ObjectType) -> AssociationType:
        """The unlabelled type, which every pair has."""
        return next(iter(self.between(origin, target).values()))

    def primary(self, origin: ObjectType, target: ObjectType) -> AssociationType | None:
        """The type that marks a primary company; None for other pairs."""
        ids = _PRIMARY.get((origin.type_id, target.type_id))
        return self.between(origin, target)[ids[0]] if ids else None

    def is_primary(self, type_: AssociationType) -> bool:
        """Whether it marks the one primary company of the record it starts from."""
        return type_.type_id in _PRIMARY.get((type_.from_type, type_.to_type), ())[:1]

    def inverse(self, type_: AssociationType) -> AssociationType:
        return self._pairs[(type_.to_type, type_.from_type)][type_.inverse_id]

    def add_label(
        self, origin: ObjectType, target: ObjectType, name: str, label: str, inverse_label: str | None
    ) -> tuple[AssociationType, AssociationType]:
        """A label of the user's own: the way there and the way back. Both are one and the same between records of
        one type without an inverse label."""
        self.between(origin, target)
        there_id = self._take_id()
        same = origin is target and inverse_label is None
        back_id = there_id if same else self._take_id()
        pair = (origin.type_id, target.type_id)
        there = AssociationType(there_id, *pair, name, back_id, USER_DEFINED, label)
        back = there
        if not same:
            back = AssociationType(back_id, *pair[::-1], name, there_id, USER_DEFINED, inverse_label or label)
        self._pairs[pair][there_id] = there
        self._pairs[pair[::-1]][back_id] = back
        return there, back

    def remove(self, type_: AssociationType) -> None:
        """Both directions."""
        inverse = self.inverse(type_)
        del self._pairs[(type_.from_type, type_.to_type)][type_.type_id]
        self._pairs[(inverse.from_type, inverse.to_type)].pop(inverse.type_id, None)

    def by_name(self, origin: ObjectType, target: ObjectType, name: str) -> AssociationType | None:
        """A type by its v3 name or by its number."""
        for type_ in self.between(origin, target).values():
            if name in (type_.name, str(type_.type_id)):
                return type_
        return None

    def _define_defaults(self, origin: ObjectType, target: ObjectType) -> None:
        pair = (origin.type_id, target.type_id)
        back_pair = pair[::-1]
        there_id, back_id = self._default_ids(pair)
        there_name, back_name = _name(origin, target), _name(target, origin)
        primary = _PRIMARY.get(pair)
        back_primary = _PRIMARY.get(back_pair)
        suffix = "_unlabeled" if primary or back_primary else ""
        there = AssociationType(there_id, *pair, there_name + suffix, back_id)
        back = AssociationType(back_id, *back_pair, back_name + suffix, there_id)
        self._pairs[pair] = {there_id: there}
        self._pairs.setdefault(back_pair, {})[back_id] = back
        if primary or back_primary:
            first, second = primary or (back_primary or (0, 0))[::-1]
            self._pairs[pair][first] = AssociationType(first, *pair, there_name, second, label="Primary")
            self._pairs[back_pair][second] = AssociationType(second, *back_pair, back_name, first, label="Primary")

    def _default_ids(self, pair: tuple[str, str]) -> tuple[int, int]:
        if pair in _DEFAULTS:
            return _DEFAULTS[pair]
        if pair[::-1] in _DEFAULTS:
            return _DEFAULTS[pair[::-1]][::-1]
        there = self._take_id()
        return there, there if pair[0] == pair[1] else self._take_id()

    def _take_id(self) -> int:
        self._next_id += 1
        return self._next_id - 1


def _name(origin: ObjectType, target: ObjectType) -> str:
    return f"{origin.singular}_to_{target.singular}"
