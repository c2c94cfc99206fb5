"""Is the process alive, and can it do its work? For load balancers and orchestrators."""

import asyncio
from typing import Any

from fastapi import APIRouter

from crm_sync import migrate
from crm_sync.errors import DatabaseError
from crm_sync.web.problems import Problem
from crm_sync.web.room import RoomDep

router = APIRouter(tags=["health"])

_READY_WITHIN_SECONDS = 3.0


@router.get("/health")
async def health() -> dict[str, str]:
    """The process lives and answers. Says nothing about the database: a restart would not mend that."""
    return {"status": "ok"}


@router.get("/ready", response_model=None, responses={503: {"description": "Not ready, and why."}})
async def ready(room: RoomDep) -> dict[str, Any] | Problem:
    """The database answers and is at the revision of this release."""
    wanted = migrate.head()
    try:
        async with asyncio.timeout(_READY_WITHIN_SECONDS):
            found = await migrate.current(room.runtime.engine)
    except DatabaseError as exc:
        return Problem(503, str(exc), instance="/ready")
    except TimeoutError:
        return Problem(503, f"The database gave no answer in {_READY_WITHIN_SECONDS:g} seconds.", instance="/ready")
    if found != wanted:
        words = f"The database is at revision {found or '(none)'}, this release needs {wanted}."
        return Problem(503, words, instance="/ready")
    return {"status": "ready", "revision": found, "scheduled": [job.name for job in room.jobs]}
