"""Headers of every common kind find their column; values stay as they came."""

from uuid import UUID

import pytest

from crm_sync.errors import IntakeError
from crm_sync.intake.columns import guess_delimiter, match_columns
from crm_sync.intake.records import Problem

ID = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff"


@pytest.mark.parametrize("header", ["email", "Email", "E-mail", "E-MAIL ADDRESS", " e_mail ", "email_address"])
def test_spellings_of_email(header: str) -> None:
    assert match_columns([header]).used == {header.strip(): "email"}


@pytest.mark.parametrize("header", ["phone", "Phone Number", "phone_number", "Tel.", "Mobile"])
def test_spellings_of_phone(header: str) -> None:
    assert match_columns([header]).used == {header.strip(): "phone_number"}


def test_first_and_last_name_make_a_name() -> None:
    columns = match_columns(["Last Name", "First Name"])
    assert columns.row(["Lovelace ", " Ada"])[2] == "Ada Lovelace"  # type: ignore[index]
    assert columns.row(["Lovelace", ""])[2] == "Lovelace"  # type: ignore[index]


def test_a_whole_name_goes_before_its_parts() -> None:
    columns = match_columns(["Name", "First Name"])
    assert columns.row(["Ada L.", "Ada"])[2] == "Ada L."  # type: ignore[index]
    assert columns.row([" ", "Ada"])[2] == "Ada"  # type: ignore[index]


def test_values_stay_as_they_came_and_blank_is_none() -> None:
    columns = match_columns(["email", "name", "phone"])
    assert columns.row([" ADA@Example.COM ", "  ", "+1 (555) 0100"]) == (
        None,
        " ADA@Example.COM ",
        None,
        "+1 (555) 0100",
        None,
        None,
    )


def test_ids_are_uuids_in_any_spelling() -> None:
    columns = match_columns(["id", "email", "domain_id", "Page ID"])
    row = columns.row([ID, "a@example.com", ID.upper(), f" {{{ID}}} "])
    assert row == (UUID(ID), "a@example.com", None, None, UUID(ID), UUID(ID))


@pytest.mark.parametrize("role", ["id", "domain_id", "page_id"])
def test_what_is_no_uuid_is_named(role: str) -> None:
    assert match_columns([role, "email"]).row(["17", "a@example.com"]) == Problem(f"{role} is not a UUID", "17")


@pytest.mark.parametrize("fields", [["a@example.com"], ["a@example.com", "A", "B"], []])
def test_a_wrong_number_of_fields_is_named(fields: list[str]) -> None:
    problem = match_columns(["email", "name"]).row(fields)
    assert str(problem) == f"wrong number of fields: {len(fields)} where the header has 2"


def test_a_row_without_any_value_is_named() -> None:
    assert match_columns(["email", "x"]).row([" ", "something"]) == Problem("no value in any known column")


def test_unknown_and_second_columns_are_reported_once() -> None:
    columns = match_columns(["Email", "Shoe size", "Work email", ""])
    assert columns.ignored == ("Shoe size", "Work email", "(column 4)")


@pytest.mark.parametrize("headers", [["domain_id"], ["a", "b"], ["ada@example.com", "Ada"], [""]])
def test_without_a_column_that_says_who_it_is_there_is_no_import(headers: list[str]) -> None:
    with pytest.raises(IntakeError, match="The first line must name the columns"):
        match_columns(headers)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("quote", ["", '"'])
def test_the_delimiter_is_the_one_that_makes_sense_of_the_header(delimiter: str, quote: str) -> None:
    headers = ["E-mail", "First, given", "Phone", "x;y"]
    assert guess_delimiter(delimiter.join(f"{quote}{header}{quote}" for header in headers)) == delimiter


def test_a_single_column_needs_no_delimiter() -> None:
    assert guess_delimiter("email") == ","
