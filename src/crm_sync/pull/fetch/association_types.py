"""AssociationTypes: what the names of association types in listings stand for.

The numbers of HubSpot's own types are documented and the same in every account; those of custom objects and of labels
that an account made are looked up once and kept in `hubspot.association_types`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from crm_sync.hubspot import HubSpotClient
from crm_sync.hubspot.associations import AssociationType
from crm_sync.hubspot.errors import NotFound, ValidationFailed
from crm_sync.models.relations import association_types
from crm_sync.pull.mirror.values import storable
from crm_sync.pull.stream import Stream

HUBSPOT_DEFINED: Final = "HUBSPOT_DEFINED"
#: A label may be renamed; it is looked up again after so long.
KEPT_FOR: Final = timedelta(hours=24)

# "Association type ID values" of HubSpot's associations guide. Plain types, but for the primary company.
_DOCUMENTED: Final[Mapping[str, int]] = {
    "contact_to_company_unlabeled": 279,
    "deal_to_contact": 3,
    "deal_to_company_unlabeled": 341,
    "ticket_to_contact": 16,
    "ticket_to_company_unlabeled": 339,
    "ticket_to_deal": 28,
    "note_to_contact": 202,
    "note_to_company": 190,
    "note_to_deal": 214,
    "note_to_ticket": 228,
    "call_to_contact": 194,
    "call_to_company": 182,
    "call_to_deal": 206,
    "call_to_ticket": 220,
    "email_to_contact": 198,
    "email_to_company": 186,
    "email_to_deal": 210,
    "email_to_ticket": 224,
    "meeting_to_contact": 200,
    "meeting_to_company": 188,
    "meeting_to_deal": 212,
    "meeting_to_ticket": 226,
    "task_to_contact": 204,
    "task_to_company": 192,
    "task_to_deal": 216,
    "task_to_ticket": 230,
}
_PRIMARY: Final[Mapping[str, int]] = {"contact_to_company": 1, "deal_to_company": 5, "ticket_to_company": 26}

Types = Mapping[str, AssociationType]


class AssociationTypes:
    """One lookup a pair of object types and day, at most."""

    def __init__(self, client: HubSpotClient, engine: AsyncEngine) -> None:
        self._client = client
        self._engine = engine
        self._known: dict[tuple[str, str], Types] = {}

    async def named(self, origin: Stream, target: Stream, name: str) -> AssociationType | None:
        """The type of that name; None where HubSpot does not tell, so that its associations are read by number."""
        documented = _documented(name)
        if documented is not None:
            return documented
        pair = (origin.name, target.name)
        if pair not in self._known:
            self._known[pair] = await self._kept(*pair) or await self._looked_up(origin, target)
        return self._known[pair].get(name)

    async def _kept(self, from_type: str, to_type: str) -> Types:
        c = association_types.c
        statement = sa.select(c.name, c.category, c.type_id, c.label).where(
            c.from_type == from_type, c.to_type == to_type, c.synced_at > sa.func.now() - KEPT_FOR
        )
        async with self._engine.connect() as connection:
            rows = await connection.execute(statement)
            return {row.name: AssociationType(row.category, row.type_id, row.label) for row in rows}

    async def _looked_up(self, origin: Stream, target: Stream) -> Types:
        try:
            ids = await self._client.association_type_names(origin.object_type, target.object_type)
            labels = await self._client.association_labels(origin.object_type, target.object_type)
        except (NotFound, ValidationFailed):
            return {}
        by_id = {one.type_id: one for one in labels}
        types = {name: by_id[type_id] for name, type_id in ids.items() if type_id in by_id}
        if types:
            await self._keep(origin.name, target.name, types)
        return types

    async def _keep(self, from_type: str, to_type: str, types: Types) -> None:
        rows = [
            {
                "from_type": from_type,
                "to_type": to_type,
                "name": storable(name),
                "category": one.category,
                "type_id": one.type_id,
                "label": one.label and storable(one.label),
            }
            for name, one in types.items()
        ]
        c = association_types.c
        async with self._engine.begin() as connection:
            await connection.execute(sa.delete(association_types).where(c.from_type == from_type, c.to_type == to_type))
            await connection.execute(insert(association_types).on_conflict_do_nothing(), rows)


def _documented(name: str) -> AssociationType | None:
    if name in _DOCUMENTED:
        return AssociationType(HUBSPOT_DEFINED, _DOCUMENTED[name])
    if name in _PRIMARY:
        return AssociationType(HUBSPOT_DEFINED, _PRIMARY[name], "Primary")
    return None
