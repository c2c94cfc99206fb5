"""One HubSpot account: its records, its rules, no HTTP."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from .behaviour import Behaviour
from .clock import Clock
from .emailevents import EmailEvents
from .forms import Forms
from .objecttype import STANDARD_TYPES, ObjectType
from .owners import Owners
from .pipeline import Pipelines, standard_pipelines
from .problems import BadRequest, Conflict, NotFound
from .record import Record
from .relations import Link, Relations
from .searchindex import SearchIndex
from .table import Table
from .values import Values, forward_only

__all__ = ["Portal", "record_number"]

_ARCHIVE_KEPT_MS = 90 * 86_400_000


class Portal:
    """Everything that a reset forgets. Methods raise `Problem`s, worded as the API words them."""

    def __init__(self, *, clock: Clock, behaviour: Behaviour, portal_id: int = 20_260_301, seed: int = 0) -> None:
        self.clock = clock
        self.behaviour = behaviour
        self.id = portal_id
        self.random = random.Random(seed)
        self.tables: dict[str, Table] = {}
        self._names: dict[str, Table] = {}
        self._batches = 0
        self.index = SearchIndex(clock, behaviour)
        self.pipelines: dict[str, Pipelines] = {}
        self.values = Values(portal_id, behaviour, self.pipelines)
        self.relations = Relations(self.tables, lambda: behaviour.first_company_is_primary)
        self.owners = Owners()
        self.forms = Forms(portal_id)
        self.email_events = EmailEvents()
        for object_type in STANDARD_TYPES:
            self.add_type(object_type)

    # types

    def add_type(self, object_type: ObjectType) -> Table:
        table = Table(object_type, self.behaviour.first_record_id)
        self.tables[object_type.type_id] = table
        self.pipelines[object_type.type_id] = standard_pipelines(object_type.name)
        for name in object_type.names:
            self._names[name.lower()] = table
        return table

    def drop_type(self, object_type: ObjectType) -> None:
        del self.tables[object_type.type_id]
        self._names = {name: table for name, table in self._names.items() if table.type is not object_type}

    def table(self, name: str) -> Table:
        """By plural or singular name, type id (`0-1`) or fully qualified name (`p123_car`)."""
        found = self._names.get(name.lower())
        if found is None:
            raise BadRequest(f"Unable to infer object type from: {name}")
        return found

    # reading

    def get(self, table: Table, id_: str, *, id_property: str | None = None, archived: bool = False) -> Record:
        """One record by id (merged ids resolve) or by a unique property.

        Raises NotFound; BadRequest when `id_property` is not unique.
        """
        record = self.find(table, id_, id_property=id_property, archived=archived)
        if record is None:
            raise NotFound("resource not found")
        return record

    def find(
        self, table: Table, id_: str, *, id_property: str | None = None, archived: bool = False, merged: bool = True
    ) -> Record | None:
        if id_property is not None and id_property != "hs_object_id":
            self.unique_property(table, id_property)
            return None if archived else table.holder(id_property, id_)
        number = record_number(id_)
        if number is None:
            return None
        if archived:
            self.purge_old_archives(table)
            record = table.records.get(number)
            return record if record is not None and record.archived else None
        return table.resolve(number) if merged else table.live(number)

    def unique_property(self, table: Table, name: str) -> None:
        if name not in table.unique:
            raise BadRequest(f"Property {name} is not a unique property of {table.type.name}", propertyName=[name])

    # writing

    def conflict(self, table: Table, cleaned: Mapping[str, str], record: Record | None) -> Conflict | None:
        """The 409 for a unique value that another record holds, or None."""
        for name in table.unique:
            value = cleaned.get(name)
            if not value:
                continue
            holder = table.holder(name, value)
            if holder is None or holder is record:
                continue
            singular = table.type.singular.capitalize()
            message = f"{singular} already exists."
            if self.behaviour.conflict_names_existing_id:
                message += f" Existing ID: {holder.id}"
            return Conflict(message)
        return None

    def insert(self, table: Table, cleaned: Mapping[str, str], links: Sequence[Link] = ()) -> Record:
        """Create from cleaned values without a conflict."""
        table.version += 1
        record = table.add({name: value for name, value in cleaned.items() if value}, self.clock.now_ms())
        self.index.written(table, record, None)
        for link in links:
            self.relations.associate(table, record, link.target, link.record, link.types)
        return record

    def change(self, table: Table, record: Record, cleaned: Mapping[str, str]) -> Record:
        """Update from cleaned values without a conflict. A lifecycle stage that would go backwards is left out,
        silently [O]."""
        changes = forward_only(record, cleaned)
        changes |= self._promoted(table, record, changes)
        before = self.index.snapshot(record)
        claims_unique = any(name in table.unique for name in changes)
        updated_ms = record.updated_ms
        if claims_unique:
            table.release(record)
        changed = record.write(changes, self.clock.now_ms())
        if claims_unique:
            table.hold(record)
        if not changed and not self.behaviour.equal_write_bumps_modified:
            record.updated_ms = updated_ms
            return record
        table.version += 1
        self.index.written(table, record, before)
        return record

    def _promoted(self, table: Table, record: Record, changes: Mapping[str, str]) -> dict[str, str]:
        """The secondary e-mails that are left when `changes` makes one of them the first; else nothing."""
        email, listed = changes.get("email"), record.properties.get("hs_additional_emails")
        if not table.type.has_email or not email or not listed or email not in listed.split(";"):
            return {}
        kept = [one for one in listed.split(";") if one != email]
        if self.behaviour.promoted_email_keeps_former and (former := record.properties.get("email")):
            kept.append(former)
        return {"hs_additional_emails": ";".join(kept)}

    def loses_a_result(self) -> bool:
        """Whether this batch answer is the one that silently lacks a result (`silent_loss_every`)."""
        if not self.behaviour.silent_loss_every:
            return False
        self._batches += 1
        return self._batches % self.behaviour.silent_loss_every == 0

    def create(self, table: Table, raw: object, associations: object = None) -> Record:
        """Raises InvalidProperties or Conflict; BadRequest or NotFound for its associations."""
        cleaned = self.values.for_new(table, raw)
        links = self.relations.wanted(table, associations)
        if problem := self.conflict(table, cleaned, None):
            raise problem
        return self.insert(table, cleaned, links)

    def update(self, table: Table, record: Record, raw: object) -> Record:
        """Raises InvalidProperties or Conflict."""
        cleaned = self.values.cleaned(table, raw, record)
        if problem := self.conflict(table, cleaned, record):
            raise problem
        return self.change(table, record, cleaned)

    def archive(self, table: Table, record: Record) -> None:
        """Into the recycling bin: unseen except by reads that ask for archived records; unique values are free."""
        if record.archived:
            return
        table.version += 1
        before = self.index.snapshot(record)
        table.release(record)
        record.archived_ms = self.clock.now_ms()
        table.archive.append((record.archived_ms, record.id))
        self.index.written(table, record, before)

    def purge(self, table: Table, record: Record) -> None:
        """Gone for good, archived or not."""
        table.version += 1
        self.index.forget(table, record)
        self.relations.store.forget(table.type.type_id, record.id)
        table.remove(record)

    def purge_old_archives(self, table: Table) -> None:
        """Archived records are kept for 90 days [D]."""
        oldest_ms = self.clock.now_ms() - _ARCHIVE_KEPT_MS
        while table.archive and table.archive[0][0] < oldest_ms:
            _, id_ = table.archive.popleft()
            record = table.records.get(id_)
            if record is not None and record.archived:
                self.purge(table, record)


def record_number(text: str) -> int | None:
    """The number of a record id, or None for what cannot be one."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else None
