"""Bytes of a delimited file → records, each with the number of its first line. No I/O but reading.

A record is one line, or several when a quoted field holds line ends. A quote that is opened and never closed must not
swallow the rest of the file: then the first line alone is the bad record, and reading goes on with the next.
"""

import csv
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from crm_sync.errors import IntakeError

MAX_RECORD_BYTES = 1 << 20  # a longer one is an unclosed quote
MAX_LINE_BYTES = 16 << 20  # a longer one is not text in lines
_BLOCK_BYTES = 1 << 16
_UTF8_BOM = b"\xef\xbb\xbf"
_UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a record is rejected: the kind, which many records share, and what is so in this one."""

    kind: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.kind}: {self.detail}" if self.detail else self.kind


@dataclass(frozen=True, slots=True)
class Record:
    """`fields`, or the `problem` for which there are none. `raw` is exactly what the file holds, less the line end."""

    line: int
    raw: bytes
    fields: list[str] | None = None
    problem: Problem | None = None


def read_lines(file: BinaryIO) -> Iterator[bytes]:
    """The lines without LF (or CR, in a file that has no LF at its start) and without a BOM; CR LF leaves the CR."""
    block = file.read(_BLOCK_BYTES)
    if block.startswith(_UTF16_BOMS):
        raise IntakeError("The file is UTF-16, as spreadsheets write “Unicode text”. Save it as CSV in UTF-8.")
    end = b"\r" if b"\n" not in block and b"\r" in block else b"\n"
    rest = b""
    block = block.removeprefix(_UTF8_BOM)
    while block:
        *lines, rest = (rest + block).split(end)
        yield from lines
        if len(rest) > MAX_LINE_BYTES:
            raise IntakeError(f"A line is longer than {MAX_LINE_BYTES >> 20} MiB, so this is not a file of lines.")
        block = file.read(_BLOCK_BYTES)
    if rest:
        yield rest


def read_records(lines: Iterable[bytes], delimiter: str) -> Iterator[Record]:
    """Every line that is not blank is in exactly one record, in the file's order. The header is the first record."""
    source = enumerate(lines, start=1)
    pending: deque[tuple[int, bytes]] = deque()  # read ahead for a record that was then given up
    quote, separator = b'"', delimiter.encode()
    while True:
        first = pending.popleft() if pending else next(source, None)
        if first is None:
            return
        number, raw = first
        if not raw.strip():
            continue
        if quote not in raw:
            yield _parse(number, raw, delimiter)
            continue
        taken: deque[tuple[int, bytes]] = deque()
        size = len(raw)
        within = _ends_within_quotes(raw, separator, within=False)
        while within and size <= MAX_RECORD_BYTES:
            following = pending.popleft() if pending else next(source, None)
            if following is None:
                break
            taken.append(following)
            size += len(following[1]) + 1
            within = _ends_within_quotes(following[1], separator, within=True)
        record = None if within else _parse(number, b"\n".join([raw, *(text for _, text in taken)]), delimiter)
        if record is None or (record.problem and taken):
            pending.extendleft(reversed(taken))
            record = Record(number, raw.removesuffix(b"\r"), problem=Problem("a quote is opened and not closed"))
        yield record


def _ends_within_quotes(line: bytes, separator: bytes, *, within: bool) -> bool:
    """Whether a quoted field is still open at the line's end. A quote inside an unquoted field is an ordinary sign."""
    at, size = 0, len(line)
    while at <= size:
        if within:
            at = line.find(b'"', at)
            if at < 0:
                return True
            at += 1
            if line[at : at + 1] == b'"':  # a doubled quote stands for one
                at += 1
                continue
            within = False
        elif line[at : at + 1] == b'"':
            within = True
            at += 1
            continue
        at = line.find(separator, at)
        if at < 0:
            return False
        at += len(separator)
    return False


def _parse(line: int, raw: bytes, delimiter: str) -> Record:
    raw = raw.removesuffix(b"\r")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as exc:
        return Record(line, raw, problem=Problem("not UTF-8", f"byte {exc.start + 1} is {raw[exc.start]:#04x}"))
    if "\0" in text:
        return Record(line, raw, problem=Problem("a NUL byte, which PostgreSQL does not store"))
    try:
        [fields] = csv.reader([text], delimiter=delimiter, strict=True)
    except (csv.Error, ValueError) as exc:
        return Record(line, raw, problem=Problem("not well-formed", str(exc)))
    return Record(line, raw, fields)
