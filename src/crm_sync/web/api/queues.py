"""The queues as JSON: how much waits, what fails, what the last cycle did."""

from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query

from crm_sync.operate import queue_errors, queue_status
from crm_sync.web.room import Room, RoomDep
from jobloop import JobQueue

router = APIRouter(prefix="/api/queues", tags=["queues"])


@router.get("")
async def list_queues(room: RoomDep) -> dict[str, Any]:
    """Every queue with its counts now."""
    return {"queues": [await _shown(room, queue) for queue in room.runtime.queues.values()]}


@router.get("/{name}")
async def get_queue(name: str, room: RoomDep) -> dict[str, Any]:
    """One queue with its counts now."""
    return await _shown(room, _named(room, name))


@router.get("/{name}/errors")
async def get_errors(name: str, room: RoomDep, most: Annotated[int, Query(ge=1, le=1000)] = 20) -> dict[str, Any]:
    """The commonest error texts of rows in Error or waiting for a retry, with up to three ids each."""
    groups = await queue_errors(room.runtime.engine, _named(room, name), most)
    return {"queue": name, "errors": [group.as_dict() for group in groups]}


def _named(room: Room, name: str) -> JobQueue:
    queues = room.runtime.queues
    if name not in queues:
        raise HTTPException(404, f"There is no queue {name!r}; there are: {', '.join(queues)}.")
    return queues[name]


async def _shown(room: Room, queue: JobQueue) -> dict[str, Any]:
    status = await queue_status(room.runtime.engine, queue)
    next_run_at = room.next_run_at(queue.name)
    last_cycle = room.last_cycles.of(queue.name)
    return {
        **status.as_dict(),
        "scheduled": any(job.name == queue.name for job in room.jobs),
        "next_run_at": next_run_at.isoformat() if next_run_at else None,
        "last_cycle": last_cycle.as_dict() if last_cycle else None,
    }
