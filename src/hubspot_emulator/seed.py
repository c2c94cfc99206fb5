"""A portal full of trouble, generated from one integer: the same integer, the same records, on any day."""

from __future__ import annotations

import random
from dataclasses import dataclass

from .clock import iso
from .merge import merge
from .portal import Portal
from .record import Record
from .table import Table

__all__ = ["SeedSizes", "seed_portal"]

_START_MS = 1_735_689_600_000
"""2025-01-01T00:00:00Z, when the first record was made."""
_MINUTE_MS = 60_000

_FIRST = (
    "Ada", "Björn", "Chloé", "Đorđe", "Émile", "Fatoumata", "Gülşen", "Håkon", "İpek", "José María",
    "Kateřina", "Łukasz", "Mei-Ling", "Nuñez", "Ólafur", "Priya", "Quỳnh", "Ravi", "Søren", "Zoë",
    "李小龍", "Анна", "مريم", "O'Neil", "jean-luc", "ALLCAPS", "  spaced ", "x", "Dr. Test", "🙂 Emoji",
)  # fmt: skip
_LAST = (
    "Example", "Sample", "Testova", "van der Proof", "d'Exemple", "Mustermann", "MacSample", "Ñandú",
    "de la Prueba", "Fiktív", "Ångström-Test", "王", "Образцов", "No", "\tTab", "", "Null", "Very-Long-" * 8,
)  # fmt: skip
_STAGES = ("subscriber", "lead", "marketingqualifiedlead", "salesqualifiedlead", "opportunity", "customer")
_DEAL_STAGES = ("appointmentscheduled", "qualifiedtobuy", "presentationscheduled", "contractsent", "closedwon")
_ACTIVITIES = {
    "notes": "hs_note_body",
    "calls": "hs_call_title",
    "emails": "hs_email_subject",
    "meetings": "hs_meeting_title",
    "tasks": "hs_task_subject",
}


@dataclass(frozen=True, slots=True)
class SeedSizes:
    """How much of what. `same_timestamp` contacts share one modified date; `crowded_associations` companies belong to
    one contact; the first deal has `busy_deal_activities`, the others up to `activities_per_deal`."""

    contacts: int = 12_000
    same_timestamp: int = 10_500
    companies: int = 400
    deals: int = 60
    busy_deal_activities: int = 263
    activities_per_deal: int = 12
    crowded_associations: int = 300
    archived: int = 25
    merged: int = 10
    owners: int = 5
    form_submissions: int = 120
    email_events: int = 500

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 5_000_000:
                raise ValueError(f"{name} is a number between 0 and 5,000,000, not {value!r}")


def seed_portal(portal: Portal, number: int, sizes: SeedSizes | None = None) -> dict[str, int]:
    """Fill an empty portal; counts of live records by object type. Nothing is left for the search index to catch up
    with: the records are old."""
    sizes = sizes or SeedSizes()
    chance = random.Random(number)
    lag = portal.behaviour.search_lag_seconds
    portal.behaviour.search_lag_seconds = 0.0
    try:
        _Seeding(portal, chance, sizes).run()
    finally:
        portal.behaviour.search_lag_seconds = lag
    return {
        table.type.name: count
        for table in portal.tables.values()
        if (count := sum(not record.archived for record in table.records.values()))
    }


class _Seeding:
    def __init__(self, portal: Portal, chance: random.Random, sizes: SeedSizes) -> None:
        self._portal = portal
        self._chance = chance
        self._sizes = sizes
        self._made = 0

    def run(self) -> None:
        sizes, portal = self._sizes, self._portal
        for number in range(sizes.owners):
            portal.owners.add(f"owner{number}@example.com", _FIRST[number % 20], "Example", at_ms=_START_MS)
        contacts = self._contacts()
        companies = [
            self._add("companies", {"name": f"Example Company {number}", "domain": f"company{number}.example.com"})
            for number in range(sizes.companies)
        ]
        self._crowd(contacts, companies)
        self._deals(contacts, companies)
        self._merge(contacts)
        self._archive(contacts)
        self._marketing(contacts)

    def _add(self, type_name: str, properties: dict[str, str], at_ms: int | None = None) -> Record:
        table = self._portal.table(type_name)
        table.version += 1
        self._made += 1
        made_ms = _START_MS + self._made * _MINUTE_MS if at_ms is None else at_ms
        return table.add(properties, made_ms)

    def _contacts(self) -> list[Record]:
        sizes, chance = self._sizes, self._chance
        shared_ms = _START_MS + 90 * 86_400_000
        contacts = []
        for number in range(sizes.contacts):
            first, last = chance.choice(_FIRST), chance.choice(_LAST)
            properties = {"email": f"contact{number}@example.com", "firstname": first}
            if last:
                properties["lastname"] = last
            if chance.random() < 0.6:
                properties["phone"] = f"+1 555 {number % 1_000:03d} {number % 10_000:04d}"
            if chance.random() < 0.5:
                properties["lifecyclestage"] = chance.choice(_STAGES)
            record = self._add("contacts", properties)
            record.updated_ms = shared_ms if number < sizes.same_timestamp else record.created_ms + number * 1_000
            contacts.append(record)
        return contacts

    def _associate(self, origin: Record, target: Record) -> None:
        tables = self._portal.tables
        self._portal.relations.associate(tables[origin.type.type_id], origin, tables[target.type.type_id], target)

    def _crowd(self, contacts: list[Record], companies: list[Record]) -> None:
        """The last contact belongs to very many companies, every fourth to one."""
        if not contacts or not companies:
            return
        for company in companies[: self._sizes.crowded_associations]:
            self._associate(contacts[-1], company)
        for contact in contacts[:-1:4]:
            self._associate(contact, self._chance.choice(companies))

    def _deals(self, contacts: list[Record], companies: list[Record]) -> None:
        chance, sizes = self._chance, self._sizes
        for number in range(sizes.deals):
            stage = chance.choice(_DEAL_STAGES)
            deal = self._add(
                "deals",
                {
                    "dealname": f"Example deal {number}",
                    "amount": str(chance.randrange(100, 100_000)),
                    "pipeline": "default",
                    "dealstage": stage,
                    "hs_is_closed": str(stage == "closedwon").lower(),
                },
            )
            if contacts:
                self._associate(deal, chance.choice(contacts))
            if companies:
                self._associate(deal, chance.choice(companies))
            few = chance.randrange(sizes.activities_per_deal + 1)
            self._activities(deal, few if number else sizes.busy_deal_activities)

    def _activities(self, deal: Record, count: int) -> None:
        kinds = list(_ACTIVITIES.items())
        for number in range(count):
            name, title = kinds[number % len(kinds)]
            at_ms = deal.created_ms + (number + 1) * 3_600_000
            activity = self._add(name, {"hs_timestamp": iso(at_ms), title: f"Example {number}"}, at_ms)
            self._associate(activity, deal)

    def _merge(self, contacts: list[Record]) -> None:
        """Each pair of the first contacts becomes one, with a secondary e-mail."""
        table = self._table("contacts")
        for number in range(min(self._sizes.merged, len(contacts) // 4)):
            winner, other = contacts[2 * number], contacts[2 * number + 1]
            updated_ms = max(winner.updated_ms, other.updated_ms) + 1
            merge(self._portal, table, str(winner.id), str(other.id)).updated_ms = updated_ms

    def _archive(self, contacts: list[Record]) -> None:
        table = self._table("contacts")
        live = [one for one in contacts[len(contacts) // 2 : -1] if table.live(one.id) is not None]
        for record in live[: self._sizes.archived]:
            self._portal.archive(table, record)

    def _marketing(self, contacts: list[Record]) -> None:
        portal, sizes = self._portal, self._sizes
        emails = [one.properties["email"] for one in contacts[:500]] or ["nobody@example.com"]
        if sizes.form_submissions:
            form = portal.forms.add("Example form", _START_MS)
            for number in range(sizes.form_submissions):
                values = {"email": emails[number % len(emails)], "firstname": "Example"}
                portal.forms.submit(form["id"], values, _START_MS + number * _MINUTE_MS)
        for number in range(sizes.email_events):
            kind = ("SENT", "DELIVERED", "OPEN", "CLICK", "BOUNCE")[number % 5]
            recipient = emails[number % len(emails)]
            portal.email_events.add(kind, recipient, _START_MS + number * 1_000, portal_id=portal.id)

    def _table(self, name: str) -> Table:
        return self._portal.table(name)
