"""Room: what the running web application holds, for its endpoints to ask."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from fastapi import Depends, Request
from prometheus_client import CollectorRegistry

from crm_sync.runtime import Runtime
from jobloop import CycleReport
from jobloop.scheduler import ScheduledLoop


@dataclass(frozen=True, slots=True)
class LastCycle:
    """The newest cycle of a queue that claimed rows, and when it ended."""

    report: CycleReport
    ended_at: datetime

    def as_dict(self) -> dict[str, Any]:
        numbers = {name: value for name, value in self.report.as_dict().items() if name != "queue"}
        return {"ended_at": self.ended_at.isoformat(), **numbers}


class LastCycles:
    """An observer that remembers the last cycle of each queue."""

    def __init__(self) -> None:
        self._by_queue: dict[str, LastCycle] = {}

    def __call__(self, report: CycleReport) -> None:
        if report.claimed:
            self._by_queue[report.queue] = LastCycle(report, datetime.now(UTC))

    def of(self, queue: str) -> LastCycle | None:
        return self._by_queue.get(queue)

    def __iter__(self) -> Iterator[LastCycle]:
        return iter(self._by_queue.values())


@dataclass(slots=True)
class Room:
    """One application's parts. `jobs` holds a queue's job only when it was registered with the scheduler."""

    runtime: Runtime
    scheduler: AsyncIOScheduler
    registry: CollectorRegistry
    last_cycles: LastCycles
    jobs: list[ScheduledLoop] = field(default_factory=list)

    def next_run_at(self, queue: str) -> datetime | None:
        """When the queue's next cycle starts; None when it has no job."""
        job = self.scheduler.get_job(queue)
        return job.next_run_time if job else None


def room_of(request: Request) -> Room:
    room: Room = request.app.state.room
    return room


RoomDep = Annotated[Room, Depends(room_of)]
