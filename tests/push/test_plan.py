"""Which records a batch of rows writes (pure)."""

from __future__ import annotations

from datetime import date

from hypothesis import given
from hypothesis import strategies as st

from crm_sync.push.mappings import PropertyNames, contact_mapping
from crm_sync.push.plan import Plan, plan_writes
from jobloop.outcome import Fail
from tests.push.contact_rows import Row


def plan(*rows: Row) -> Plan:
    return plan_writes(contact_mapping(PropertyNames()), rows, date(2026, 11, 21))


def test_rows_without_an_id_are_upserts_and_rows_with_one_are_updates() -> None:
    new, known, empty_id = Row("a@x.com"), Row("b@x.com", "7"), Row("c@x.com", " ")
    made = plan(new, known, empty_id)
    assert [(write.row_ids, write.key) for write in made.upserts] == [
        ((new.id,), "a@x.com"),
        ((empty_id.id,), "c@x.com"),
    ]
    assert [(write.row_ids, write.record_id) for write in made.updates] == [((known.id,), "7")]


def test_duplicate_inside_a_batch_is_one_write_and_the_newest_row_gives_the_values() -> None:
    older, newest, oldest = (
        Row(" Ann@X.com", minute=1, name="Old Name"),
        Row("ann@x.com ", minute=2, name="New Name"),
        Row("ANN@x.com", minute=0, name="Oldest Name"),
    )
    (write,) = plan(older, newest, oldest).upserts
    assert write.row_ids == (newest.id, older.id, oldest.id)
    assert write.properties["firstname"] == "New"
    assert write.trace_id == str(newest.id)


def test_two_rows_with_one_record_id_are_one_update() -> None:
    older, newer = Row("old@x.com", "7", minute=1), Row("new@x.com", "7", minute=2)
    (write,) = plan(newer, older).updates
    assert write.row_ids == (newer.id, older.id)
    assert write.key == "new@x.com"


def test_a_row_without_an_id_joins_the_update_that_gives_its_email_to_a_record() -> None:
    known, unknown = Row("ann@x.com", "7", minute=1), Row("ann@x.com", minute=2, name="Newer Name")
    made = plan(unknown, known)
    assert made.upserts == ()
    (write,) = made.updates
    assert (write.record_id, write.row_ids) == ("7", (unknown.id, known.id))
    assert write.properties["firstname"] == "Newer"


def test_a_row_with_an_email_that_an_update_gives_up_is_an_upsert_of_its_own() -> None:
    before, after, new = Row("old@x.com", "7", minute=1), Row("new@x.com", "7", minute=2), Row("old@x.com")
    made = plan(before, after, new)
    assert [write.key for write in made.updates] == ["new@x.com"]
    assert [write.row_ids for write in made.upserts] == [(new.id,)]


def test_a_row_that_cannot_be_a_contact_fails_alone() -> None:
    bad, good = Row(None), Row("ann@x.com")
    made = plan(bad, good)
    assert list(made.refused) == [bad.id]
    assert isinstance(made.refused[bad.id], Fail)
    assert len(made.upserts) == 1


rows = st.lists(
    st.builds(
        Row,
        email=st.sampled_from(["a@x.com", "A@x.com ", "b@x.com", "c@x.com", "nothing", None]),
        hubspot_contact_id=st.sampled_from([None, None, "1", "2", "3"]),
        minute=st.integers(0, 5),
    ),
    max_size=20,
)


@given(rows)
def test_every_row_is_in_one_place_and_no_record_is_written_twice(rows: list[Row]) -> None:
    made = plan(*rows)
    writes = (*made.updates, *made.upserts)
    placed = [row_id for write in writes for row_id in write.row_ids] + list(made.refused)
    assert sorted(placed) == sorted(row.id for row in rows)
    assert len({write.record_id for write in made.updates}) == len(made.updates)
    assert len({write.key for write in made.upserts}) == len(made.upserts)
    assert len({write.trace_id for write in writes}) == len(writes)
    assert not {write.key for write in made.upserts} & {write.key for write in made.updates}


@given(rows, st.randoms(use_true_random=False))
def test_the_plan_does_not_depend_on_the_order_of_rows_with_different_times(rows: list[Row], random) -> None:
    for minute, row in enumerate(rows):
        row.minute = minute
    shuffled = list(rows)
    random.shuffle(shuffled)
    assert {frozenset(write.row_ids): write for write in plan(*rows).upserts} == {
        frozenset(write.row_ids): write for write in plan(*shuffled).upserts
    }
