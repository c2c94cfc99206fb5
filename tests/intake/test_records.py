"""Bytes → records: nothing is lost, nothing is swallowed, the line numbers are right."""

import csv
import io
from collections.abc import Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from crm_sync.errors import IntakeError
from crm_sync.intake.records import MAX_LINE_BYTES, MAX_RECORD_BYTES, Record, read_lines, read_records


def read(data: bytes, delimiter: str = ",") -> list[Record]:
    return list(read_records(read_lines(io.BytesIO(data)), delimiter))


def brief(records: list[Record]) -> list[tuple[int, list[str] | str]]:
    return [(record.line, record.fields or str(record.problem)) for record in records]


def test_a_record_has_the_number_of_its_first_line() -> None:
    data = b'a,b\n\n"1\n2\n3",x\nlast,one'
    assert brief(read(data)) == [(1, ["a", "b"]), (3, ["1\n2\n3", "x"]), (6, ["last", "one"])]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_line_ends_of_every_system(end: bytes) -> None:
    assert brief(read(end.join([b"a,b", b"", b"1,2", b""]))) == [(1, ["a", "b"]), (3, ["1", "2"])]


def test_a_byte_order_mark_is_not_part_of_the_header() -> None:
    assert brief(read(b"\xef\xbb\xbfemail\n")) == [(1, ["email"])]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be"])
def test_utf_16_is_refused_with_advice(encoding: str) -> None:
    with pytest.raises(IntakeError, match="Save it as CSV in UTF-8"):
        read("\ufeffemail\n".encode(encoding))


def test_bad_bytes_are_the_fault_of_their_line_alone() -> None:
    records = read(b"a,b\nJos\xe9,x\nok,y\n")
    assert brief(records) == [(1, ["a", "b"]), (2, "not UTF-8: byte 4 is 0xe9"), (3, ["ok", "y"])]
    assert records[1].raw == b"Jos\xe9,x"


def test_a_nul_byte_is_the_fault_of_its_line_alone() -> None:
    assert [record.problem is None for record in read(b"a\nx\0y\nb\n")] == [True, False, True]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b'5" pipe,x\nnext,y\n', [(1, ['5" pipe', "x"]), (2, ["next", "y"])]),
        (b'"never closed,x\nnext,y\n', [(1, "a quote is opened and not closed"), (2, ["next", "y"])]),
        (
            b'"never closed,x\n"good",y\nnext,z\n',
            [(1, "a quote is opened and not closed"), (2, ["good", "y"]), (3, ["next", "z"])],
        ),
        (b'a,"closed" late,x\nnext,y\n', [(1, "not well-formed: ',' expected after '\"'"), (2, ["next", "y"])]),
        (b'a,""\n"""quoted""",b\n', [(1, ["a", ""]), (2, ['"quoted"', "b"])]),
        (b'"a,""\n"",b"\n', [(1, ['a,"\n",b'])]),
    ],
)
def test_quotes(data: bytes, expected: list[tuple[int, list[str] | str]]) -> None:
    assert brief(read(data)) == expected


def test_an_unclosed_quote_does_not_gather_the_rest_of_the_file() -> None:
    line = b"x" * 1000
    taken = 0

    def long() -> Iterator[bytes]:
        nonlocal taken
        yield b'"open,1'
        while taken < 10 * MAX_RECORD_BYTES:
            taken += len(line)
            yield line

    records = read_records(long(), ",")
    assert next(records).problem is not None
    assert taken < 1.01 * MAX_RECORD_BYTES
    assert [next(records).line for _ in range(3_000)] == list(range(2, 3_002))  # read ahead, then read on


def test_a_line_without_an_end_is_refused() -> None:
    with pytest.raises(IntakeError, match="longer than 16 MiB"):
        read(b"x" * (MAX_LINE_BYTES + (1 << 17)))


def test_a_file_is_read_in_pieces() -> None:
    class Endless(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            return b"a,b\n" * (size // 4)

    records = read_records(read_lines(Endless()), ",")  # type: ignore[arg-type]
    assert [next(records).line for _ in range(50_000)][-1] == 50_000


PIECES = st.sampled_from(['"', '""', ",", "\n", "\r\n", "a", "é", " ", "\0", "x" * 40])
MESS = st.lists(PIECES, max_size=60).map("".join).map(lambda text: text.encode())


@given(st.lists(st.one_of(MESS, st.binary(max_size=8)), max_size=8).map(b"".join))
@example(b'"a\n"b\n"c\n')
@example(b'"\n\n"x\n')
def test_every_line_with_something_on_it_is_in_exactly_one_record(data: bytes) -> None:
    data = b"\n" + data  # a file with an LF at its start: lines end with LF
    records = read(data)
    given_lines = [line.removesuffix(b"\r") for line in data.split(b"\n")]
    read_back = [line.removesuffix(b"\r") for record in records for line in record.raw.split(b"\n")]
    assert [line for line in read_back if line.strip()] == [line for line in given_lines if line.strip()]
    numbers = [record.line for record in records]
    assert numbers == sorted(set(numbers))
    for record in records:
        assert given_lines[record.line - 1] == record.raw.split(b"\n")[0].removesuffix(b"\r")


CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=12)


@given(
    st.lists(st.lists(CELLS, min_size=2, max_size=4).filter(lambda row: "".join(row).strip()), max_size=12),
    st.sampled_from(",;\t|"),
    st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
)
def test_what_a_csv_writer_wrote_is_read_back(rows: list[list[str]], delimiter: str, quoting: int) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter, quoting=quoting, lineterminator="\n")  # type: ignore[arg-type]
    writer.writerows(rows)
    assert [record.fields for record in read(b"\n" + text.getvalue().encode(), delimiter)] == rows
