"""A file of contacts into real PostgreSQL: every line imported or rejected, all at once or not at all."""

import asyncio
import csv
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from crm_sync.database import create_engine
from crm_sync.errors import DatabaseUnavailableError, IntakeError, MigrationError
from crm_sync.intake import ImportProgress, ImportReport, contacts, import_contacts

ID = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff"


def write(path: Path, data: bytes) -> None:
    path.write_bytes(data)


async def run(engine: AsyncEngine, path: Path, data: bytes, **options: Any) -> ImportReport:
    write(path, data)
    return await import_contacts(engine, path, **options)


async def stored(engine: AsyncEngine, columns: str = "email") -> Sequence[Any]:
    async with engine.connect() as connection:
        return [tuple(row) for row in await connection.execute(text(f"SELECT {columns} FROM contacts ORDER BY 1"))]


def rejected(report: ImportReport) -> list[tuple[int, str, bytes]]:
    assert report.rejected_path is not None
    with report.rejected_path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["line", "reason", "raw"]
    return [(int(line), reason, raw.encode("utf-8", "surrogateescape")) for line, reason, raw in rows]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "contacts.csv"


async def test_every_column_arrives(migrated_engine: AsyncEngine, file: Path) -> None:
    data = f"ID;E-Mail;Name;Telephone;domain_id;page_id;Shoe size\n{ID};a@example.com;Ada;+1 555;{ID};{ID};39\n"
    report = await run(migrated_engine, file, data.encode())
    assert await stored(migrated_engine, "id, email, name, phone_number, domain_id, page_id") == [
        (UUID(ID), "a@example.com", "Ada", "+1 555", UUID(ID), UUID(ID))
    ]
    assert (report.imported, report.rejected, report.rejected_path) == (1, 0, None)
    assert report.columns["Telephone"] == "phone_number"
    assert report.ignored_columns == ("Shoe size",)


async def test_dirty_values_are_the_business_of_hubspot(migrated_engine: AsyncEngine, file: Path) -> None:
    emails = [" ADA@Example.COM ", "not an address", "ünï@例え.example", "a@example.com", "a@example.com"]
    data = "email,name\n" + "".join(f"{email},\n" for email in emails)
    report = await run(migrated_engine, file, data.encode())
    assert report.imported == 5
    assert sorted(email for (email,) in await stored(migrated_engine)) == sorted(emails)


async def test_contacts_are_in_no_queue_unless_asked(migrated_engine: AsyncEngine, file: Path) -> None:
    await run(migrated_engine, file, b"email\na@example.com\n")
    states = "hubspot_processing_status, hubspot_sync_status, retry_count, next_retry_at"
    assert await stored(migrated_engine, states) == [(None, "New", 0, None)]


async def test_with_queue_they_are_queued_as_they_appear(migrated_engine: AsyncEngine, file: Path) -> None:
    report = await run(migrated_engine, file, b"email\na@example.com\n", queue=True)
    states = "hubspot_processing_status, hubspot_sync_status, retry_count, next_retry_at"
    assert await stored(migrated_engine, states) == [("Queued", "Queued", 0, None)]
    assert report.queued


async def test_rejected_lines_are_kept_as_they_were(migrated_engine: AsyncEngine, file: Path) -> None:
    lines = [
        b"email,name,domain_id",
        b"good@example.com,Good,",
        b"Jos\xe9@example.com,Jos\xe9,",
        b"short@example.com",
        b"",
        b"x@example.com,X,17",
        b'open@example.com,"Open,',
        b",,",
        b'two@example.com,"Two\r',
        b'lines",',
    ]
    report = await run(migrated_engine, file, b"\n".join(lines) + b"\n")
    assert rejected(report) == [
        (3, "not UTF-8: byte 4 is 0xe9", lines[2]),
        (4, "wrong number of fields: 1 where the header has 3", lines[3]),
        (6, "domain_id is not a UUID: 17", lines[5]),
        (7, "a quote is opened and not closed", lines[6]),
        (8, "no value in any known column", lines[7]),
    ]
    assert report.reasons == {
        "not UTF-8": 1,
        "wrong number of fields": 1,
        "domain_id is not a UUID": 1,
        "a quote is opened and not closed": 1,
        "no value in any known column": 1,
    }
    assert await stored(migrated_engine, "email, name") == [
        ("good@example.com", "Good"),
        ("two@example.com", "Two\r\nlines"),
    ]


async def test_an_id_that_is_there_is_rejected_not_fatal(
    migrated_engine: AsyncEngine, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contacts, "CHUNK_RECORDS", 2)
    other = ID.replace("6", "7")
    lines = [f"{ID},a", f"{ID},twin in the chunk", f"{other},b", f"{ID},twin in another chunk", ",c"]
    data = ("id,name\n" + "\n".join(lines)).encode()
    report = await run(migrated_engine, file, data)
    assert (report.imported, report.rejected) == (3, 2)
    assert [line for line, _, _ in rejected(report)] == [3, 5]
    again = await run(migrated_engine, file, data)
    assert (again.imported, again.reasons) == (1, {"id is already there": 4})


async def test_an_import_that_dies_leaves_nothing(
    migrated_engine: AsyncEngine, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contacts, "CHUNK_RECORDS", 1)

    def stop(progress: ImportProgress) -> None:
        if progress.imported == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await run(migrated_engine, file, b"email\na\nbad,line\nb\nc\n", progress=stop)
    assert await stored(migrated_engine) == []
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_a_killed_import_leaves_nothing_and_can_be_run_again(migrated_url: str, file: Path) -> None:
    program = """
import asyncio, os, signal, sys
from pathlib import Path
from crm_sync.database import create_engine
from crm_sync.intake import import_contacts
def die(progress):
    os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(import_contacts(create_engine(sys.argv[1]), Path(sys.argv[2]), progress=die))
"""
    file.write_bytes(b"email\na@example.com\nbad,line\n")
    assert subprocess.run([sys.executable, "-c", program, migrated_url, str(file)]).returncode == -9

    async def afterwards() -> None:
        engine = create_engine(migrated_url)
        assert await stored(engine) == []
        report = await import_contacts(engine, file)
        assert (report.imported, report.rejected) == (1, 1)
        await engine.dispose()

    asyncio.run(afterwards())


async def test_progress_is_told_by_chunk(
    migrated_engine: AsyncEngine, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contacts, "CHUNK_RECORDS", 2)
    seen: list[ImportProgress] = []
    data = b"email\n" + b"".join(b"%d@example.com\n" % n for n in range(5))
    await run(migrated_engine, file, data, progress=seen.append)
    assert [progress.imported for progress in seen] == [2, 4, 5]
    assert all(progress.bytes_total == len(data) for progress in seen)
    assert seen[-1].bytes_read == len(data) - len(b"email\n")


async def test_memory_does_not_grow_with_the_file(migrated_engine: AsyncEngine, file: Path) -> None:
    row = b"somebody.with.a.long.name@example.com,Somebody With A Long Name,+1 555 0100 200\n"
    peaks = []
    for records in (5_000, 40_000):
        write(file, b"email,name,phone\n" + row * records)
        tracemalloc.start()
        report = await import_contacts(migrated_engine, file)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert report.imported == records
    assert peaks[1] < 1.2 * peaks[0]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty; its first line must name the columns"),
        (b"\n \n", "is empty"),
        (b"a,b\n1,2\n", r"must name the columns, among them email.*it reads: a, b"),
        (b"\xffemail\n", "no usable header in line 1: not UTF-8"),
        (b'"email\n', "no usable header in line 1: a quote is opened"),
        ("email\n".encode("utf-16"), "Save it as CSV in UTF-8"),
    ],
)
async def test_a_file_that_is_no_list_of_contacts_is_one_sentence(
    migrated_engine: AsyncEngine, file: Path, data: bytes, message: str
) -> None:
    with pytest.raises(IntakeError, match=message) as caught:
        await run(migrated_engine, file, data)
    assert "\n" not in str(caught.value)


async def test_a_missing_file_is_one_sentence(migrated_engine: AsyncEngine, file: Path) -> None:
    with pytest.raises(IntakeError, match=r"contacts\.csv cannot be read: No such file"):
        await import_contacts(migrated_engine, file)


async def test_a_folder_is_one_sentence(migrated_engine: AsyncEngine, tmp_path: Path) -> None:
    with pytest.raises(IntakeError, match="cannot be read: Is a directory"):
        await import_contacts(migrated_engine, tmp_path)


async def test_a_side_file_that_cannot_be_written_stops_the_import(migrated_engine: AsyncEngine, file: Path) -> None:
    with pytest.raises(IntakeError, match="Rejected lines cannot be written to"):
        await run(migrated_engine, file, b"email\na\nb,c\n", rejected_path=file.parent / "none" / "x.csv")
    assert await stored(migrated_engine) == []


async def test_the_file_itself_is_never_overwritten(migrated_engine: AsyncEngine, file: Path) -> None:
    with pytest.raises(IntakeError, match="choose another file"):
        await run(migrated_engine, file, b"email\n", rejected_path=file)


@pytest.mark.parametrize("delimiter", ["", ";;", '"', "\n"])
async def test_a_delimiter_that_is_none_is_refused(migrated_engine: AsyncEngine, file: Path, delimiter: str) -> None:
    if delimiter == "":
        assert (await run(migrated_engine, file, b"email\n", delimiter=delimiter)).imported == 0  # guessed
    else:
        with pytest.raises(IntakeError, match="must be one sign"):
            await run(migrated_engine, file, b"email\n", delimiter=delimiter)


async def test_a_given_delimiter_is_used(migrated_engine: AsyncEngine, file: Path) -> None:
    await run(migrated_engine, file, b"email^name\na^b\n", delimiter="^")
    assert await stored(migrated_engine, "email, name") == [("a", "b")]


async def test_a_database_that_was_not_migrated_is_one_sentence(engine: AsyncEngine, file: Path) -> None:
    with pytest.raises(MigrationError, match="run `crm-sync db upgrade`"):
        await run(engine, file, b"email\na\n")


async def test_an_unreachable_database_is_one_sentence(tmp_path: Path, file: Path) -> None:
    with pytest.raises(DatabaseUnavailableError, match="there is no socket"):
        await run(create_engine(f"postgresql://postgres@/x?host={tmp_path}"), file, b"email\na\n")


CELL = st.one_of(
    st.sampled_from(["", " ", "a@example.com", "17", ID, '"', '""', "Zoë", "\0", "x\ny", "\r"]),
    st.text(st.characters(codec="utf-8"), max_size=6),
)
LINE = st.one_of(
    st.lists(CELL, min_size=1, max_size=5).map(",".join).map(str.encode),
    st.binary(max_size=10).filter(lambda line: not line.startswith((b"\xff\xfe", b"\xfe\xff"))),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=st.lists(LINE, max_size=12), chunk=st.integers(1, 5))
def test_imported_and_rejected_are_all_the_records(
    lines: list[bytes], chunk: int, migrated_url: str, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contacts, "CHUNK_RECORDS", chunk)
    data = b"\n".join([b"id,email,name,domain_id", *lines])

    async def go() -> tuple[ImportReport, Sequence[Any]]:
        engine = create_engine(migrated_url)
        async with engine.begin() as connection:
            await connection.execute(text("TRUNCATE contacts"))
        report = await run(engine, file, data)
        rows = await stored(engine)
        await engine.dispose()
        return report, rows

    report, rows = asyncio.run(go())
    assert len(rows) == report.imported
    assert sum(report.reasons.values()) == report.rejected
    bad = rejected(report) if report.rejected else []
    assert len(bad) == report.rejected
    # A line is in a rejected record, or in an imported one, or blank.
    physical = data.split(b"\n")[1:]
    in_rejected = sum(raw.count(b"\n") + 1 for _, _, raw in bad)
    filled = sum(1 for line in physical if line.strip())
    assert report.imported + in_rejected <= len(physical)
    assert report.imported + report.rejected <= filled
    if not any(b'"' in line for line in physical):
        assert report.imported + report.rejected == filled
    for line, _, raw in bad:
        assert physical[line - 2].startswith(raw.split(b"\n")[0])
    if report.rejected_path:
        os.unlink(report.rejected_path)
