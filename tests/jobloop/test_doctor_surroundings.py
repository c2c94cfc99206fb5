"""The doctor on what surrounds the table: plans, storage, the server, privileges, partitions."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped

from crm_sync.database import create_engine
from jobloop import JobLoop, JobQueue, Statuses, each, queue_columns, queue_indexes
from jobloop.doctor import Severity, examine
from jobloop.findings import plans, server
from tests.jobloop.examination import found, mend
from tests.jobloop.tickets import Desk, Ticket, make_queue


@pytest.fixture
async def desk(desk: Desk) -> Desk:
    """The tickets, with nothing left to advise."""
    await desk.sql("ALTER TABLE tickets SET (fillfactor = 85)")
    return desk


class TestPlans:
    """A table of some size, with statistics."""

    async def test_claim_that_sorts_the_backlog(self, desk: Desk) -> None:
        await desk.queue(5_000)
        await desk.sql("DROP INDEX ix_tickets_crm_due")
        await desk.sql("ANALYZE tickets")

        findings = await found(desk)

        assert findings["plan.claim"].severity is Severity.PROBLEM
        await mend(desk, findings["index.claim.missing"])
        assert await found(desk) == {}

    async def test_index_that_does_not_cover_the_queues_filter_still_serves(self, desk: Desk) -> None:
        await desk.queue(5_000)
        await desk.sql("ANALYZE tickets")

        assert await found(desk, make_queue(filters=[Ticket.number > 100])) == {}

    async def test_planner_that_is_told_to_shun_indexes(self, desk: Desk) -> None:
        await desk.queue(60_000, status="Complete")
        await desk.sql("ANALYZE tickets")
        await desk.sql(
            "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET random_page_cost = 1000', current_database()); END $$"
        )
        await desk.engine.dispose()

        findings = await found(desk)

        assert findings["plan.settle"].evidence["settings"] == {"random_page_cost": "1000"}
        await mend(desk, findings["plan.settle"])
        assert await found(desk) == {}

    async def test_planner_that_scans_although_nobody_told_it_to(self, desk: Desk, monkeypatch: Any) -> None:
        """That a small table is scanned is right; here it stands for a large one with old statistics."""
        await desk.queue(100, status="Complete")
        await desk.sql("ANALYZE tickets")
        monkeypatch.setattr(plans, "FEW_ROWS", 10)
        monkeypatch.setattr(plans, "MIDDLING_ROWS", 10)

        assert (await found(desk))["plan.settle"].sql == "ANALYZE tickets;"


class TestStorage:
    async def test_dead_rows_that_wait_for_vacuum(self, desk: Desk) -> None:
        await desk.queue(3_000)
        async with desk.engine.connect() as connection:
            await connection.execution_options(isolation_level="AUTOCOMMIT")
            await connection.execute(sa.text("UPDATE tickets SET title = 'x'"))
            await connection.execute(sa.text("SELECT pg_stat_force_next_flush()"))
            await connection.execute(sa.text("SELECT 1"))

        finding = (await found(desk))["storage.dead_rows"]

        assert finding.evidence["dead"] == {"tickets": 3_000}
        await mend(desk, finding)
        assert await found(desk) == {}

    async def test_large_table_where_autovacuum_comes_late(self, desk: Desk) -> None:
        await desk.queue(110_000, status="Complete")
        await desk.sql("ANALYZE tickets")

        finding = (await found(desk))["storage.autovacuum_late"]

        assert finding.evidence["rows"] == 110_000
        assert "22,050 dead rows" in finding.title
        await mend(desk, finding)
        assert await found(desk) == {}


class TestServer:
    async def test_old_snapshot(self, desk: Desk, monkeypatch: Any) -> None:
        monkeypatch.setattr(server, "LONG", timedelta(0))
        async with desk.engine.connect() as holder:
            await holder.execute(sa.text("BEGIN ISOLATION LEVEL REPEATABLE READ"))
            await holder.execute(sa.text("SELECT 1 FROM tickets"))
            pid = await holder.scalar(sa.text("SELECT pg_backend_pid()"))

            finding = (await found(desk))["server.session"]

            assert str(pid) in finding.title
            await mend(desk, finding)
            while pid in [row.pid for row in await desk.sql("SELECT pid FROM pg_stat_activity")]:
                await asyncio.sleep(0.01)
            assert await found(desk) == {}
            await holder.invalidate()

    def test_prepared_transactions_and_slots(self) -> None:
        holders = [
            {"kind": "prepared", "name": "it's", "transactions": 5, "seconds": 900.0, "words": "app"},
            {"kind": "slot", "name": "old", "transactions": 200_000, "seconds": None, "words": "logical"},
            {"kind": "slot", "name": "fresh", "transactions": 10, "seconds": None, "words": "logical, active"},
        ]

        assert [finding.sql for finding in server.judge(holders)] == [
            "ROLLBACK PREPARED 'it''s';",
            "SELECT pg_drop_replication_slot('old');",
        ]

    async def test_isolation_level_of_the_role(self, desk: Desk) -> None:
        await desk.sql(
            "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_isolation = ''repeatable read''', "
            "current_database()); END $$"
        )
        await desk.engine.dispose()

        await mend(desk, (await found(desk))["server.isolation"])

        await desk.engine.dispose()
        assert await found(desk) == {}
        await desk.sql(
            "DO $$ BEGIN EXECUTE format('ALTER ROLE %I IN DATABASE %I RESET ALL', current_user, current_database()); "
            "END $$"
        )

    async def test_isolation_level_and_pool_of_the_engine(self, desk: Desk, database_url: str) -> None:
        engine = create_engine(database_url, pool_size=1, max_overflow=1)
        engine = engine.execution_options(isolation_level="SERIALIZABLE")

        findings = {finding.code: finding for finding in await examine(make_queue(), engine, session_handlers=5)}

        await engine.dispose()
        assert findings["server.isolation"].sql is None
        assert findings["server.pool"].evidence == {"has": 2, "wants": 8}


class TestRows:
    async def test_rows_whose_worker_is_gone(self, desk: Desk) -> None:
        await desk.queue(3, status="Processing")
        await desk.sql(
            "UPDATE tickets SET crm_claim_token = gen_random_uuid(), "
            "crm_lease_expires_at = now() - number * interval '4 min'"
        )

        finding = (await found(desk))["rows.expired"]

        assert (finding.severity, finding.evidence["rows"]) == (Severity.ADVICE, 2)

    async def test_counts_are_of_this_queue_alone(self, desk: Desk) -> None:
        await desk.queue(3, status="Processing", of="mail_status")

        assert await found(desk) == {}
        assert "rows.without_lease" in await found(desk, make_queue(status_field_name="mail_status"))


class TestAccess:
    """As a role that owns nothing."""

    @pytest.fixture
    async def worker(self, desk: Desk, database_url: str) -> Any:
        name = f"worker_{id(desk)}"
        await desk.sql(f"CREATE ROLE {name}")
        engine = create_async_engine(database_url, connect_args={"server_settings": {"role": name}})
        yield name, Desk(engine)
        await engine.dispose()
        await desk.sql(f"DROP OWNED BY {name}")
        await desk.sql(f"DROP ROLE {name}")

    async def test_privileges_that_are_missing(self, desk: Desk, worker: tuple[str, Desk]) -> None:
        name, as_worker = worker
        await desk.sql(f"GRANT SELECT ON tickets TO {name}")
        await desk.sql(f"GRANT UPDATE (crm_status, crm_error) ON tickets TO {name}")

        finding = (await found(as_worker))["access.privilege"]

        assert "crm_claim_token" in finding.evidence["may_not_update"]
        await mend(desk, finding)
        assert await found(as_worker) == {}

    async def test_role_that_has_the_privileges_which_the_doctor_names_works_the_queue(
        self, desk: Desk, worker: tuple[str, Desk]
    ) -> None:
        """Column by column: the place of a row, which has no privileges of its own, is then not to be read."""
        _, as_worker = worker

        async def look(row: Any) -> None: ...

        await desk.queue(3)

        await mend(desk, (await found(as_worker))["access.privilege"])

        assert await found(as_worker) == {}
        assert (await JobLoop(make_queue(), each(look), session_factory=as_worker.sessions).drain()).completed == 3

    async def test_policies_that_show_nothing(self, desk: Desk, worker: tuple[str, Desk]) -> None:
        name, as_worker = worker
        await desk.sql(f"GRANT SELECT, UPDATE ON tickets TO {name}")
        await desk.sql("ALTER TABLE tickets ENABLE ROW LEVEL SECURITY")
        await desk.sql("CREATE POLICY readers ON tickets FOR SELECT USING (true)")

        finding = (await found(as_worker))["access.row_security"]

        assert "no row for UPDATE" in finding.title
        await mend(desk, finding)
        assert list(await found(as_worker)) == ["access.row_security_active"]
        assert await found(desk) == {}, "the owner sees everything"


class TestPartitions:
    async def test_index_that_is_not_on_every_partition(self, engine: AsyncEngine) -> None:
        desk, queue = Desk(engine), make_parcel_queue()
        async with engine.begin() as connection:
            await connection.run_sync(queue.table.metadata.create_all)
        for n in range(3):
            await desk.sql(f"CREATE TABLE parcels_{n} PARTITION OF parcels FOR VALUES IN ({n}) WITH (fillfactor = 85)")
        assert await found(desk, queue) == {}
        await desk.sql("DROP INDEX ix_parcels_due")
        await desk.sql(
            "CREATE INDEX ix_parcels_due ON ONLY parcels (coalesce(next_retry_at, '-infinity'), id, depot) "
            "WHERE status = 'Queued'"
        )

        await mend(desk, (await found(desk, queue))["index.partitions"])

        assert await found(desk, queue) == {}

    async def test_fillfactor_is_of_the_partitions(self, engine: AsyncEngine) -> None:
        desk, queue = Desk(engine), make_parcel_queue()
        async with engine.begin() as connection:
            await connection.run_sync(queue.table.metadata.create_all)
        await desk.sql("CREATE TABLE parcels_1 PARTITION OF parcels DEFAULT")

        await mend(desk, (await found(desk, queue))["storage.fillfactor"])

        assert await found(desk, queue) == {}

    async def test_table_divided_by_its_status_is_refused(self, engine: AsyncEngine) -> None:
        desk, queue = Desk(engine), make_parcel_queue(by="status", constrained=False)
        async with engine.begin() as connection:
            await connection.run_sync(queue.table.metadata.create_all)

        assert list(await found(desk, queue)) == ["partitions.key"]


def make_parcel_queue(*, by: str = "depot", constrained: bool = True) -> JobQueue:
    class Parcel(fresh_base(), queue_columns("")):  # type: ignore[misc]
        __tablename__ = "parcels"
        __table_args__ = (
            *queue_indexes("parcels"),
            {"postgresql_partition_by": f"LIST ({by})"},
        )
        id: Mapped[int]
        depot: Mapped[int]
        status: Mapped[str | None]
        __mapper_args__ = {"primary_key": ["id", "depot"]}

    if constrained:
        sa.PrimaryKeyConstraint(Parcel.__table__.c.id, Parcel.__table__.c.depot)
    return JobQueue(Parcel, Statuses("Queued", "Processing", "Complete", "Error"))


def fresh_base() -> type[DeclarativeBase]:
    class Base(DeclarativeBase):
        pass

    return Base
