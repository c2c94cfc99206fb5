"""Which part of a batch's answer belongs to which write (pure)."""

from __future__ import annotations

from uuid import UUID, uuid4

from hypothesis import given
from hypothesis import strategies as st

from crm_sync.hubspot.objects import BatchError, BatchResult, Record
from crm_sync.push.match import Matched, match
from crm_sync.push.plan import Write
from crm_sync.push.text import normal_email


def write(key: str, record_id: str | None = None) -> Write:
    return Write((uuid4(),), key, {"email": key}, record_id)


def matched(writes: list[Write], *entries: Record | BatchError, num_errors: int | None = None) -> Matched:
    errors = tuple(entry for entry in entries if isinstance(entry, BatchError))
    records = tuple(entry for entry in entries if isinstance(entry, Record))
    count = len(errors) if num_errors is None else num_errors
    return match(writes, BatchResult(records, errors, count), "email", normal_email)


def error(*, trace_ids: tuple[str, ...] = (), ids: tuple[str, ...] = ()) -> BatchError:
    return BatchError("VALIDATION_ERROR", "no", trace_ids=trace_ids, ids=ids)


def test_a_result_is_matched_by_trace_id_before_anything_else() -> None:
    ann, bob = write("ann@x.com"), write("bob@x.com")
    record = Record("1", {"email": "bob@x.com"}, trace_id=ann.trace_id)
    assert matched([ann, bob], record).done == ((ann, record),)


def test_a_result_without_trace_id_is_matched_by_email_without_regard_to_case() -> None:
    ann, bob = write("ann@x.com"), write("bob@x.com")
    record = Record("1", {"email": "Bob@X.com"})
    answer = matched([ann, bob], record)
    assert (answer.done, answer.lost, answer.ambiguous) == (((bob, record),), (ann,), False)


def test_an_update_is_matched_by_record_id() -> None:
    ann, bob = write("ann@x.com", "1"), write("bob@x.com", "2")
    record = Record("2", {})
    assert matched([ann, bob], record).done == ((bob, record),)


def test_an_error_is_matched_by_trace_id_or_by_ids() -> None:
    ann, bob, cid = write("ann@x.com"), write("bob@x.com", "2"), write("cid@x.com")
    by_trace, by_id = error(trace_ids=(ann.trace_id,)), error(ids=("2", "CID@x.com"))
    answer = matched([ann, bob, cid], by_trace, by_id)
    assert answer.failed == ((ann, by_trace), (bob, by_id), (cid, by_id))
    assert not answer.lost


def test_silent_loss_is_seen_and_is_not_ambiguous() -> None:
    ann, bob = write("ann@x.com"), write("bob@x.com")
    answer = matched([ann, bob], Record("1", {"email": "ann@x.com"}))
    assert (answer.lost, answer.ambiguous) == ((bob,), False)


def test_an_entry_that_names_no_write_makes_the_lost_ones_ambiguous() -> None:
    ann, bob = write("ann@x.com"), write("bob@x.com")
    found = Record("1", {"email": "ann@x.com"})
    assert matched([ann, bob], found, error()).ambiguous
    assert matched([ann, bob], found, Record("2", {"email": "other@x.com"})).ambiguous
    assert matched([ann, bob], found, num_errors=1).ambiguous


def test_a_second_result_for_one_write_is_ambiguous() -> None:
    ann, secondary = write("ann@x.com"), write("ann@old.com")
    answer = matched([ann, secondary], Record("1", {"email": "ann@x.com"}), Record("1", {"email": "ann@x.com"}))
    assert (answer.lost, answer.ambiguous) == ((secondary,), True)


def test_the_only_entry_for_an_only_write_is_meant_for_it() -> None:
    secondary = write("ann@old.com")
    record = Record("1", {"email": "ann@x.com"})
    assert matched([secondary], record).done == ((secondary, record),)
    unnamed = error()
    assert matched([secondary], unnamed).failed == ((secondary, unnamed),)


def test_a_result_outweighs_an_error_for_the_same_write() -> None:
    ann = write("ann@x.com")
    record = Record("1", {}, trace_id=ann.trace_id)
    answer = matched([ann], record, error(trace_ids=(ann.trace_id,)))
    assert (answer.done, answer.failed) == (((ann, record),), ())


@given(
    fates=st.lists(st.sampled_from(["result", "traced result", "error", "nothing"]), max_size=30),
    random=st.randoms(use_true_random=False),
)
def test_results_out_of_order_are_matched_whatever_the_order(fates: list[str], random) -> None:
    writes = [
        Write((UUID(int=number),), f"c{number}@x.com", {}, f"{number}" if number % 2 else None)
        for number, _ in enumerate(fates)
    ]
    entries: list[Record | BatchError] = []
    for number, fate in enumerate(fates):
        trace_id = writes[number].trace_id
        if fate == "result":
            entries.append(Record(str(1000 + number), {"email": f"C{number}@X.com"}))
        elif fate == "traced result":
            entries.append(Record(str(1000 + number), {}, trace_id=trace_id))
        elif fate == "error":
            entries.append(error(trace_ids=(trace_id,)))
    random.shuffle(entries)
    answer = matched(writes, *entries)
    assert {item.row_ids[0].int: record.id for item, record in answer.done} == {
        number: str(1000 + number) for number, fate in enumerate(fates) if "result" in fate
    }
    assert {item.row_ids[0].int for item, _ in answer.failed} == {
        number for number, fate in enumerate(fates) if fate == "error"
    }
    assert {item.row_ids[0].int for item in answer.lost} == {
        number for number, fate in enumerate(fates) if fate == "nothing"
    }
    assert not answer.ambiguous
