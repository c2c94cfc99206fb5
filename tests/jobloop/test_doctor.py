"""The doctor finds what ails a real table, and its SQL mends it. A healthy table gets neither problem nor advice."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

import jobloop
from jobloop import JobQueue, Statuses, queue_columns, queue_indexes
from jobloop.doctor import examine
from tests.jobloop.examination import found, mend, to_mend
from tests.jobloop.tickets import Desk, make_queue

TEXT = Statuses("Queued", "Processing", "Complete", "Error")

BUMP = """
    CREATE FUNCTION bump() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN NEW.{column} := clock_timestamp(); RETURN NEW; END $$
"""
TOUCH = "CREATE TRIGGER touch BEFORE UPDATE ON tickets FOR EACH ROW EXECUTE FUNCTION {function}()"


@pytest.fixture
async def desk(desk: Desk) -> Desk:
    """The tickets, with nothing left to advise."""
    await desk.sql("ALTER TABLE tickets SET (fillfactor = 85)")
    return desk


async def test_healthy_table_has_no_problem_and_no_advice(desk: Desk) -> None:
    await desk.queue(100)

    assert await found(desk) == {}


AILMENTS = {
    "no counter": (["ALTER TABLE tickets DROP COLUMN crm_rescue_count"], "column.missing"),
    "no lease column": (["ALTER TABLE tickets DROP COLUMN crm_lease_expires_at"], "column.missing"),
    "times without a zone": (["ALTER TABLE tickets ALTER crm_lease_expires_at TYPE timestamp"], "column.type"),
    "token as text": (["ALTER TABLE tickets ALTER crm_claim_token TYPE text"], "column.type"),
    "counter that may be null": (["ALTER TABLE tickets ALTER crm_retry_count DROP NOT NULL"], "column.counter"),
    "counter without a default": (["ALTER TABLE tickets ALTER crm_retry_count DROP DEFAULT"], "column.counter"),
    "error that may not be null": (["ALTER TABLE tickets ALTER crm_error SET NOT NULL"], "column.not_null"),
    "short error": (["ALTER TABLE tickets ALTER crm_error TYPE varchar(200)"], "column.short"),
    "no claim index": (["DROP INDEX ix_tickets_crm_due"], "index.claim.missing"),
    "claim index on another status": (
        [
            "DROP INDEX ix_tickets_crm_due",
            (
                "CREATE INDEX ix_tickets_crm_due ON tickets (coalesce(crm_next_retry_at, '-infinity'), created_at, id) "
                "WHERE crm_status = 'Error'"
            ),
        ],
        "index.claim.missing",
    ),
    "claim index in another order": (
        [
            "DROP INDEX ix_tickets_crm_due",
            (
                "CREATE INDEX ix_tickets_crm_due ON tickets (coalesce(crm_next_retry_at, '-infinity'), created_at "
                "DESC, id) WHERE crm_status = 'Queued'"
            ),
        ],
        "index.claim.order",
    ),
    "claim index without the order": (
        [
            "DROP INDEX ix_tickets_crm_due",
            (
                "CREATE INDEX ix_tickets_crm_due ON tickets (coalesce(crm_next_retry_at, '-infinity')) "
                "WHERE crm_status = 'Queued'"
            ),
        ],
        "index.claim.order",
    ),
    "no rescue index": (["DROP INDEX ix_tickets_crm_processing"], "index.rescue.missing"),
    "index names the lease": (["CREATE INDEX slow ON tickets (crm_lease_expires_at)"], "index.bookkeeping"),
    "index names the token in its predicate": (
        ["CREATE INDEX slow ON tickets (number) WHERE crm_claim_token IS NOT NULL"],
        "index.bookkeeping",
    ),
    "many indexes": ([f"CREATE INDEX slow_{n} ON tickets (title)" for n in range(4)], "index.many"),
    "full pages": (["ALTER TABLE tickets RESET (fillfactor)"], "storage.fillfactor"),
    "no autovacuum": (["ALTER TABLE tickets SET (autovacuum_enabled = false)"], "storage.autovacuum_off"),
    "trigger that bumps updated_at": (
        [BUMP.format(column="updated_at"), TOUCH.format(function="bump")],
        "trigger.changes_row",
    ),
    "trigger that bumps the order": (
        [BUMP.format(column="created_at"), TOUCH.format(function="bump")],
        "trigger.changes_row",
    ),
    "trigger that writes bookkeeping": (
        [BUMP.format(column="crm_next_retry_at"), TOUCH.format(function="bump")],
        "trigger.bookkeeping",
    ),
    "trigger that raises": (
        [
            (
                "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
                "$$ BEGIN IF NEW.number < 0 THEN RAISE EXCEPTION 'negative'; END IF; RETURN NEW; END $$"
            ),
            (
                "CREATE TRIGGER refuse BEFORE INSERT OR UPDATE OF crm_status, title ON tickets "
                "FOR EACH ROW EXECUTE FUNCTION refuse()"
            ),
        ],
        "trigger.raises",
    ),
    "constraint trigger": (
        [
            "CREATE FUNCTION watch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$",
            "CREATE CONSTRAINT TRIGGER watch AFTER UPDATE ON tickets DEFERRABLE FOR EACH ROW EXECUTE FUNCTION watch()",
        ],
        "trigger.fires",
    ),
    "rows of an older system": (
        ["INSERT INTO tickets (number, crm_status) VALUES (1, 'Processing')"],
        "rows.without_lease",
    ),
    "rows in the far future": (
        ["INSERT INTO tickets (number, crm_status, crm_next_retry_at) VALUES (1, 'Queued', now() + interval '9 d')"],
        "rows.far_future",
    ),
    "rows that wait": (
        [
            (
                "INSERT INTO tickets (number, crm_status, crm_next_retry_at, crm_retry_count) "
                "VALUES (1, 'Queued', now() + interval '5 min', 1)"
            )
        ],
        "rows.waiting",
    ),
}


@pytest.mark.parametrize("ailment", AILMENTS)
async def test_ailment_is_found_and_its_sql_mends_it(desk: Desk, ailment: str) -> None:
    spoil, code = AILMENTS[ailment]
    for statement in spoil:
        await desk.sql(statement)

    finding = (await found(desk))[code]
    await mend(desk, finding)

    assert to_mend(await found(desk)) == []
    assert code not in await found(desk)


async def test_trigger_on_columns_that_the_queue_does_not_write_is_none_of_its_business(desk: Desk) -> None:
    await desk.sql(BUMP.format(column="updated_at"))
    await desk.sql(TOUCH.format(function="bump").replace("UPDATE", "UPDATE OF title"))

    assert await found(desk) == {}


async def test_enum_label_that_is_missing(engine: AsyncEngine) -> None:
    class Job(fresh_base(), queue_columns("")):  # type: ignore[misc]
        __tablename__ = "jobs"
        __table_args__ = (*queue_indexes("jobs"), {"postgresql_with": {"fillfactor": "85"}})
        id: Mapped[int] = mapped_column(primary_key=True)
        status: Mapped[str] = mapped_column(sa.Enum("Queued", "Processing", "Complete", "Error", name="job's status"))

    async with engine.begin() as connection:
        await connection.run_sync(Job.metadata.create_all)
        await connection.execute(sa.text("""ALTER TYPE "job's status" RENAME VALUE 'Error' TO 'Failed'"""))
    queue, desk = JobQueue(Job, TEXT), Desk(engine)

    await mend(desk, (await found(desk, queue))["status.label"])

    assert await found(desk, queue) == {}


@pytest.mark.parametrize(
    ("column", "code"),
    [
        ("varchar(9)", "status.short"),
        ("text CHECK (status IN ('Queued', 'Complete', ' :none'))", "status.check"),
    ],
)
async def test_text_status_that_cannot_hold_every_label(engine: AsyncEngine, column: str, code: str) -> None:
    class Job(fresh_base(), queue_columns("")):  # type: ignore[misc]
        __tablename__ = "jobs"
        __table_args__ = (*queue_indexes("jobs"), {"postgresql_with": {"fillfactor": "85"}})
        id: Mapped[int] = mapped_column(primary_key=True)
        status: Mapped[str | None]

    desk = Desk(engine)
    async with engine.begin() as connection:
        await connection.run_sync(Job.metadata.create_all)
    await desk.sql("DROP INDEX ix_jobs_due, ix_jobs_processing")
    await desk.sql("ALTER TABLE jobs DROP COLUMN status")
    await desk.sql(f"ALTER TABLE jobs ADD COLUMN status {column.replace(':', chr(92) + ':')}")
    for index in queue_indexes("jobs"):
        index._set_parent(Job.__table__)  # type: ignore[attr-defined]
        async with engine.begin() as connection:
            await connection.execute(sa.schema.CreateIndex(index))
    queue = JobQueue(Job, TEXT)

    await mend(desk, (await found(desk, queue))[code])

    assert to_mend(await found(desk, queue)) == []


async def test_missing_table_is_said_and_nothing_else(engine: AsyncEngine) -> None:
    (finding,) = await examine(make_queue(), engine)

    assert finding.code == "table.missing"


async def test_index_build_that_failed(desk: Desk) -> None:
    await desk.sql("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'ix_tickets_crm_due'::regclass")

    await mend(desk, (await found(desk))["index.invalid"])

    assert await found(desk) == {}


def fresh_base() -> type[DeclarativeBase]:
    class Base(DeclarativeBase):
        pass

    return Base


async def test_status_of_a_domain_over_an_enum(engine: AsyncEngine) -> None:
    class Job(fresh_base(), queue_columns("")):  # type: ignore[misc]
        __tablename__ = "jobs"
        __table_args__ = {"postgresql_with": {"fillfactor": "85"}}
        id: Mapped[int] = mapped_column(primary_key=True)
        status: Mapped[str | None]

    queue, desk = JobQueue(Job, TEXT), Desk(engine)
    async with engine.begin() as connection:
        await connection.run_sync(Job.metadata.create_all)
    await desk.sql("CREATE TYPE labels AS ENUM ('Queued', 'Processing', 'Complete', 'Error')")
    await desk.sql("CREATE DOMAIN state AS labels")
    await desk.sql("ALTER TABLE jobs ALTER status TYPE state USING status::text::labels")

    await mend(desk, (await found(desk, queue))["status.domain"])

    assert set(to_mend(await found(desk, queue))) == {"index.claim.missing", "index.rescue.missing"}


def test_manual_names_every_finding() -> None:
    root = Path(jobloop.__file__).parents[2]
    sources = "".join(path.read_text() for path in Path(jobloop.__file__).parent.glob("findings/*.py"))
    codes = set(re.findall(r'(?:problem|advice|info)\(\s*"([a-z_.]+)"', sources)) | {"table.missing"}
    manual = (root / "docs" / "doctor.md").read_text()

    assert len(codes) > 25
    assert {code for code in codes if f"`{code}`" not in manual} == set()
