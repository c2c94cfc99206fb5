"""Users, operators and killers against four workers, at random and all at once: `python -m tests.faults.chaos`.

CHAOS_SECONDS (300) says how long, CHAOS_SEED repeats the draws of a run (not the timing of its processes). Prints the
seed first and the oracle's counts at the end; the exit status is 1 if a promise was broken.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import asyncpg

from tests.faults.jobs import BROKEN, FORMS, Table
from tests.faults.oracle import judge
from tests.faults.processes import Crowd, WorkerProcess, eventually
from tests.faults.runs import Verdict
from tests.faults.worker import Orders

_AGAIN = (*BROKEN, asyncpg.DeadlockDetectedError)


@dataclass(frozen=True)
class Plan:
    """How much of what. Stops after `seconds` or `operations` of the users, whichever comes first."""

    seed: int
    seconds: float
    operations: int | None = None
    form: str = "each"
    workers: int = 4
    users: int = 3
    rows: int = 150
    lease_seconds: float = 1.5
    kill_every_seconds: float = 1.5
    freeze_every_seconds: float = 3.0
    user_pause_seconds: float = 0.0
    settle_within_seconds: float = 60.0


class Chaos:
    def __init__(self, table: Table, plan: Plan, crowd: Crowd, *, url: str | None = None, is_pooled: bool = False):
        self.table = table
        self.plan = plan
        self.crowd = crowd
        self.counts: Counter[str] = Counter()
        self.restart: Any = None  # an async function that stops and starts a server in the workers' way
        self.restart_every_seconds = 5.0
        self.environments: list[dict[str, str]] = []  # of the workers, in turn
        self._url, self._is_pooled = url or table.url, is_pooled
        self._dice = random.Random(plan.seed)
        self._started = 0
        self._next_job = plan.rows + 1
        self._over = asyncio.Event()
        self._begun_at = time.monotonic()
        self._living: list[WorkerProcess] = []

    async def run(self) -> Verdict:
        """Everything at once; then the users stop, the workers finish what is left, and the oracle judges."""
        plan = self.plan
        await self.table.enqueue(plan.rows)
        self._living = list(await asyncio.gather(*(self._worker() for _ in range(plan.workers))))
        self._begun_at = time.monotonic()
        users = [Table(self.table.url, who=f"user {n}") for n in range(plan.users)]
        async with asyncio.TaskGroup() as group:
            killers = [group.create_task(self._kill()), group.create_task(self._freeze())]
            if self.restart is not None:
                killers.append(group.create_task(self._restart()))
            async with asyncio.TaskGroup() as busy:
                for user in users:
                    busy.create_task(self._use(user, random.Random(self._dice.random())))
            self._over.set()
            await asyncio.gather(*killers)
        for user in users:
            await user.close()
        try:
            await eventually(self._is_done, "nothing is left to do", within_seconds=plan.settle_within_seconds)
        except AssertionError as exc:
            raise AssertionError(f"{exc}\n{await self._what_is_left()}") from None
        await asyncio.gather(*(worker.stop() for worker in self._living))
        for worker in self.crowd.workers:
            self.counts.update(worker.complaints)
        verdict = await judge(self.table, form=plan.form)
        verdict.counts.update(self.counts)
        return verdict

    # -- users ----------------------------------------------------------------------------------------------------

    async def _use(self, user: Table, dice: random.Random) -> None:
        while not self._is_enough():
            try:
                await self._operate(user, dice)
                self.counts["operations"] += 1
            except _AGAIN as exc:
                self.counts[f"operations that failed: {type(exc).__name__}"] += 1
                await asyncio.sleep(0.02)
            await asyncio.sleep(dice.uniform(0, 2 * self.plan.user_pause_seconds))

    async def _operate(self, user: Table, dice: random.Random) -> None:
        """One statement, as any SQL client would send it."""
        job_id = dice.randint(max(1, self._next_job - 2 * self.plan.rows), self._next_job)
        drawn = dice.random()
        if drawn < 0.40:
            await user.sql("UPDATE jobs SET status = 'Queued' WHERE id = $1", job_id)
        elif drawn < 0.55:
            await user.sql("UPDATE jobs SET status = 'Queued', revision = revision + 1 WHERE id = $1", job_id)
        elif drawn < 0.62:
            ids = [dice.randint(1, self._next_job) for _ in range(10)]
            await user.sql("UPDATE jobs SET status = 'Queued' WHERE id = ANY($1::int[])", ids)
        elif drawn < 0.72:
            await user.sql("UPDATE jobs SET revision = revision + 1 WHERE id = $1", job_id)
        elif drawn < 0.82:
            await user.sql("UPDATE jobs SET status = $2 WHERE id = $1", job_id, dice.choice([None, "Skipped"]))
        elif drawn < 0.90:
            await user.sql("DELETE FROM jobs WHERE id = $1", job_id)
        else:
            self._next_job += 1
            await user.sql("INSERT INTO jobs (id, status) VALUES ($1, 'Queued')", self._next_job)

    def _is_enough(self) -> bool:
        done = self.counts["operations"]
        too_many = self.plan.operations is not None and done >= self.plan.operations
        return too_many or time.monotonic() - self._begun_at > self.plan.seconds

    # -- what befalls the workers ---------------------------------------------------------------------------------

    async def _kill(self) -> None:
        while await self._live_on(self.plan.kill_every_seconds):
            victim = self._dice.randrange(len(self._living))
            await self._living[victim].kill()
            self.counts["kills"] += 1
            self._living[victim] = await self._worker()

    async def _freeze(self) -> None:
        while await self._live_on(self.plan.freeze_every_seconds):
            victim = self._dice.choice(self._living)
            if not victim.is_running:
                continue
            victim.send_stop()
            self.counts["freezes past the lease"] += 1
            await asyncio.sleep(self.plan.lease_seconds * 1.5)  # real time is the fault here
            if victim.is_running:
                victim.thaw()

    async def _restart(self) -> None:
        while await self._live_on(self.restart_every_seconds):
            self.counts[await self.restart(self._dice)] += 1

    async def _live_on(self, every_seconds: float) -> bool:
        """Wait a random while; False when it is over."""
        try:
            async with asyncio.timeout(self._dice.uniform(0.5, 1.5) * every_seconds):
                await self._over.wait()
        except TimeoutError:
            return True
        return False

    async def _worker(self) -> WorkerProcess:
        self._started += 1
        environment = self.environments[self._started % len(self.environments)] if self.environments else None
        return await self.crowd.start(
            Orders(
                name=f"worker {self._started}",
                url=self._url,
                oracle_url=self.table.url,
                listen_url=self.table.url if self._started % 2 else None,
                form=self.plan.form,
                dice=True,
                seed=self._dice.randrange(1 << 30),
                longest_ms=8.0,
                lease_seconds=self.plan.lease_seconds,
                max_rescues=1_000_000,
                retry_seconds=0.05,
                batch_size=8,
                concurrency=4,
                is_pooled=self._is_pooled,
            ),
            environment=environment,
        )

    async def _is_done(self) -> bool:
        try:
            return not await self.table.value(
                "SELECT count(*) FROM jobs WHERE status IN ('Queued', 'Processing') OR lease_expires_at > now()"
            )
        except _AGAIN:
            return False

    async def _what_is_left(self) -> str:
        rows = await self.table.sql("SELECT * FROM jobs WHERE status IN ('Queued', 'Processing') LIMIT 3")
        sessions = await self.table.sql(
            "SELECT application_name, state, wait_event, xact_start, query FROM pg_stat_activity "
            "WHERE datname = current_database()"
        )
        workers = [
            f"{worker.orders.name} {'runs' if worker.is_running else 'is gone'}:\n{worker.log_text()[-1500:]}"
            for worker in self._living
        ]
        return "\n".join([*map(str, rows), *map(str, sessions), *workers])


async def _long_run() -> int:
    """Every form in turn on a private server, which is stopped and started all the while."""
    from tests.faults.server import PrivateServer

    seed = int(os.environ.get("CHAOS_SEED") or random.SystemRandom().randrange(1 << 31))
    seconds = float(os.environ.get("CHAOS_SECONDS") or 300)
    print(f"CHAOS_SEED={seed} CHAOS_SECONDS={seconds:g}", flush=True)
    total, broken = Counter[str](), 0
    forms = os.environ["CHAOS_FORMS"].split(",") if os.environ.get("CHAOS_FORMS") else FORMS
    plan = Plan(seed=seed, seconds=seconds / len(forms), user_pause_seconds=0.005, settle_within_seconds=120)
    with TemporaryDirectory(prefix="jobloop-chaos-") as folder:
        await asyncio.to_thread(Path(folder).chmod, 0o755)
        async with PrivateServer(Path(folder)) as server:
            for form in forms:
                table = await Table.create(await server.fresh_database())
                crowd = Crowd()
                chaos = Chaos(table, replace(plan, form=form), crowd)
                chaos.restart, chaos.restart_every_seconds = server.restart_somehow, 10.0
                try:
                    verdict = await chaos.run()
                finally:
                    await crowd.close()
                print(f"\n{form}: {verdict}", flush=True)
                total += verdict.counts
                broken += len(verdict.violations)
                await table.close()
    print("\ntotal")
    for name, count in sorted(total.items()):
        print(f"  {name:40} {count:>9,}")
    print(f"  {'promises broken':40} {broken:>9,}", flush=True)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(_long_run()))
