"""What people and programs do in a portal while it is mirrored."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

from hubspot_emulator import EmulatorServer
from hubspot_emulator.merge import gdpr_delete, merge
from hubspot_emulator.portal import Portal
from hubspot_emulator.record import Record
from hubspot_emulator.table import Table

STAGES = ("appointmentscheduled", "qualifiedtobuy", "presentationscheduled", "contractsent", "closedwon")
LABELS = ("Decision maker", "Billing contact", "Employer")
PAIRS = (
    ("contacts", "companies"),
    ("companies", "companies"),
    ("deals", "contacts"),
    ("deals", "companies"),
    ("notes", "contacts"),
    ("notes", "deals"),
)
TYPES = ("contacts", "companies", "deals", "notes")
_TEXT = {"contacts": "lastname", "companies": "name", "deals": "dealname", "notes": "hs_note_body"}


@dataclass
class Users:
    """`purged`: object types of which a live record was deleted for good, which only a full pull can see.

    `archived_until_ms`: nothing that was archived after it is restored, since no pull saw it in the recycle bin.
    """

    emulator: EmulatorServer
    random: random.Random
    purged: set[str]
    made: int = 0
    archived_until_ms: float = math.inf

    @property
    def portal(self) -> Portal:
        return self.emulator.portal

    def act(self, times: int = 1) -> None:
        """Something, at random; nothing where there is nothing to do it to."""
        for _ in range(times):
            action, *weights = self.random.choices(
                [
                    self.create,
                    self.update,
                    self.clear,
                    self.merge,
                    self.archive,
                    self.restore,
                    self.delete_for_good,
                    self.associate,
                    self.label,
                    self.separate,
                ],
                weights=[8, 10, 3, 2, 4, 3, 1, 8, 5, 3],
            )
            assert not weights
            with self.emulator.account.lock:
                action()

    def create(self, type_name: str | None = None) -> Record:
        type_name = type_name or self.random.choice(TYPES)
        self.made += 1
        properties = {_TEXT[type_name]: f"{self._word()} {self.made}"}
        if type_name == "contacts":
            properties["email"] = f"Person{self.made}@example.com"
        if type_name == "deals":
            properties |= {"dealstage": self.random.choice(STAGES), "pipeline": "default", "amount": str(self.made)}
        if type_name == "notes":
            properties["hs_timestamp"] = str(1_700_000_000_000 + self.made)
        return self.portal.create(self.portal.table(type_name), properties)

    def update(self) -> None:
        if (one := self._any()) is not None:
            table, record = one
            changes = {_TEXT[table.type.name]: self._word()}
            if table.type.name == "deals":
                changes["dealstage"] = self.random.choice(STAGES)
            self.portal.update(table, record, changes)

    def clear(self) -> None:
        if (one := self._any()) is not None:
            self.portal.update(*one, {_TEXT[one[0].type.name]: ""})

    def merge(self) -> None:
        table = self.portal.table(self.random.choice(TYPES))
        live = self._live(table)
        if len(live) > 1:
            winner, other = self.random.sample(live, 2)
            merge(self.portal, table, str(winner.id), str(other.id))

    def archive(self) -> None:
        if (one := self._any()) is not None:
            self.portal.archive(*one)

    def restore(self, type_name: str | None = None) -> None:
        """Out of the recycle bin, as people do in HubSpot's pages: no modified date moves."""
        table = self.portal.table(type_name or self.random.choice(TYPES))
        archived = [one for one in table.records.values() if one.archived and one.archived_ms <= self.archived_until_ms]
        if not archived:
            return
        record = self.random.choice(archived)
        if any(table.holder(name, value) for name in table.unique if (value := record.properties.get(name))):
            return
        table.archive.remove((record.archived_ms or 0, record.id))
        record.archived_ms = None
        table.hold(record)
        table.version += 1

    def delete_for_good(self) -> None:
        table = self.portal.table(self.random.choice(TYPES))
        if table.records:
            record = self.random.choice(list(table.records.values()))
            if not record.archived:
                self.purged.add(table.type.name)
            gdpr_delete(self.portal, table, str(record.id), None)

    def associate(self, *labels: str) -> None:
        from_type, to_type = self.random.choice(PAIRS)
        origin, target = self.portal.table(from_type), self.portal.table(to_type)
        here, there = self._live(origin), self._live(target)
        if not here or not there:
            return
        record, other = self.random.choice(here), self.random.choice(there)
        if record is other:
            return
        relations = self.portal.relations
        known = {one.label: one for one in relations.store.types.between(origin.type, target.type).values()}
        for label in set(labels) - set(known):
            name = label.lower().replace(" ", "_")
            known[label] = relations.store.types.add_label(origin.type, target.type, name, label, None)[0]
        relations.associate(origin, record, target, other, [known[label] for label in labels])

    def label(self) -> None:
        self.associate(*self.random.sample(LABELS, self.random.randint(1, 2)))

    def separate(self) -> None:
        from_type, to_type = self.random.choice(PAIRS)
        origin, target = self.portal.table(from_type), self.portal.table(to_type)
        store = self.portal.relations.store
        ties = [(one.id, to_id) for one in self._live(origin) for to_id in store.of(origin.type, target.type, one.id)]
        if ties:
            from_id, to_id = self.random.choice(ties)
            types = store.types.between(origin.type, target.type)
            labels = [types[one] for one in store.of(origin.type, target.type, from_id)[to_id] if types[one].label]
            if labels and self.random.random() < 0.5:
                store.unlink(self.random.choice(labels), from_id, to_id)
            else:
                store.separate(origin.type, target.type, from_id, to_id)

    def _any(self) -> tuple[Table, Record] | None:
        table = self.portal.table(self.random.choice(TYPES))
        live = self._live(table)
        return (table, self.random.choice(live)) if live else None

    @staticmethod
    def _live(table: Table) -> list[Record]:
        return [one for one in table.records.values() if not one.archived]

    def _word(self) -> str:
        return self.random.choice(["Ada", "Łukasz", "  spaced ", "王", "🙂", "O'Neil", "a,b", "\\N", '{"x"}', "Null"])
