"""`each(fn, entities=True)`: instances of the user's class, whichever way they are built."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker, create_async_engine
from sqlalchemy.ext.mutable import MutableDict
from sqlalchemy.orm import Mapped, composite, mapped_column, reconstructor, relationship
from sqlalchemy.orm.exc import DetachedInstanceError

from jobloop import Complete, Fail, JobLoop, JobQueue, QueueDeclarationError, batch, each, queue_columns
from jobloop.entity import Entities
from jobloop.queue import UNREAD
from tests.jobloop.shapes import fresh_base, queue_of

Base = fresh_base()


class Whispered(sa.types.TypeDecorator[str]):
    """Text that is read in lower case."""

    impl = sa.Text
    cache_ok = True

    def process_result_value(self, value: str | None, dialect: Any) -> str | None:
        if value == "ILLEGIBLE":
            raise ValueError("cannot read this title")
        return value and value.lower()


class Shelf(Base):  # type: ignore[misc, valid-type]
    __tablename__ = "shelves"
    id: Mapped[int] = mapped_column(primary_key=True)


class Book(Base, queue_columns("")):  # type: ignore[misc, valid-type]
    """A simple mapping: an attribute named otherwise than its column, conversions, relationships of both kinds."""

    __tablename__ = "books"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column("book_title", Whispered)
    _secret: Mapped[str | None]
    facts: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    price: Mapped[float] = mapped_column(sa.Numeric(8, 2, asdecimal=False))
    status: Mapped[str | None]
    shelf_id: Mapped[int | None] = mapped_column(sa.ForeignKey("shelves.id"))
    shelf: Mapped[Shelf | None] = relationship(lazy="joined")
    shelves: Mapped[list[Shelf]] = relationship(
        primaryjoin=Shelf.id == sa.orm.foreign(shelf_id), uselist=True, viewonly=True, lazy="selectin"
    )


@dataclass
class Size:
    wide: int
    high: int


class Painting(Base, queue_columns("")):  # type: ignore[misc, valid-type]
    """Loading it means more than setting columns."""

    __tablename__ = "paintings"
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    status: Mapped[str | None]
    facts: Mapped[dict[str, Any]] = mapped_column(MutableDict.as_mutable(JSONB))
    size: Mapped[Size] = composite(mapped_column("wide"), mapped_column("high"))
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "painting"}

    @reconstructor
    def hang(self) -> None:
        self.is_hanging = True


class Fresco(Painting):
    __mapper_args__ = {"polymorphic_identity": "fresco"}


@pytest.fixture
async def sessions(engine: AsyncEngine) -> async_sessionmaker[Any]:
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    sessions = async_sessionmaker(engine, expire_on_commit=False)
    async with sessions.begin() as session:
        session.add(Shelf(id=1))
        await session.flush()
        facts = {"pages": [1, 2]}
        for i in (1, 2, 3):
            book = {"id": i, "title": "LOUD", "_secret": "s", "facts": facts, "price": 9.5, "shelf_id": 1}
            session.add(Book(status="Queued", **book))
        for i, kind in enumerate((Painting, Fresco)):
            session.add(kind(id=i, facts=facts, size=Size(3, 4), status="Queued"))
    return sessions


async def entities_of(queue: JobQueue, sessions: async_sessionmaker[Any]) -> list[Any]:
    seen: list[Any] = []

    async def look(row: Any) -> None:
        seen.append(row)

    report = await JobLoop(queue, each(look, entities=True), session_factory=sessions).run_once()
    assert report.completed == report.claimed == len(seen)
    return seen


@pytest.mark.parametrize(("model", "is_simple"), [(Book, True), (Painting, False)])
async def test_it_is_what_a_session_would_have_loaded(
    sessions: async_sessionmaker[Any], model: type[Any], is_simple: bool
) -> None:
    queue = queue_of(model)
    assert Entities(queue).is_simple == is_simple

    seen = await entities_of(queue, sessions)

    assert len(seen) > 1
    changed = {"status"}  # by the settle that came after
    async with sessions() as session:
        for entity in seen:
            loaded = await session.get_one(model, entity.id)
            assert type(entity) is type(loaded)
            assert sa.inspect(entity).detached
            assert sa.inspect(entity).identity_key == sa.inspect(loaded).identity_key
            assert not sa.inspect(entity).modified
            for name in set(sa.inspect(model).column_attrs.keys()) - changed - {*UNREAD}:
                assert getattr(entity, name) == getattr(loaded, name), name
            assert entity.status == "Processing"
            for name in UNREAD:
                with pytest.raises(DetachedInstanceError):
                    getattr(entity, name)


async def test_type_of_the_user_and_a_column_of_another_name(sessions: async_sessionmaker[Any]) -> None:
    book = (await entities_of(queue_of(Book, order_by=[Book.id]), sessions))[0]

    assert (book.id, book.title, book._secret, book.facts) == (1, "loud", "s", {"pages": [1, 2]})
    assert (book.price, type(book.price)) == (9.5, float)


async def test_what_else_loading_does_is_done(sessions: async_sessionmaker[Any]) -> None:
    painting, fresco = await entities_of(queue_of(Painting, order_by=[Painting.id]), sessions)

    assert (type(painting), type(fresco)) == (Painting, Fresco)
    assert fresco.is_hanging
    assert fresco.size == Size(3, 4)
    fresco.facts["seen"] = True
    assert sa.inspect(fresco).modified, "a mutable value tells its entity"


async def test_what_was_not_claimed_says_that_it_cannot_be_loaded(sessions: async_sessionmaker[Any]) -> None:
    for model, columns in ((Book, ["id", "title"]), (Book, ["title"]), (Painting, ["id", "kind"])):
        entity = (await entities_of(queue_of(model, columns=columns), sessions))[0]
        assert not {"facts", "status"} & set(vars(entity))
        for name in ("facts", *(["shelf", "shelves"] if model is Book else [])):
            with pytest.raises(DetachedInstanceError):
                getattr(entity, name)
        async with sessions.begin() as session:
            await session.execute(sa.update(model).values(status="Queued"))


async def test_it_can_be_given_to_a_session_and_changed(sessions: async_sessionmaker[Any]) -> None:
    for book in await entities_of(queue_of(Book), sessions):
        async with sessions.begin() as session:
            session.add(book)
            book.facts = {"read": True}

    async with sessions() as session:
        assert set(await session.scalars(sa.select(Book.facts["read"].as_boolean()))) == {True}
        assert set(await session.scalars(sa.select(Book.status))) == {"Complete"}, "and nothing else was written"


async def test_a_batch_of_entities(sessions: async_sessionmaker[Any]) -> None:
    async def read(books: list[Book]) -> dict[int, Complete]:
        assert all(isinstance(book, Book) for book in books)
        return {book.id: Complete({"facts": {"by": book.title}}) for book in books}

    report = await JobLoop(queue_of(Book), batch(read, entities=True), session_factory=sessions).run_once()

    assert report.completed == 3
    async with sessions() as session:
        assert (await session.get_one(Book, 1)).facts == {"by": "loud"}


@pytest.mark.parametrize("form", ["each", "each session", "batch", "batch session"])
@pytest.mark.parametrize("entities", [False, True])
async def test_value_that_its_type_cannot_read_fails_its_row_alone(
    sessions: async_sessionmaker[Any], entities: bool, form: str
) -> None:
    async with sessions.begin() as session:
        await session.execute(sa.text("UPDATE books SET book_title = 'ILLEGIBLE' WHERE id = 2"))

    report = await JobLoop(queue_of(Book), look_on(form, entities), session_factory=sessions).run_once()

    assert (report.completed, report.retried) == (2, 1)
    assert dict(report.errors) == {"ValueError: cannot read this title": 1}


@pytest.mark.parametrize("form", ["each", "batch", "batch session"])
async def test_row_of_a_class_that_this_worker_does_not_know_fails_alone(
    sessions: async_sessionmaker[Any], form: str
) -> None:
    """A worker one release behind: SQLAlchemy refuses to load whatever is loaded together with it."""
    async with sessions.begin() as session:
        await session.execute(
            sa.text(
                "INSERT INTO paintings (id, kind, status, facts, wide, high) VALUES (9, 'mosaic', 'Queued', '{}', 1, 1)"
            )
        )

    loop = JobLoop(queue_of(Painting), look_on(form, entities=True), session_factory=sessions)
    report = await loop.run_once()

    assert (report.claimed, report.completed, report.retried) == (3, 2, 1)
    assert "mosaic" in next(iter(report.errors))
    async with sessions() as session:
        rows = await session.execute(sa.text("SELECT id, status FROM paintings"))
    assert {row.id: row.status for row in rows} == {0: "Complete", 1: "Complete", 9: "Queued"}


def look_on(form: str, entities: bool) -> Any:
    """A handler that has to do with its rows alone."""

    async def one(row: Any, session: Any = None) -> None: ...

    async def many(rows: list[Any], session: Any = None) -> dict[int, None]:
        return {row.id: None for row in rows}

    with_session: Any = {"session": True} if form.endswith("session") else {}
    wrap, fn = (each, one) if form.startswith("each") else (batch, many)
    return wrap(fn, entities=entities, **with_session)  # type: ignore[operator]


def test_entities_need_the_version_that_guards_them() -> None:
    """SQLAlchemy would load the present one at the flush, and overwrite what came since the claim."""

    class Deed(fresh_base(), queue_columns("")):  # type: ignore[misc]
        __tablename__ = "deeds"
        id: Mapped[int] = mapped_column(primary_key=True)
        status: Mapped[str | None]
        version: Mapped[int] = mapped_column()
        __mapper_args__ = {"version_id_col": version}

    async def look(row: Any) -> None: ...

    sessions = async_sessionmaker(create_async_engine("postgresql+asyncpg://nowhere/x"))
    with pytest.raises(QueueDeclarationError, match="leaves out 'version'"):
        JobLoop(queue_of(Deed, columns=["id"]), each(look, entities=True), session_factory=sessions)
    JobLoop(queue_of(Deed, columns=["id"]), each(look), session_factory=sessions)
    JobLoop(queue_of(Deed), each(look, entities=True), session_factory=sessions)


async def test_light_row_has_the_attributes_of_the_model_and_nothing_of_sqlalchemy(
    sessions: async_sessionmaker[Any],
) -> None:
    seen: list[Any] = []

    async def look(row: Any) -> None:
        seen.append(row)

    queue = queue_of(Book, columns=["title", "_secret", "price"], order_by=[Book.id])
    assert (await JobLoop(queue, each(look), session_factory=sessions).run_once()).completed == 3

    row = seen[0]
    assert (row.title, row._secret, row.price) == tuple(row) == ("loud", "s", 9.5)
    assert repr(row) == "BookRow(title='loud', _secret='s', price=9.5)"
    assert row == pickle.loads(pickle.dumps(row))
    with pytest.raises(AttributeError):
        row.facts  # noqa: B018
    with pytest.raises(AttributeError):
        row.title = "else"


@pytest.mark.parametrize("entities", [False, True], ids=["light rows", "entities"])
@pytest.mark.parametrize("model", [Book, Painting])
async def test_rows_that_are_handled_again_are_not_those_that_an_undone_attempt_changed(
    sessions: async_sessionmaker[Any], model: type[Any], entities: bool
) -> None:
    """A dict of a JSON column is the handler's to change: after a refusal it must be given another one."""
    seen: list[tuple[int, list[int]]] = []
    async with sessions.begin() as session:
        await session.execute(sa.text(f"ALTER TABLE {model.__tablename__} ADD CHECK (error IS NULL OR id <> 1)"))

    async def look(rows: list[Any], session: Any) -> dict[Any, Any]:
        await session.execute(sa.text("SELECT 1"))
        for row in rows:
            row.facts["pages"].append(3)
            seen.append((row.id, row.facts["pages"]))
        return {row.id: Fail("no") if row.id == 1 else None for row in rows}

    queue = queue_of(model, order_by=[model.id])
    handler = batch(look, session=True, entities=entities)
    report = await JobLoop(queue, handler, session_factory=sessions).run_once()

    assert report.claimed > 1
    assert len(seen) > report.claimed, "it was refused, and run again"
    assert {tuple(pages) for _, pages in seen} == {(1, 2, 3)}
