"""A worker as a process of its own: `python -m tests.faults.worker ORDERS`, ORDERS being JSON.

It says on standard output what the controller waits for (`ready` and its clock, `started JOB`, at the end `report
JSON`) and reads from standard input: `go` lets every handler that waits at the gate go on. When standard input ends,
its controller is gone, and it leaves at once. SIGTERM asks the loop to stop.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import os
import random
import signal
import sys
import time
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from crm_sync.database import create_engine, parse_database_url
from jobloop import Complete, Fail, JobLoop, JobQueue, Listener, Outcome, Retry, RetryPolicy, Snooze, batch, each
from jobloop.claim import Claim
from jobloop.forms import Desk
from jobloop.session_forms import InSession
from jobloop.table import check_table
from tests.faults.jobs import make_queue
from tests.faults.witness import Witness

log = logging.getLogger("worker")


@dataclass(frozen=True)
class Orders:
    """What a worker is told.

    url            how its loop reaches the database, perhaps by way of a proxy or a pooler
    oracle_url     how its handlers reach the effects: always directly
    listen_url     where it listens for NOTIFY; None: it polls only
    is_gated       handlers wait for `go`; otherwise they take 0 to `longest_ms` milliseconds
    dice           answers are drawn at random; otherwise every answer is Complete
    """

    name: str
    url: str
    oracle_url: str
    form: str = "each"
    listen_url: str | None = None
    is_gated: bool = False
    dice: bool = False
    seed: int = 0
    longest_ms: float = 0.0
    lease_seconds: float = 300.0
    max_rescues: int = 3
    retry_seconds: float = 300.0
    batch_size: int = 10
    concurrency: int | None = None
    poll_seconds: float = 0.05
    probe_seconds: float = 15.0
    grace_seconds: float = 10.0
    is_pooled: bool = False

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self))


#: That of the claim for which the session form runs now.
_token: ContextVar[UUID] = ContextVar("token")


class _InSession(InSession):
    """Tells the handler its token, which a user's handler of this form is not told.

    The row's own token does not do: it is the heir's if the claim was lost before its start, and when the worker is
    its own heir, two claims that are started once look like one that is started twice.
    """

    async def run(self, share: list[Claim], desk: Desk) -> None:
        _token.set(share[0].token)
        await super().run(share, desk)


class Handlers:
    """The same work in each form."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders
        self._witness = Witness(orders.name, orders.oracle_url)
        self._dice = random.Random(orders.seed)
        self.gate = asyncio.Event()

    def in_form(self, form: str) -> Any:
        forms = {
            "each": each(self.one),
            "batch": batch(self.many),
            "session": _InSession(self.in_session),
            "each session": each(self.one_in_session, session=True),
            "batch session": batch(self.many_in_session, session=True),
        }
        return forms[form]

    async def close(self) -> None:
        await self._witness.close()

    async def one(self, row: Any) -> Outcome:
        (outcome,) = await self._process((row.id, row.claim_token, row.revision))
        return outcome

    async def many(self, rows: list[Any]) -> dict[int, Outcome]:
        outcomes = await self._process(*((row.id, row.claim_token, row.revision) for row in rows))
        return {row.id: outcome for row, outcome in zip(rows, outcomes, strict=True)}

    async def in_session(self, job_id: int, session: AsyncSession) -> Outcome:
        token = _token.get()
        revision = await session.scalar(sa.text("SELECT revision FROM jobs WHERE id = :id"), {"id": job_id})
        if revision is None:
            return Fail("the row is gone")  # deleted between claim and start
        await session.execute(
            sa.text("INSERT INTO own_writes (job_id, token) VALUES (:id, :token)"), {"id": job_id, "token": token}
        )
        (outcome,) = await self._process((job_id, token, revision))
        return outcome

    async def one_in_session(self, row: Any, session: AsyncSession) -> Outcome:
        return (await self.many_in_session([row], session))[row.id]

    async def many_in_session(self, rows: list[Any], session: AsyncSession) -> dict[int, Outcome]:
        await session.execute(
            sa.text("INSERT INTO own_writes (job_id, token) VALUES (:id, :token)"),
            [{"id": row.id, "token": row.claim_token} for row in rows],
        )
        return await self.many(rows)

    async def _process(self, *jobs: tuple[int, UUID, int]) -> list[Outcome]:
        ids = await self._witness.started(*jobs)
        for job_id, _, _ in jobs:
            say("started", job_id)
        if self._orders.is_gated:
            await self.gate.wait()
        elif self._orders.longest_ms:
            await asyncio.sleep(self._dice.uniform(0, self._orders.longest_ms) / 1000)
        outcomes = [self._outcome(revision) for _, _, revision in jobs]
        await self._witness.ended(ids, [type(outcome).__name__ for outcome in outcomes])
        return outcomes

    def _outcome(self, revision: int) -> Outcome:
        done = Complete(values={"seen_revision": revision})
        if not self._orders.dice:
            return done
        drawn = self._dice.random()
        if drawn < 0.15:
            return Retry("not now")
        if drawn < 0.22:
            return Fail("never")
        if drawn < 0.27:
            return Snooze(timedelta(seconds=self._orders.retry_seconds))
        return done


def say(*words: object) -> None:
    print(*words, flush=True)


async def obey(handlers: Handlers) -> None:
    """Do what standard input says; leave when it ends."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        if line.strip() == b"go":
            handlers.gate.set()
    os._exit(3)


async def until_table_is_there(queue: JobQueue, engine: AsyncEngine) -> None:
    """What a supervisor does: a worker that is started while the server is down ends, and is started again."""
    while True:
        try:
            await check_table(queue, engine)
            return
        except Exception as exc:
            log.info("cannot start: %s", exc)
            await asyncio.sleep(0.1)


async def main(orders: Orders) -> None:
    handlers, stop = Handlers(orders), asyncio.Event()
    obeying = asyncio.create_task(obey(handlers))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    engine = create_engine(orders.url, pool_size=10, pooler=orders.is_pooled, application_name=orders.name)
    queue = make_queue(
        lease=timedelta(seconds=orders.lease_seconds),
        max_rescues=orders.max_rescues,
        retry=RetryPolicy(max_retries=3, base_delay=timedelta(seconds=orders.retry_seconds)),
    )
    listener = None
    if orders.listen_url is not None:
        dsn = parse_database_url(orders.listen_url).set(drivername="postgresql").render_as_string(hide_password=False)
        listener = Listener(dsn, probe_seconds=orders.probe_seconds)
    loop = JobLoop(
        queue,
        handlers.in_form(orders.form),
        session_factory=async_sessionmaker(engine, expire_on_commit=False),
        batch_size=orders.batch_size,
        concurrency=orders.concurrency,
        poll_seconds=orders.poll_seconds,
        grace_seconds=orders.grace_seconds,
        wake=listener.wake_event(queue) if listener else None,
    )
    say("ready", time.time())
    await until_table_is_there(queue, engine)
    if listener:
        async with listener:
            report = await loop.run(stop)
    else:
        report = await loop.run(stop)
    say("report", json.dumps(report.as_dict()))
    obeying.cancel()
    await engine.dispose()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    asyncio.run(main(Orders(**json.loads(sys.argv[1]))))
