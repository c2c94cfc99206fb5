"""The example file is what its generator makes, is dirty in every promised way, and names nobody real."""

import csv
import importlib.util
import io
import re
import unicodedata
from pathlib import Path
from types import ModuleType

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from crm_sync.intake import import_contacts

EXAMPLES = Path(__file__).parents[2] / "examples"
CONTACTS = EXAMPLES / "contacts.csv"


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_contacts", EXAMPLES / "make_contacts.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def rows(generator: ModuleType) -> list[list[str]]:
    return list(generator.make_rows(generator.ROWS))


def deliverable(email: str) -> bool:
    return re.fullmatch(r"[a-z0-9_+-]+(\.[a-z0-9_+-]+)*@([a-z0-9-]+\.)+[a-z]{3}", email.strip().lower()) is not None


def test_the_file_is_what_the_generator_makes(generator: ModuleType) -> None:
    made = io.StringIO(newline="")
    generator.write(made, generator.ROWS)
    assert CONTACTS.read_bytes() == made.getvalue().encode()


def test_nine_rows_in_ten_can_be_delivered(rows: list[list[str]]) -> None:
    assert len(rows) >= 2_000
    assert 0.88 < sum(deliverable(row[0]) for row in rows) / len(rows) < 0.92


def test_it_is_dirty_in_every_promised_way(rows: list[list[str]]) -> None:
    emails, names, phones = ([row[place] for row in rows] for place in range(3))
    normal = [email.strip().lower() for email in emails if deliverable(email)]
    assert sum(email != email.lower() for email in emails) > 50
    assert sum(email != email.strip() for email in emails) > 50
    assert len(normal) - len(set(normal)) > 50
    assert emails.count("") > 50
    assert sum(bool(email) and not deliverable(email) for email in emails) > 50
    assert phones.count("") > 200
    assert sum(len(name.split()) == 1 for name in names) > 50
    assert "" in names


def test_names_come_from_many_scripts(rows: list[list[str]]) -> None:
    letters = {letter for row in rows for letter in row[1] if letter.isalpha()}
    scripts = {unicodedata.name(letter).split()[0] for letter in letters}
    assert len(scripts) >= 12, scripts


def test_addresses_and_numbers_are_reserved_for_examples(rows: list[list[str]]) -> None:
    for email, _, phone, *_ in rows:
        domain = email.strip().lower().rpartition("@")[2] if deliverable(email) else "example.com"
        assert domain.split(".")[-2] == "example"
        digits = re.sub(r"\D", "", phone.split(" ext")[0].replace("(0)", ""))
        assert re.fullmatch(r"|1?20255501\d\d|447700900\d{3}|07700900\d{3}|442079460\d{3}", digits), phone


async def test_everything_but_the_lines_beyond_repair_is_imported(
    migrated_engine: AsyncEngine, tmp_path: Path, generator: ModuleType
) -> None:
    report = await import_contacts(migrated_engine, CONTACTS, queue=True, rejected_path=tmp_path / "rejected.csv")
    assert (report.imported, report.rejected) == (generator.ROWS, 4)
    assert len(report.reasons) == 4
    async with migrated_engine.connect() as connection:
        rows = await connection.execute(text("SELECT coalesce(email, ''), coalesce(name, '') FROM contacts"))
        stored = sorted(tuple(row) for row in rows)
    assert stored == sorted((row[0] if row[0].strip() else "", row[1]) for row in generator.make_rows(generator.ROWS))
    with (tmp_path / "rejected.csv").open(encoding="utf-8", newline="") as file:
        assert [row["reason"].split(":")[0] for row in csv.DictReader(file)] == [
            "wrong number of fields",
            "page_id is not a UUID",
            "a quote is opened and not closed",
            "no value in any known column",
        ]
