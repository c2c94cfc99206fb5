"""`Complete(values=…)` writes columns of any type; what one row cannot hold fails that row alone."""

from __future__ import annotations

import enum
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker
from sqlalchemy.orm import Mapped, mapped_column

from jobloop import Complete, JobLoop, JobQueue, each, queue_columns
from tests.jobloop.shapes import fresh_base, queue_of

ROWS = 6


class Colour(enum.Enum):
    red = "r"
    green = "g"


class Upper(sa.types.TypeDecorator[str]):
    """Shouts in Python."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Any) -> str | None:
        return value and value.upper()


class ShortUpper(Upper):
    impl = sa.String(3)
    cache_ok = True


class Reversed(sa.types.UserDefinedType[str]):
    """Wraps its bind in SQL."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "text"

    def bind_expression(self, bindvalue: sa.BindParameter[str]) -> Any:
        return sa.func.reverse(sa.type_coerce(bindvalue, sa.Text()))


class Tags(sa.types.TypeDecorator[list[str]]):
    impl = postgresql.ARRAY(sa.Text())
    cache_ok = True


class Thing(fresh_base(), queue_columns("")):  # type: ignore[misc]
    __tablename__ = "things"
    id: Mapped[int] = mapped_column(primary_key=True)
    status: Mapped[str | None]
    numbers: Mapped[Any | None] = mapped_column(postgresql.ARRAY(sa.Integer))
    matrix: Mapped[Any | None] = mapped_column(postgresql.ARRAY(sa.Integer, dimensions=2))
    tags: Mapped[Any | None] = mapped_column(Tags)
    document: Mapped[Any | None] = mapped_column(postgresql.JSONB)
    list_document: Mapped[Any | None] = mapped_column(postgresql.JSONB)
    plain_json: Mapped[Any | None] = mapped_column(sa.JSON)
    price: Mapped[Any | None] = mapped_column(sa.Numeric(12, 3))
    ratio: Mapped[Any | None] = mapped_column(sa.Float)
    colour: Mapped[Any | None] = mapped_column(sa.Enum(Colour, name="colour"))
    born: Mapped[Any | None] = mapped_column(sa.Date)
    seen_at: Mapped[Any | None] = mapped_column(sa.DateTime(timezone=True))
    took: Mapped[Any | None] = mapped_column(sa.Interval)
    raw: Mapped[Any | None] = mapped_column(sa.LargeBinary)
    is_good: Mapped[Any | None] = mapped_column(sa.Boolean)
    other_id: Mapped[Any | None] = mapped_column(sa.Uuid)
    period: Mapped[Any | None] = mapped_column(postgresql.DATERANGE)
    address: Mapped[Any | None] = mapped_column(postgresql.INET)
    loud: Mapped[Any | None] = mapped_column(Upper)
    backwards: Mapped[Any | None] = mapped_column(Reversed)
    short: Mapped[Any | None] = mapped_column(sa.String(3))
    short_and_loud: Mapped[Any | None] = mapped_column(ShortUpper)


VALUES: dict[str, tuple[Any, Any]] = {
    "numbers": ([1, 2, 3], [1, 2, 3]),
    "matrix": ([[1, 2], [3, 4]], [[1, 2], [3, 4]]),
    "tags": (["a", "b,{}\"'"], ["a", "b,{}\"'"]),
    "document": ({"a": [1, None, "ü"]}, {"a": [1, None, "ü"]}),
    "list_document": ([[1, 2], [3]], [[1, 2], [3]]),
    "plain_json": ([1, {"b": "}"}], [1, {"b": "}"}]),
    "price": (Decimal("123456789.125"), Decimal("123456789.125")),
    "ratio": (0.1, 0.1),
    "colour": (Colour.green, Colour.green),
    "born": (date(2026, 2, 28), date(2026, 2, 28)),
    "seen_at": (datetime(2026, 1, 1, 0, 0, 0, 1, tzinfo=UTC), datetime(2026, 1, 1, 0, 0, 0, 1, tzinfo=UTC)),
    "took": (timedelta(days=40, microseconds=1), timedelta(days=40, microseconds=1)),
    "raw": (b"\x00\xff", b"\x00\xff"),
    "is_good": (True, True),
    "other_id": (UUID(int=7), UUID(int=7)),
    "period": (
        postgresql.Range(date(2026, 1, 1), date(2026, 2, 1)),
        postgresql.Range(date(2026, 1, 1), date(2026, 2, 1)),
    ),
    "address": ("10.0.0.1", "10.0.0.1"),
    "loud": ("hear", "HEAR"),
    "backwards": ("abc", "cba"),
    "short": ("abc", "abc"),
    "short_and_loud": ("abc", "ABC"),
}


@pytest.fixture
async def queue(engine: AsyncEngine) -> JobQueue:
    async with engine.begin() as connection:
        await connection.run_sync(Thing.metadata.create_all)
        await connection.execute(sa.insert(Thing), [{"status": "Queued"}] * ROWS)
    return queue_of(Thing)


async def settled(engine: AsyncEngine, queue: JobQueue, values: Any) -> list[Any]:
    """The things, after a handler answered each with `Complete(values(id))`."""

    async def work(row: Any) -> Complete:
        return Complete(values(row.id))

    sessions = async_sessionmaker(engine, expire_on_commit=False)
    await JobLoop(queue, each(work), session_factory=sessions).run_once()
    async with sessions() as session:
        return list(await session.scalars(sa.select(Thing).order_by(Thing.id)))


@pytest.mark.parametrize("name", VALUES)
async def test_value_of_each_type_is_written(engine: AsyncEngine, queue: JobQueue, name: str) -> None:
    given, expected = VALUES[name]

    things = await settled(engine, queue, lambda number: {name: given if number % 2 else None})

    assert [thing.status for thing in things] == ["Complete"] * ROWS
    for thing in things:
        found = getattr(thing, name)
        assert (str(found) if name == "address" and found else found) == (expected if thing.id % 2 else None)


async def test_values_of_all_types_at_once(engine: AsyncEngine, queue: JobQueue) -> None:
    things = await settled(engine, queue, lambda number: {name: given for name, (given, _) in VALUES.items()})

    assert [(thing.status, thing.numbers, thing.price) for thing in things] == [
        ("Complete", [1, 2, 3], Decimal("123456789.125"))
    ] * ROWS


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ({"short": "abcd"}, "value too long"),
        ({"short_and_loud": "abcd"}, "value too long"),
        ({"price": Decimal("1e20")}, "numeric field overflow"),
        ({"numbers": ["x"]}, "'str' object"),
        ({"born": "yesterday"}, "'str' object"),
        ({"nonsense": 1}, "Thing has no column 'nonsense'"),
        ({"status": "Queued"}, "must not write 'status'"),
        ({"id": 100}, "must not write 'id'"),
        ({"claim_token": None}, "must not write 'claim_token'"),
    ],
    ids=str,
)
async def test_value_that_cannot_be_written_fails_its_row_alone(
    engine: AsyncEngine, queue: JobQueue, bad: dict[str, Any], words: str
) -> None:
    things = await settled(engine, queue, lambda number: bad if number == 3 else {"loud": "x"})

    assert [thing.status for thing in things] == ["Error" if thing.id == 3 else "Complete" for thing in things]
    assert words in things[2].error


@pytest.mark.parametrize("name", VALUES)
async def test_session_form_writes_them_in_its_own_transaction(engine: AsyncEngine, queue: JobQueue, name: str) -> None:
    given, expected = VALUES[name]

    async def work(key: int, session: Any) -> Complete:
        await session.execute(sa.text("SELECT 1"))
        return Complete({name: given})

    sessions = async_sessionmaker(engine)
    report = await JobLoop(queue, work, session_factory=sessions).run_once()

    assert report.completed == ROWS
    async with sessions() as session:
        for found in await session.scalars(sa.select(getattr(Thing, name))):
            assert (str(found) if name == "address" else found) == expected


async def test_session_form_without_a_transaction_writes_them_too(engine: AsyncEngine, queue: JobQueue) -> None:
    async def work(key: int, session: Any) -> Complete:
        return Complete({"numbers": [key], "loud": "x"})

    sessions = async_sessionmaker(engine)
    report = await JobLoop(queue, work, session_factory=sessions).run_once()

    assert report.completed == ROWS
    async with sessions() as session:
        assert list(await session.scalars(sa.select(Thing.numbers).order_by(Thing.id))) == [
            [n + 1] for n in range(ROWS)
        ]


async def test_values_that_go_alone_are_counted_as_written_whatever_becomes_of_the_others(
    engine: AsyncEngine, queue: JobQueue
) -> None:
    """Each of them is a transaction of its own: what was written before one that is refused stays written."""
    async with engine.begin() as connection:
        await connection.execute(sa.text("ALTER TABLE things ADD CHECK (numbers <> '{2}')"))

    async def work(row: Any) -> Complete:
        return Complete({"numbers": [row.id]})

    sessions = async_sessionmaker(engine, expire_on_commit=False)
    report = await JobLoop(queue, each(work), session_factory=sessions).run_once()

    assert (report.completed, report.failed, report.lost) == (ROWS - 1, 1, 0)
