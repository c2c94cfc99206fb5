"""Associations: which records belong together, and under which labels.

Calls of this kind that take many ids have a rate limit of their own, see `Bucket.ASSOCIATIONS`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from crm_sync.hubspot.caller import Caller, each, next_after
from crm_sync.hubspot.exchange import Bucket, Call, Json
from crm_sync.hubspot.objects import BatchError, id_in

#: Most ids of one `read_associations`.
ASSOCIATION_INPUTS = 1_000

_NO_ASSOCIATIONS = "NO_ASSOCIATIONS_FOUND"


@dataclass(frozen=True, slots=True)
class AssociationType:
    """One direction of a relation.

    category  HUBSPOT_DEFINED, USER_DEFINED (a label of the account's own) or INTEGRATOR_DEFINED
    type_id   a number of HubSpot's, or of the account; the way back has another
    label     what people see; None for the plain association, which every pair has beside its labels
    """

    category: str
    type_id: int
    label: str | None = None

    @classmethod
    def of(cls, body: Json) -> AssociationType:
        return cls(category=body["category"], type_id=int(body["typeId"]), label=body.get("label"))


@dataclass(frozen=True, slots=True)
class Association:
    """One associated record with every type that it is associated under."""

    to_id: str
    types: tuple[AssociationType, ...]


@dataclass(frozen=True, slots=True)
class AssociationPage:
    """The answer for many records.

    found      by the id asked for: what is associated with it, () for nothing. An id that is missing here, in
               `following` and in `errors` is one that HubSpot did not answer for: nothing is known about it
    following  ids of which there is more, and the `after` that the next call gives for them
    errors     other than "nothing associated", for the ids that each names; those are not in `found`
    """

    found: Mapping[str, tuple[Association, ...]] = field(default_factory=dict)
    following: Mapping[str, str] = field(default_factory=dict)
    errors: tuple[BatchError, ...] = ()

    @classmethod
    def of(cls, body: Json, asked: Iterable[str]) -> AssociationPage:
        """Entries are merged, as HubSpot may name a pair once per label. "None found" comes as an error and is none."""
        types_by_target: dict[str, dict[str, dict[tuple[object, ...], AssociationType]]] = {}
        following: dict[str, str] = {}
        known: dict[tuple[object, ...], AssociationType] = {}  # a type comes a thousand times, and is made once
        for entry in body["results"]:
            from_id = id_in(entry["from"])
            targets = types_by_target.setdefault(from_id, {})
            for target in entry["to"]:
                types = targets.setdefault(id_in(target, "toObjectId"), {})
                for one in target["associationTypes"]:
                    key = (one["category"], one["typeId"], one.get("label"))
                    if key not in known:
                        known[key] = AssociationType.of(one)
                    types[key] = known[key]
            if (after := next_after(entry)) is not None:
                following[from_id] = after
        found = {
            from_id: tuple(Association(to_id, tuple(types.values())) for to_id, types in targets.items())
            for from_id, targets in types_by_target.items()
        }
        none_found = [BatchError.of(entry) for entry in body.get("errors") or () if _is_none_found(entry)]
        errors = tuple(BatchError.of(entry) for entry in body.get("errors") or () if not _is_none_found(entry))
        empty = {record_id for error in none_found for record_id in error.ids}
        if any(not error.ids for error in none_found):  # it does not say which, so it is those of which nothing is said
            empty |= set(asked).difference(*(error.ids for error in errors))
        return cls({**dict.fromkeys(empty, ()), **found}, following, errors)


def _is_none_found(entry: Json) -> bool:
    return entry.get("category") == "OBJECT_NOT_FOUND" or str(entry.get("subCategory")).endswith(_NO_ASSOCIATIONS)


class AssociationCalls(Caller):
    async def read_associations(
        self, from_type: str, to_type: str, inputs: Mapping[str, str | None]
    ) -> AssociationPage:
        """What is associated with up to 1,000 records, up to 500 each; for more, call again with `following`.

        `inputs` maps record ids to None, or to where to go on. Raises ValueError for more than 1,000 of them. An id
        that was merged away, archived or never there has nothing. The order is HubSpot's, and not promised.
        """
        if len(inputs) > ASSOCIATION_INPUTS:
            raise ValueError(f"one call reads the associations of at most {ASSOCIATION_INPUTS} ids, got {len(inputs)}")
        if not inputs:
            return AssociationPage()
        entries = [{"id": one} if after is None else {"id": one, "after": after} for one, after in inputs.items()]
        call = Call(
            f"{from_type}.associations.{to_type}",
            "POST",
            self._paths.associations(from_type, to_type, "batch", "read"),
            body={"inputs": entries},
            bucket=Bucket.ASSOCIATIONS,
        )
        return await self._transport.request(call, lambda body: AssociationPage.of(body, inputs))

    async def association_labels(self, from_type: str, to_type: str) -> tuple[AssociationType, ...]:
        """Every type of association from one object type to another, the plain one without a label too."""
        path = self._paths.associations(from_type, to_type, "labels")
        return await self._get(f"{from_type}.association_labels.{to_type}", path, each(AssociationType.of))

    async def association_type_names(self, from_type: str, to_type: str) -> Mapping[str, int]:
        """Type ids by the names that in-line associations carry, such as `contact_to_company`.

        Only version 3 of the API has them, so the address is the same for every version. It is to go in 2027; NotFound
        is what the caller has to expect then.
        """
        path = self._paths.association_type_names(from_type, to_type)
        named = await self._get(f"{from_type}.association_types.{to_type}", path, each(_named_type))
        return dict(named)


def _named_type(body: Json) -> tuple[str, int]:
    return str(body["name"]), int(body["id"])
