"""How a contact row becomes HubSpot properties (pure)."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from datetime import date
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from crm_sync.push.mappings import PropertyNames, UnmappableRow, contact_mapping, contact_properties
from crm_sync.push.text import clean, is_email, normal_email, split_name

DAY = date(2026, 11, 21)
DOMAIN_ID = UUID("11111111-1111-4111-8111-111111111111")
PAGE_ID = UUID("22222222-2222-4222-8222-222222222222")


@dataclass
class Row:
    email: str | None = "ann@example.com"
    name: str | None = "Ann Lee"
    phone_number: str | None = "+44 20 7946 0000"
    domain_id: UUID | None = DOMAIN_ID
    page_id: UUID | None = PAGE_ID


def properties(row: Row) -> dict[str, str]:
    return contact_mapping(PropertyNames()).properties(row, DAY)


def test_a_full_row_becomes_all_properties() -> None:
    assert properties(Row()) == {
        "email": "ann@example.com",
        "firstname": "Ann",
        "lastname": "Lee",
        "phone": "+44 20 7946 0000",
        "scrapersky_domain_id": str(DOMAIN_ID),
        "scrapersky_page_id": str(PAGE_ID),
        "scrapersky_sync_date": "2026-11-21",
    }


def test_what_is_missing_is_left_out_and_erases_nothing_in_hubspot() -> None:
    row = Row(name=None, phone_number="  ", domain_id=None, page_id=None)
    assert properties(row) == {"email": "ann@example.com", "scrapersky_sync_date": "2026-11-21"}


def test_the_custom_properties_have_the_configured_names() -> None:
    names = PropertyNames(domain_id="d", page_id="p", sync_date="s")
    sent = contact_mapping(names).properties(Row(), DAY)
    assert (sent["d"], sent["p"], sent["s"]) == (str(DOMAIN_ID), str(PAGE_ID), "2026-11-21")
    assert [(wanted.name, wanted.type) for wanted in contact_properties(names)] == [
        ("d", "string"),
        ("p", "string"),
        ("s", "date"),
    ]


@pytest.mark.parametrize("email", [None, "", "   ", "\u200b"])
def test_a_missing_email_is_refused_in_a_clear_sentence(email: str | None) -> None:
    with pytest.raises(UnmappableRow, match="has no e-mail address"):
        properties(Row(email=email))


@pytest.mark.parametrize(
    "email", ["ann", "ann@", "@example.com", "ann@example", "ann lee@example.com", "ann@@example.com", "n/a"]
)
def test_what_is_clearly_no_email_is_refused(email: str) -> None:
    with pytest.raises(UnmappableRow, match=r"name@host\.domain"):
        properties(Row(email=email))


@pytest.mark.parametrize(
    ("raw", "normal"),
    [
        ("  Ann@Example.COM \n", "ann@example.com"),
        ("\u00a0ann@example.com\ufeff", "ann@example.com"),
        ("ann\u200f@example.com", "ann@example.com"),
        ("JOSE\u0301@example.com", "josé@example.com"),
        ("ANN@BÜCHER.example", "ann@bücher.example"),
    ],
)
def test_email_case_and_whitespace(raw: str, normal: str) -> None:
    assert normal_email(raw) == normal


@pytest.mark.parametrize(
    ("name", "first", "last"),
    [
        ("Ann Lee", "Ann", "Lee"),
        ("  Ann \t Lee\n", "Ann", "Lee"),
        ("Madonna", "Madonna", ""),
        ("Ana María López García", "Ana María López", "García"),
        ("Jose\u0301  Nun\u0303ez", "José", "Nuñez"),
        ("王小明", "王小明", ""),
        ("王\u3000小明", "王", "小明"),
        ("Ann\u00a0Lee", "Ann", "Lee"),
        ("Ann \u200b", "Ann", ""),
        ("Ann\x00Lee", "Ann", "Lee"),
        ("O'Neil-Smith Jr.", "O'Neil-Smith", "Jr."),
        ("Ångström, Zoë", "Zoë", "Ångström"),
        ("van der Berg,Ann Lee", "Ann Lee", "van der Berg"),
        ("Ann Lee, Ph.D.", "Ann Lee,", "Ph.D."),
        ("Lee, Ann, Esq.", "Lee, Ann,", "Esq."),
        (", Ann", ",", "Ann"),
        ("", "", ""),
        (None, "", ""),
    ],
)
def test_a_name_is_split_at_its_last_word(name: str | None, first: str, last: str) -> None:
    assert split_name(name) == (first, last)


def test_joiners_that_a_script_needs_are_kept() -> None:
    assert clean("علی\u200cرضا") == "علی\u200cرضا"


texts = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=40)


@given(texts)
@example("İ@X.COM")
@example("ΑΣ@x.com")
@example("ǅ@x.com")
def test_normalising_twice_changes_nothing(text: str) -> None:
    once = normal_email(text)
    assert normal_email(once) == once


@given(texts)
def test_cleaning_twice_changes_nothing_and_leaves_no_white_space_around(text: str) -> None:
    once = clean(text)
    assert clean(once) == once
    assert once == once.strip()
    assert unicodedata.is_normalized("NFC", once)


@given(texts)
@example("Lee, Ann")
def test_splitting_a_name_loses_no_word(text: str) -> None:
    def words(name: str) -> list[str]:
        return sorted(name.replace(",", " ").split())

    first, last = split_name(text)
    assert words(f"{first} {last}") == words(clean(text))


@given(st.emails())
def test_every_email_of_the_standard_passes_the_light_check(email: str) -> None:
    assert is_email(normal_email(email))


@given(st.builds(Row, email=texts | st.none(), name=texts | st.none(), phone_number=texts | st.none()))
def test_a_row_is_refused_or_becomes_texts_without_empty_values(row: Row) -> None:
    try:
        sent = properties(row)
    except UnmappableRow:
        return
    assert all(isinstance(value, str) and value and value == value.strip() for value in sent.values())
