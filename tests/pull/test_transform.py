"""Records become a page of the mirror: nothing is lost, and what does not fit is said."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Column, DateTime, Float, MetaData, Numeric, Table

from crm_sync.errors import CrmSyncError
from crm_sync.hubspot.objects import PropertyVersion, Record
from crm_sync.pull.mirror.page import HistoryEntry, Issue, MirrorPage
from crm_sync.pull.mirror.transform import Transform, UnusableRecordId
from tests.pull.mirrored import DEFINITIONS, MONDAY, PETS, WRITTEN, record

TUESDAY = MONDAY + timedelta(days=1)


def page(*records: Record) -> MirrorPage:
    return Transform(PETS, DEFINITIONS).page(records)


def row(made: MirrorPage, at: int = 0) -> dict[str, Any]:
    return {name: values[at] for name, values in made.columns.items()}


def kept(made: MirrorPage, at: int = 0) -> dict[str, str]:
    return json.loads(made.columns["properties"][at])  # type: ignore[no-any-return]


def reasons(made: MirrorPage) -> list[tuple[int, str, str]]:
    return [(issue.record_id, issue.property, issue.reason) for issue in made.issues]


def test_each_typed_column_is_filled_from_its_property() -> None:
    properties = {
        "email": "rex@x.com",
        "weight_kg": "12.50",
        "owner_id": "7",
        "born": "2020-02-29",
        "seen_at": "2026-03-01T10:00:00.000Z",
        "tame": "true",
        "kind": "DOG",
        "colours": "red;blue",
        "not_a_column": "kept",
    }
    made = page(record("123", properties, created_at=MONDAY, archived=True, archived_at=TUESDAY))
    assert kept(made) == properties
    assert row(made) == {
        "hubspot_id": 123,
        "email": "rex@x.com",
        "weight": Decimal("12.50"),
        "owner_id": 7,
        "born": date(2020, 2, 29),
        "seen_at": datetime(2026, 3, 1, 10, tzinfo=UTC),
        "tame": True,
        "kind": "DOG",
        "colours": "red;blue",
        "properties": made.columns["properties"][0],
        "created_at": MONDAY,
        "updated_at": MONDAY,
        "archived": True,
        "archived_at": TUESDAY,
    }
    assert (made.issues, made.merged, made.history) == ((), (), ())


def test_an_empty_page_has_every_column() -> None:
    made = page()
    assert len(made) == 0
    assert made.columns == {name: [] for name in WRITTEN}


def test_no_value_is_none_and_left_out_without_an_issue() -> None:
    nothing = dict.fromkeys(["email", "weight_kg", "owner_id", "born", "seen_at", "tame", "kind", "colours"], "")
    made = page(record("1", nothing), record("2", dict.fromkeys(nothing)), record("3", updated_at=None))
    assert made.columns["properties"] == ["{}"] * 3
    assert all(made.columns[name] == [None] * 3 for name in ("email", "weight", "born", "kind", "created_at"))
    assert made.columns["updated_at"] == [MONDAY, MONDAY, None]
    assert made.issues == ()


def test_a_value_that_does_not_fit_leaves_its_column_empty_and_the_record_whole() -> None:
    made = page(
        record("1", {"weight_kg": "heavy", "born": "2020-02-30", "kind": "FISH", "email": "a@x.com"}),
        record("2", {"weight_kg": "3", "colours": "red;green", "tame": "perhaps"}),
    )
    assert made.columns["weight"] == [None, Decimal(3)]
    assert made.columns["email"] == ["a@x.com", None]
    assert [made.columns[name] for name in ("born", "kind", "colours", "tame")] == [[None, None]] * 4
    assert kept(made)["weight_kg"] == "heavy"
    assert sorted(reasons(made)) == [
        (1, "born", "not a date"),
        (1, "kind", "not an option of the property"),
        (1, "weight_kg", "not a number"),
        (2, "colours", "not each part is an option of the property"),
        (2, "tame", "neither true nor false"),
    ]


def test_without_a_definition_every_option_is_taken() -> None:
    made = Transform(PETS).page([record("1", {"kind": "FISH", "colours": "green"})])
    assert (made.columns["kind"], made.columns["colours"], made.issues) == (["FISH"], ["green"], ())


def test_date_at_midnight_utc() -> None:
    made = page(record("1", {"born": "1738281600000"}), record("2", {"born": "1738278000000"}))
    assert made.columns["born"] == [date(2025, 1, 31), None]
    assert reasons(made) == [(2, "born", "a time of day where a date is midnight UTC")]


def test_email_case_and_whitespace_stay_as_hubspot_has_them() -> None:
    made = page(record("1", {"email": " Ann@X.com "}))
    assert (made.columns["email"], kept(made)) == ([" Ann@X.com "], {"email": " Ann@X.com "})


def test_an_issue_keeps_the_beginning_of_a_long_value() -> None:
    (issue,) = page(record("1", {"weight_kg": "\0" + "x" * 5000})).issues
    assert issue.value == "\ufffd" + "x" * 199


def test_what_postgresql_cannot_hold_is_replaced_and_said_once() -> None:
    made = page(record("1", {"email": "a\0b", "odd\ud800": "😀\udc00", "weight_kg": "1\0", "path": "c:\\u0000"}))
    assert made.columns["email"] == ["a\ufffdb"]
    assert kept(made) == {"email": "a\ufffdb", "odd\ufffd": "😀\ufffd", "weight_kg": "1\ufffd", "path": "c:\\u0000"}
    replaced = "characters that PostgreSQL cannot hold were replaced"
    assert made.issues == (
        Issue(1, "email", "a\ufffdb", replaced),
        Issue(1, "odd\ufffd", "😀\ufffd", replaced),
        Issue(1, "weight_kg", "1\ufffd", f"{replaced}; not a number"),
    )


def test_a_value_that_is_no_text_counts_as_its_json() -> None:
    made = page(record("1", {"tame": False, "weight_kg": 0, "owner_id": 7, "note": {"a": [1]}, "email": None}))
    assert (made.columns["tame"], made.columns["weight"], made.columns["owner_id"]) == ([False], [Decimal(0)], [7])
    assert kept(made) == {"tame": "false", "weight_kg": "0", "owner_id": "7", "note": '{"a":[1]}'}


def test_of_several_records_with_one_id_the_newest_counts_and_the_last_of_equals() -> None:
    made = page(
        record("2", {"email": "newest"}, updated_at=TUESDAY),
        record("1", {"email": "first"}),
        record("2", {"email": "older"}),
        record("1", {"email": "second"}),
        record("2", {"email": "timeless"}, updated_at=None),
        record("1", {"email": "earlier"}, updated_at=MONDAY.replace(tzinfo=None) - timedelta(seconds=1)),
    )
    assert made.ids == [1, 2]
    assert made.columns["email"] == ["second", "newest"]


def test_rows_are_in_the_order_of_their_ids() -> None:
    assert page(record("10"), record("9"), record("100")).ids == [9, 10, 100]


@pytest.mark.parametrize("bad", ["", "x", "-1", "1.0", " 1", "١", "9223372036854775808", "1" * 5000])
def test_a_record_without_a_usable_id_is_an_error_of_the_page(bad: str) -> None:
    with pytest.raises(UnusableRecordId, match="no record id") as caught:
        page(record("1"), record(bad))
    assert isinstance(caught.value, CrmSyncError)


def test_the_records_own_times_are_utc_or_an_issue() -> None:
    east = timezone(timedelta(hours=14))
    made = page(
        record("1", created_at=MONDAY.astimezone(east), updated_at=MONDAY.replace(tzinfo=None)),
        record("2", created_at=datetime(1, 1, 1, tzinfo=east)),
    )
    assert (made.columns["created_at"], made.columns["updated_at"]) == ([MONDAY, None], [MONDAY, MONDAY])
    assert reasons(made) == [(2, "createdAt", "outside the years 1 to 9999")]


def test_merged_record() -> None:
    made = page(
        record("5", {"hs_merged_object_ids": "3;4"}),
        record("6", {"hs_merged_object_ids": "6;;2;2;two"}),
        record("7", {"hs_merged_object_ids": "-1;99999999999999999999"}),
    )
    assert made.merged == ((3, 5), (4, 5), (2, 6))
    assert reasons(made) == [
        (6, "hs_merged_object_ids", "not each part is a record id"),
        (7, "hs_merged_object_ids", "not each part is a record id"),
    ]


def test_merged_record_that_was_merged_again_leads_to_the_one_that_is_left() -> None:
    made = page(record("5", {"hs_merged_object_ids": "2;6"}), record("6", {"hs_merged_object_ids": "2"}))
    assert sorted(made.merged) == [(2, 5), (6, 5)]


def test_history_is_every_change_from_the_oldest_on() -> None:
    versions = (
        PropertyVersion("won", TUESDAY, "CRM_UI", "userId:1"),
        PropertyVersion("", MONDAY),
        PropertyVersion("new\0", MONDAY.astimezone(timezone(timedelta(hours=1))), "API", None),
        PropertyVersion("never", datetime.min),  # noqa: DTZ901
    )
    made = page(record("1", history={"stage": versions}))
    assert made.history == (
        HistoryEntry(1, "stage", "new\ufffd", MONDAY, "API", None, position=0),
        HistoryEntry(1, "stage", None, MONDAY, None, None, position=1),
        HistoryEntry(1, "stage", "won", TUESDAY, "CRM_UI", "userId:1", position=0),
    )
    assert [issue.property for issue in made.issues] == ["stage"]


@pytest.mark.parametrize("type_", [Float(), Numeric(10, 2), DateTime()], ids=repr)
def test_a_column_of_a_type_that_would_change_values_is_refused(type_: Any) -> None:
    table = Table("t", MetaData(), Column("a", type_, info={"property": "a"}))
    with pytest.raises(TypeError, match="no property can fill"):
        Transform(table)
