"""Stream: one kind of HubSpot record and where it is kept. A stream is data; the engine is the same for all."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import MetaData, Table

from crm_sync.models import mirror
from crm_sync.models.mirror import mirror_table, typed_columns


@dataclass(frozen=True, slots=True)
class Stream:
    """Records of one object type.

    name             as commands, `sync_runs` and `hubspot.associations` know it
    object_type      as HubSpot's paths know it: contacts, 2-1001, p123_memberships
    table            its mirror
    targets          streams whose records these are associated with. A pair is read from one side, that of the fewer
                     associations a record; `crm-sync pull associations` reads any other
    cursor_property  the property with the time of the last change
    history          properties of which every former value is kept
    names            all that HubSpot may call the type in an answer
    """

    name: str
    object_type: str
    table: Table
    targets: tuple[str, ...] = ()
    cursor_property: str = "hs_lastmodifieddate"
    history: tuple[str, ...] = ()
    names: frozenset[str] = frozenset()

    @property
    def is_custom(self) -> bool:
        """Its mirror is made when it is first pulled."""
        return self.name not in mirror.MIRRORS

    @property
    def needed_properties(self) -> tuple[str, ...]:
        """What is asked for even when the settings narrow the properties."""
        typed = (column.info["property"] for column in typed_columns(self.table))
        return tuple(dict.fromkeys((*typed, self.cursor_property, "hs_merged_object_ids", *self.history)))


def custom_stream(name: str, object_type: str, names: frozenset[str], targets: tuple[str, ...]) -> Stream:
    """The stream of a custom object: all of it is in `properties`, no column is typed."""
    return Stream(name, object_type, mirror_table(name, metadata=MetaData()), targets, names=names)
