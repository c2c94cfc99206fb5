"""A queue on a table that has a life of its own: children, triggers, policies, partitions, subclasses, migrations."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import Mapped, mapped_column

from jobloop import (
    Complete,
    JobLoop,
    QueueDeclarationError,
    Retry,
    TableUnfit,
    batch,
    each,
    queue_columns,
    queue_indexes,
)
from jobloop.doctor import examine
from jobloop.store import Store
from tests.jobloop.shapes import fresh_base, queue_of
from tests.jobloop.tickets import Desk, make_queue


async def complete(row: Any) -> Complete:
    return Complete()


def loop_of(desk: Desk, handler: Any = None, **options: Any) -> JobLoop:
    queue = options.pop("queue", None) or make_queue()
    return JobLoop(queue, handler or each(complete), session_factory=desk.sessions, **options)


async def test_child_inserted_in_an_open_transaction_neither_hides_nor_blocks_its_row(desk: Desk) -> None:
    await desk.sql("CREATE TABLE notes (ticket_id uuid REFERENCES tickets, words text)")
    await desk.queue(2)

    async with desk.engine.connect() as user, asyncio.timeout(20):
        await user.execute(sa.text("INSERT INTO notes SELECT id, 'before' FROM tickets WHERE number = 1"))

        async def work(row: Any) -> None:  # while the queue holds the row, another child is inserted
            await desk.sql("INSERT INTO notes VALUES (:id, 'meanwhile')", id=row.id)

        report = await loop_of(desk, each(work)).run_once()
        assert report.completed == 2
        await user.commit()
    assert len(await desk.sql("SELECT 1 FROM notes")) == 3


class TestTriggers:
    async def test_one_that_bumps_updated_at_is_lived_with(self, desk: Desk) -> None:
        await desk.sql(
            "CREATE FUNCTION bump() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN NEW.updated_at := clock_timestamp(); RETURN NEW; END $$"
        )
        await desk.sql("CREATE TRIGGER bump BEFORE UPDATE ON tickets FOR EACH ROW EXECUTE FUNCTION bump()")
        await desk.queue(3)

        assert (await loop_of(desk).run_once()).completed == 3

    async def test_one_that_raises_for_a_row_fails_that_row_alone(self, desk: Desk) -> None:
        await desk.sql(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            "IF NEW.number = 3 AND NEW.crm_status = 'Complete' THEN RAISE EXCEPTION 'not number three'; END IF; "
            "RETURN NEW; END $$"
        )
        await desk.sql("CREATE TRIGGER refuse BEFORE UPDATE ON tickets FOR EACH ROW EXECUTE FUNCTION refuse()")
        await desk.queue(5)

        report = await loop_of(desk).run_once()

        assert (report.completed, report.failed, report.lost) == (4, 1, 0)
        ticket = await desk.ticket(3)
        assert (ticket.crm_status, ticket.crm_claim_token) == ("Error", None)
        assert "not number three" in ticket.crm_error

    async def test_one_that_keeps_a_lost_row_from_its_rescue_does_not_stop_the_others(
        self, desk: Desk, caplog: Any
    ) -> None:
        await desk.sql(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'number one stays'; END $$"
        )
        await desk.queue(1)
        await Store(make_queue(), desk.engine).claim(1)
        await desk.expire_leases()
        await desk.sql(
            "CREATE TRIGGER refuse BEFORE UPDATE ON tickets FOR EACH ROW WHEN (OLD.number = 1) "
            "EXECUTE FUNCTION refuse()"
        )
        await desk.queue(3, first=2)

        report = await loop_of(desk).run_once()

        assert (report.completed, report.rescued) == (3, 0)
        assert "refused by the table" in caplog.text
        assert "number one stays" in caplog.text

    async def test_one_that_swallows_the_update_is_a_lost_claim(self, desk: Desk, caplog: Any) -> None:
        await desk.sql("CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$")
        await desk.queue(2)
        await desk.sql(
            "CREATE TRIGGER swallow BEFORE UPDATE ON tickets FOR EACH ROW "
            "WHEN (NEW.crm_status = 'Complete' AND NEW.number = 1) EXECUTE FUNCTION swallow()"
        )

        report = await loop_of(desk).run_once()

        assert (report.completed, report.lost) == (1, 1)
        assert "was lost before its settle" in caplog.text


async def test_queue_on_a_view_is_worked(desk: Desk) -> None:
    """One that PostgreSQL can update; it has no places of rows."""
    await desk.queue(3)
    await desk.sql("ALTER TABLE tickets RENAME TO all_tickets")
    await desk.sql("CREATE VIEW tickets AS SELECT * FROM all_tickets WHERE number < 3")

    assert (await loop_of(desk).drain()).completed == 2
    assert (await loop_of(desk).drain()).completed == 0


async def test_rows_of_two_partitions_at_the_same_place_are_told_apart(engine: AsyncEngine) -> None:
    """The first row of each lies at the first place of each."""

    class Parcel(fresh_base(), queue_columns("")):  # type: ignore[misc]
        __tablename__ = "parcels"
        __table_args__ = {"postgresql_partition_by": "LIST (depot)"}
        depot: Mapped[int] = mapped_column(primary_key=True)
        id: Mapped[int] = mapped_column(primary_key=True)
        status: Mapped[str | None]

    async with engine.begin() as connection:
        await connection.run_sync(Parcel.metadata.create_all)
        for depot in range(2):
            await connection.execute(
                sa.text(f"CREATE TABLE parcels_{depot} PARTITION OF parcels FOR VALUES IN ({depot})")
            )
            await connection.execute(sa.insert(Parcel), {"depot": depot, "id": 1, "status": "Queued"})

    assert len(await Store(queue_of(Parcel), engine).claim(1)) == 1

    async with engine.connect() as connection:
        assert sorted((await connection.scalars(sa.select(Parcel.status))).all()) == ["Processing", "Queued"]


class TestRowSecurity:
    """As a role to which policies apply."""

    @pytest.fixture
    async def worker(self, desk: Desk, database_url: str) -> AsyncIterator[Desk]:
        name = f"worker_{uuid4().hex[:8]}"
        await desk.sql(f"CREATE ROLE {name}")
        await desk.sql(f"GRANT SELECT, UPDATE ON tickets TO {name}")
        await desk.sql("ALTER TABLE tickets ENABLE ROW LEVEL SECURITY")
        engine = create_async_engine(database_url, connect_args={"server_settings": {"role": name}})
        yield Desk(engine)
        await engine.dispose()
        await desk.sql(f"DROP OWNED BY {name}")
        await desk.sql(f"DROP ROLE {name}")

    async def test_worker_works_the_rows_that_it_may_see(self, desk: Desk, worker: Desk) -> None:
        await desk.sql("CREATE POLICY even ON tickets USING (number % 2 = 0)")
        await desk.queue(10)

        async def fail(row: Any) -> Retry:
            return Retry("later")

        assert (await loop_of(worker, each(fail)).run_once()).retried == 5
        await desk.due_now()
        store = Store(make_queue(), worker.engine)
        lost = await store.claim(100)
        assert len(await store.renew(lost)) == 5
        await desk.expire_leases()
        assert await store.rescue() == (5, 0)
        assert (await loop_of(worker).drain()).completed == 5
        (row,) = await desk.sql("SELECT count(*) FROM tickets WHERE number % 2 = 1 AND crm_status = 'Queued'")
        assert row[0] == 5

    @pytest.mark.parametrize("form", ["row id", "each", "batch"])
    async def test_handler_with_a_session_works_the_rows_that_it_may_see(
        self, desk: Desk, worker: Desk, form: str
    ) -> None:
        """What it writes to all rows it writes to those."""
        await desk.sql("CREATE POLICY even ON tickets USING (number % 2 = 0)")
        await desk.queue(6)

        async def one(_: Any, session: AsyncSession) -> None:
            await session.execute(sa.text("UPDATE tickets SET title = 'seen'"))

        async def many(rows: list[Any], session: AsyncSession) -> dict[Any, None]:
            return {row.id: await one(row, session) for row in rows}

        handler = {"row id": one, "each": each(one, session=True), "batch": batch(many, session=True)}[form]
        report = await loop_of(worker, handler).run_once()

        assert (report.claimed, report.completed, report.lost) == (3, 3, 0)
        rows = await desk.sql("SELECT number, title, crm_status FROM tickets ORDER BY number")
        assert {row.number: (row.crm_status, row.title) for row in rows} == {
            n: ("Queued", f"ticket {n}") if n % 2 else ("Complete", "seen") for n in range(1, 7)
        }

    @pytest.mark.parametrize("form", ["each", "batch"])
    async def test_write_that_a_policy_forbids_fails_its_row_alone(self, desk: Desk, worker: Desk, form: str) -> None:
        await desk.sql("CREATE POLICY even ON tickets USING (number % 2 = 0)")
        await desk.queue(6)

        async def move(row: Any, session: AsyncSession) -> None:
            number = 1 if row.number == 2 else row.number
            await session.execute(sa.text("UPDATE tickets SET number = :n WHERE id = :id"), {"n": number, "id": row.id})

        async def move_all(rows: list[Any], session: AsyncSession) -> dict[Any, None]:
            return {row.id: await move(row, session) for row in rows}

        handler = each(move, session=True) if form == "each" else batch(move_all, session=True)
        report = await loop_of(worker, handler).run_once()

        assert (report.completed, report.retried, report.lost) == (2, 1, 0)
        assert "new row violates row-level security policy" in (await desk.ticket(2)).crm_error

    async def test_row_that_its_handler_hides_from_itself_is_lost_with_what_was_written(
        self, desk: Desk, worker: Desk
    ) -> None:
        """A tenant's rows by a setting of the session: as one that another worker took, and rescued as that is."""
        await desk.sql("CREATE POLICY tenant ON tickets USING (coalesce(current_setting('my.tenant', true), '') = '')")
        await desk.queue(1)

        async def sync(row: Any, session: AsyncSession) -> None:
            await session.execute(sa.text("UPDATE tickets SET title = 'seen'"))
            await session.execute(sa.text("SET LOCAL my.tenant = 'another'"))

        report = await loop_of(worker, each(sync, session=True)).run_once()

        assert (report.completed, report.lost) == (0, 1)
        ticket = await desk.ticket()
        assert (ticket.title, ticket.crm_status) == ("ticket 1", "Processing")
        await desk.expire_leases()
        assert (await loop_of(worker).run_once()).completed == 1

    async def test_without_a_policy_for_update_the_start_is_refused(self, desk: Desk, worker: Desk) -> None:
        await desk.sql("CREATE POLICY readers ON tickets FOR SELECT USING (true)")
        await desk.queue(1)

        with pytest.raises(TableUnfit, match=r"no row for UPDATE.*CREATE POLICY jobloop_update ON tickets"):
            await loop_of(worker).run_once()

    async def test_policy_that_forbids_processing_is_named_by_postgresql(self, desk: Desk, worker: Desk) -> None:
        await desk.sql("CREATE POLICY idle ON tickets USING (true) WITH CHECK (crm_status <> 'Processing')")
        await desk.queue(1)

        with pytest.raises(DBAPIError, match='violates row-level security policy for table "tickets"'):
            await loop_of(worker).run_once()

        assert await desk.statuses() == {"Queued": 1}

    async def test_without_the_privilege_the_start_is_refused_with_the_grant(self, desk: Desk, worker: Desk) -> None:
        await desk.sql("CREATE POLICY everything ON tickets USING (true)")
        ((role,),) = await worker.sql("SELECT current_user::text")
        await desk.sql(f"REVOKE UPDATE ON tickets FROM {role}")

        with pytest.raises(TableUnfit, match=rf"GRANT UPDATE \(.*crm_status.*\) ON tickets TO {role}"):
            await loop_of(worker).run_once()


async def test_two_queues_on_a_row_of_a_partitioned_table(engine: AsyncEngine) -> None:
    class Job(fresh_base(), queue_columns("a_"), queue_columns("b_")):  # type: ignore[misc]
        __tablename__ = "jobs"
        __table_args__ = (
            *queue_indexes("jobs", status="a_status"),
            *queue_indexes("jobs", status="b_status"),
            {"postgresql_partition_by": "LIST (region)"},
        )
        id: Mapped[int] = mapped_column(primary_key=True)
        region: Mapped[str] = mapped_column(primary_key=True)
        a_status: Mapped[str | None]
        b_status: Mapped[str | None]

    desk = Desk(engine)
    async with engine.begin() as connection:
        await connection.run_sync(Job.metadata.create_all)
    for region in ("eu", "us"):
        await desk.sql(f"CREATE TABLE jobs_{region} PARTITION OF jobs FOR VALUES IN ('{region}') WITH (fillfactor=85)")
    await desk.sql(
        "INSERT INTO jobs "
        "(id, region, a_status, b_status, a_retry_count, a_rescue_count, b_retry_count, b_rescue_count) "
        "SELECT i, CASE WHEN i % 2 = 0 THEN 'eu' ELSE 'us' END, 'Queued', 'Queued', 0, 0, 0, 0 "
        "FROM generate_series(1, 40) i"
    )
    queues = [queue_of(Job, status_field_name=name) for name in ("a_status", "b_status")]

    async def work(row: Any) -> Any:
        await asyncio.sleep(0)
        return Complete() if row.id % 4 else Retry("not yet")

    reports = await asyncio.gather(*(loop_of(desk, each(work), queue=queue, batch_size=7).drain() for queue in queues))

    assert [(report.completed, report.retried) for report in reports] == [(30, 10), (30, 10)]
    (row,) = await desk.sql("SELECT sum(a_retry_count), sum(b_retry_count), count(a_claim_token) FROM jobs")
    assert tuple(row) == (10, 10, 0)
    for queue in queues:
        assert {finding.code for finding in await examine(queue, engine)} == {"rows.waiting"}


class TestJoinedInheritance:
    """A class in two tables: the queue lives in one of them."""

    def models(self, *, queue_in_child: bool) -> tuple[Any, Any]:
        base = fresh_base()
        columns = {"status": mapped_column(sa.Text), "note": mapped_column(sa.Text)}
        parent: Any = type(
            "Job",
            (base,) if queue_in_child else (base, queue_columns("")),
            {
                "__tablename__": "jobs",
                "id": mapped_column(sa.Integer, primary_key=True),
                "kind": mapped_column(sa.Text),
                "__mapper_args__": {"polymorphic_on": "kind", "polymorphic_identity": "job"},
                **({} if queue_in_child else columns),
            },
        )
        child: Any = type(
            "Letter",
            (queue_columns(""), parent) if queue_in_child else (parent,),
            {
                "__tablename__": "letters",
                "id": mapped_column(sa.ForeignKey("jobs.id"), primary_key=True),
                "address": mapped_column(sa.Text),
                "__mapper_args__": {"polymorphic_identity": "letter"},
                **(columns if queue_in_child else {}),
            },
        )
        return parent, child

    def test_queue_of_a_subclass_whose_columns_are_the_parents_is_refused(self) -> None:
        _, child = self.models(queue_in_child=False)

        with pytest.raises(QueueDeclarationError, match="declare the queue on the class of table jobs"):
            queue_of(child)

    @pytest.mark.parametrize("queue_in_child", [True, False])
    async def test_queue_on_the_class_that_has_the_columns_works(
        self, engine: AsyncEngine, queue_in_child: bool
    ) -> None:
        parent, child = self.models(queue_in_child=queue_in_child)
        async with engine.begin() as connection:
            await connection.run_sync(parent.metadata.create_all)
        sessions = async_sessionmaker(engine, expire_on_commit=False)
        async with sessions.begin() as session:
            session.add_all(child(status="Queued", address=f"street {n}") for n in range(3))
        queue = queue_of(child if queue_in_child else parent)

        async def work(key: int, session: Any) -> Complete:
            letter = await session.get(child, key)
            return Complete({"note": letter.address})

        report = await JobLoop(queue, work, session_factory=sessions).run_once()

        assert report.completed == 3
        async with sessions() as session:
            assert set(await session.scalars(sa.select(child.note))) == {"street 0", "street 1", "street 2"}


async def test_column_that_changes_its_type_under_a_running_worker_costs_no_row(desk: Desk) -> None:
    """A prepared statement of the driver is void afterwards: it is prepared again, and no row is blamed."""
    await desk.queue(200)

    async def work(row: Any) -> Complete:
        if row.number == 100:
            await desk.sql("ALTER TABLE tickets ALTER number TYPE bigint")
        return Complete({"title": "done"})

    report = await loop_of(desk, each(work), batch_size=5).drain()

    assert (report.completed, report.failed, report.retried) == (200, 0, 0)
    assert await desk.statuses() == {"Complete": 200}
