"""A CSV of contacts → the contacts table, by COPY, in one transaction.

All or nothing: the rows become visible together when the whole file is read; if the import dies before, nothing of
it is in the database and it can be run again. Running it again after it succeeded imports the contacts a second
time, unless the file has an id column: an id that is there already is rejected. Memory is bounded by the chunk.
"""

import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import BinaryIO, cast
from uuid import uuid4

from asyncpg import Connection, UndefinedColumnError, UndefinedTableError, UniqueViolationError
from sqlalchemy.ext.asyncio import AsyncEngine

from crm_sync.database import database_errors
from crm_sync.errors import IntakeError, MigrationError
from crm_sync.intake.columns import FIELDS, Columns, Row, Value, guess_delimiter, match_columns
from crm_sync.intake.records import Problem, Record, read_lines, read_records
from crm_sync.intake.rejects import Rejects
from crm_sync.models import Contact, CRMProcessingStatus, CRMSyncStatus

CHUNK_RECORDS = 2_000


@dataclass(frozen=True)
class ImportProgress:
    """How far it has come; bytes are those read of the file."""

    bytes_read: int
    bytes_total: int
    imported: int
    rejected: int


@dataclass(frozen=True)
class ImportReport:
    """`imported + rejected` is the number of records in the file; blank lines and the header are none."""

    imported: int
    rejected: int
    queued: bool
    columns: Mapping[str, str]  # header in the file → field of the contact
    ignored_columns: tuple[str, ...]
    reasons: Mapping[str, int]  # why lines were rejected, and how many
    rejected_path: Path | None  # None when no line was rejected


async def import_contacts(
    engine: AsyncEngine,
    path: Path,
    *,
    queue: bool = False,
    delimiter: str | None = None,
    rejected_path: Path | None = None,
    progress: Callable[[ImportProgress], None] | None = None,
) -> ImportReport:
    """Import every line that the table can hold; what HubSpot thinks of it is found out later, row by row.

    `queue`: the contacts are Queued for HubSpot from the moment they appear. `delimiter`: guessed from the header
    when None. `rejected_path`: `contacts.rejected.csv` beside `contacts.csv` when None, overwritten if it is there.
    Raises IntakeError when the file as a whole is unusable.
    """
    rejects = Rejects(rejected_path or path.with_suffix(".rejected.csv"), source=path)
    imported = bytes_read = 0
    with rejects, _opened(path) as (file, bytes_total):
        records, columns = _open_records(path, file, delimiter)
        async with _transaction(engine) as connection:
            while chunk := list(islice(records, CHUNK_RECORDS)):
                rows = await _rows(connection, columns, chunk, rejects)
                await _copy(connection, rows, queue=queue)
                imported += len(rows)
                bytes_read += sum(len(record.raw) + 1 for record in chunk)
                if progress is not None:
                    progress(ImportProgress(bytes_read, bytes_total, imported, rejects.count))
            # Before the commit, so that no row is in the table whose rejected neighbours are lost.
            rejects.keep()
    return ImportReport(
        imported=imported,
        rejected=rejects.count,
        queued=queue,
        columns=columns.used,
        ignored_columns=columns.ignored,
        reasons=dict(rejects.reasons.most_common()),
        rejected_path=rejects.path if rejects.count else None,
    )


@contextmanager
def _opened(path: Path) -> Iterator[tuple[BinaryIO, int]]:
    """The file and its size."""
    try:
        file = path.open("rb")
    except OSError as exc:
        raise IntakeError(f"{path} cannot be read: {exc.strerror}.") from exc
    with file:
        yield file, os.fstat(file.fileno()).st_size


def _open_records(path: Path, file: BinaryIO, delimiter: str | None) -> tuple[Iterator[Record], Columns]:
    """The records after the header, and what the header says."""
    lines = _lines(path, file)
    skipped: list[bytes] = []
    for line in lines:
        skipped.append(line)
        if line.strip():
            break
    else:
        raise IntakeError(f"{path} is empty; its first line must name the columns.")
    used = delimiter or guess_delimiter(line.decode("utf-8", "replace"))
    if len(used) != 1 or used in '"\r\n\0':
        raise IntakeError(f"The delimiter must be one sign, such as a comma or a semicolon, not {used!r}.")
    records = read_records(chain(skipped, lines), used)
    header = next(records)
    if header.fields is None:
        raise IntakeError(f"{path} has no usable header in line {header.line}: {header.problem}.")
    return records, match_columns(header.fields)


def _lines(path: Path, file: BinaryIO) -> Iterator[bytes]:
    try:
        yield from read_lines(file)
    except OSError as exc:
        raise IntakeError(f"{path} cannot be read: {exc.strerror}.") from exc


async def _rows(connection: Connection, columns: Columns, chunk: list[Record], rejects: Rejects) -> list[Row]:
    """The rows to insert, in the file's order; what cannot be one goes to the rejects."""
    made = [(record, record.problem or columns.row(record.fields or [])) for record in chunk]
    taken: set[Value] = set()
    if columns.has_id:
        given = [row[0] for _, row in made if isinstance(row, tuple) and row[0] is not None]
        known = await connection.fetch("SELECT id FROM contacts WHERE id = ANY($1::uuid[])", given)
        taken = {row["id"] for row in known}
    rows: list[Row] = []
    for record, row in made:
        if isinstance(row, Problem):
            rejects.add(record, row)
        elif row[0] in taken:
            rejects.add(record, Problem("id is already there", str(row[0])))
        else:
            identity = row[0] or uuid4()
            taken.add(identity)
            rows.append((identity, *row[1:]))
    return rows


async def _copy(connection: Connection, rows: list[Row], *, queue: bool) -> None:
    names = list(FIELDS)
    if queue:
        names += ["hubspot_processing_status", "hubspot_sync_status"]
        status = (CRMProcessingStatus.Queued.value, CRMSyncStatus.Queued.value)
        rows = [(*row, *status) for row in rows]
    if rows:
        await connection.copy_records_to_table(Contact.__tablename__, columns=names, records=rows)


@asynccontextmanager
async def _transaction(engine: AsyncEngine) -> AsyncIterator[Connection]:
    """The driver's own connection, for COPY, in a transaction of its own."""
    async with database_errors(engine.url), engine.connect() as connection:
        driver = cast("Connection", (await connection.get_raw_connection()).driver_connection)
        try:
            async with driver.transaction():
                yield driver
        except (UndefinedTableError, UndefinedColumnError) as exc:
            raise MigrationError(f"The table of contacts is not ready ({exc}): run `crm-sync db upgrade`.") from exc
        except UniqueViolationError as exc:
            raise IntakeError(
                f"Another program added a contact with an id of this file meanwhile ({exc.detail}). Nothing was "
                "imported; run it again."
            ) from exc
