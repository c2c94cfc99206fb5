"""Whatever is written, merged, archived or associated, in any order: the portal stays consistent."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from hubspot_emulator.account import Account
from hubspot_emulator.batch import Batch
from hubspot_emulator.merge import gdpr_delete, merge
from hubspot_emulator.problems import NotFound, Problem
from hubspot_emulator.record import Record
from hubspot_emulator.table import Table

EMAILS = st.sampled_from([f"{name}@example.com" for name in ("a", "b", "c", "d", "E", "A")] + ["bad", ""])
STAGES = st.sampled_from(["", "lead", "customer", "subscriber", "nonsense"])
PROPERTIES = st.fixed_dictionaries(
    {}, optional={"email": EMAILS, "lifecyclestage": STAGES, "firstname": st.text(max_size=3), "key": EMAILS}
)


class PortalMachine(RuleBasedStateMachine):
    ids = Bundle("ids")
    companies = Bundle("companies")

    @initialize(target=companies, lag=st.sampled_from([0.0, 5.0]), creates=st.booleans())
    def start(self, lag: float, creates: bool) -> Any:
        self.account = Account(tier="unlimited")
        self.account.clock.freeze()
        self.account.behaviour.search_lag_seconds = lag
        self.account.behaviour.merge_creates_record = creates
        self.contacts = self.account.portal.table("contacts")
        self.others = self.account.portal.table("companies")
        definition = self.contacts.properties["firstname"].__class__(name="key", label="Key", unique=True)
        self.contacts.properties["key"] = definition
        self.contacts.unique["key"] = {}
        return multiple(*[str(self.account.portal.create(self.others, {"name": "x"}).id) for _ in range(3)])

    def answered(self, body: dict[str, Any]) -> Any:
        return multiple(*[result["id"] for result in body["results"]])

    @rule(target=ids, properties=PROPERTIES)
    def create(self, properties: dict[str, str]) -> Any:
        try:
            return str(self.account.portal.create(self.contacts, properties).id)
        except Problem:
            return multiple()

    @rule(id_=ids, properties=PROPERTIES)
    def update(self, id_: str, properties: dict[str, str]) -> None:
        record = self.account.portal.find(self.contacts, id_)
        if record is not None:
            with suppress(Problem):
                self.account.portal.update(self.contacts, record, properties)

    @rule(
        target=ids,
        inputs=st.lists(st.tuples(EMAILS, PROPERTIES), min_size=1, max_size=4),
        traced=st.booleans(),
        id_property=st.sampled_from(["email", "key"]),
    )
    def upsert(self, inputs: list[tuple[str, dict[str, str]]], traced: bool, id_property: str) -> Any:
        before = len(self.contacts.records)
        body = {
            "inputs": [
                {"id": id_, "idProperty": id_property, "properties": properties}
                | ({"objectWriteTraceId": str(position)} if traced else {})
                for position, (id_, properties) in enumerate(inputs)
            ]
        }
        try:
            status, answer = Batch(self.account.portal, self.contacts).upsert(body)
        except Problem:
            assert len(self.contacts.records) == before, "a refused batch wrote"
            return multiple()
        assert len(answer["results"]) + answer.get("numErrors", 0) == len(inputs)
        assert (status == 207) is ("errors" in answer)
        new = sum(result["new"] for result in answer["results"])
        assert len(self.contacts.records) == before + new
        return self.answered(answer)

    @rule(id_=consumes(ids))
    def archive(self, id_: str) -> None:
        record = self.account.portal.find(self.contacts, id_)
        if record is not None:
            self.account.portal.archive(self.contacts, record)

    @rule(id_=ids)
    def purge(self, id_: str) -> None:
        with suppress(NotFound):
            gdpr_delete(self.account.portal, self.contacts, id_, None)

    @rule(one=ids, other=ids)
    def merge(self, one: str, other: str) -> None:
        with suppress(Problem):
            left = merge(self.account.portal, self.contacts, one, other)
            assert self.contacts.resolve(int(other)) is left

    @rule(one=companies, other=companies)
    def merge_companies(self, one: str, other: str) -> None:
        with suppress(Problem):
            merge(self.account.portal, self.others, one, other)

    @rule(id_=ids, company=companies)
    def associate(self, id_: str, company: str) -> None:
        portal = self.account.portal
        record, other = portal.find(self.contacts, id_), portal.find(self.others, company)
        if record is not None and other is not None:
            portal.relations.associate(self.contacts, record, self.others, other)

    @rule(one=ids, other=ids)
    def associate_contacts(self, one: str, other: str) -> None:
        portal = self.account.portal
        record, second = portal.find(self.contacts, one), portal.find(self.contacts, other)
        if record is not None and second is not None:
            portal.relations.associate(self.contacts, record, self.contacts, second)

    @rule(id_=ids, company=companies)
    def separate(self, id_: str, company: str) -> None:
        store = self.account.portal.relations.store
        store.separate(self.contacts.type, self.others.type, int(id_), int(company))

    @rule(seconds=st.sampled_from([0.001, 3, 10, 91 * 86_400]))
    def wait(self, seconds: float) -> None:
        self.account.clock.advance(seconds)
        self.account.portal.purge_old_archives(self.contacts)

    # what always holds

    def tables(self) -> list[Table]:
        return [self.contacts, self.others]

    @invariant()
    def ids_are_sorted_and_complete(self) -> None:
        for table in self.tables():
            assert table.ids == sorted(table.records)
            assert all(id_ == record.id for id_, record in table.records.items())

    @invariant()
    def unique_values_lead_to_their_only_live_holder(self) -> None:
        for name, index in self.contacts.unique.items():
            held: dict[str, int] = {}
            for record in self.live(self.contacts):
                values = [record.properties.get(name)]
                if name == "email":
                    values += (record.properties.get("hs_additional_emails") or "").split(";")
                for value in values:
                    if value:
                        assert held.setdefault(self.contacts.key(name, value), record.id) == record.id
            assert index == held

    @invariant()
    def merged_ids_are_gone_and_lead_to_one_record(self) -> None:
        for table in self.tables():
            for old in table.merged:
                assert old not in table.records
                found = table.resolve(old)
                assert found is None or found.id not in table.merged

    @invariant()
    def associations_are_seen_from_both_sides_and_between_records_that_exist(self) -> None:
        relations = self.account.portal.relations.store
        pairs = {(origin, target, one, two): types for origin, target, one, two, types in relations.pairs()}
        for (origin, target, one, two), types in pairs.items():
            known = relations.types.between_ids(origin, target)
            assert types
            assert pairs[(target, origin, two, one)] == {known[type_id].inverse_id for type_id in types}
            assert one in self.account.portal.tables[origin].records
            assert two in self.account.portal.tables[target].records

    @invariant()
    def a_contact_has_at_most_one_primary_company(self) -> None:
        store = self.account.portal.relations.store
        for record in self.live(self.contacts):
            types = store.of(self.contacts.type, self.others.type, record.id).values()
            assert sum(1 in one for one in types) <= 1

    @invariant()
    def the_newest_version_is_the_value(self) -> None:
        for record in self.contacts.records.values():
            assert record.updated_ms >= record.created_ms
            for name, versions in (record.history or {}).items():
                assert versions[-1][1] == record.properties.get(name, "")
                assert [at for at, _ in versions] == sorted(at for at, _ in versions)

    @invariant()
    def search_counts_the_live_records_once_the_index_has_caught_up(self) -> None:
        total, records, _ = self.account.search.page(self.contacts, {"limit": 200})
        live = list(self.live(self.contacts))
        assert {record.id for record in records} <= {record.id for record in live}
        if not self.account.portal.index.stale(self.contacts):
            assert total == len(live)

    def live(self, table: Table) -> list[Record]:
        return [record for record in table.records.values() if not record.archived]


PortalMachine.TestCase.settings = settings(
    max_examples=150, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)


class TestPortal(PortalMachine.TestCase):
    """Collected by pytest."""
