"""Push one contact now, by hand, without ever running beside a worker on the same row.

The contact is queued like any other and then claimed and settled by a loop that sees no other row. So a worker that
holds it keeps it, a worker that is quicker does the work, and a crash here leaves a Queued row for the scheduler.
"""

import asyncio
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from crm_sync.database import database_errors
from crm_sync.errors import CrmSyncError, QueuePausedError
from crm_sync.models import Contact, CRMProcessingStatus, CRMSyncStatus
from crm_sync.push import PushAnswer
from crm_sync.runtime import Runtime
from jobloop import Control, Outcome

#: What a person wants to see of a contact, in this order.
SHOWN = (
    "email",
    "name",
    "phone_number",
    "hubspot_sync_status",
    "hubspot_processing_status",
    "hubspot_processing_error",
    "hubspot_contact_id",
    "retry_count",
    "next_retry_at",
)
_ELSEWHERE_SECONDS, _POLL_SECONDS = 120.0, 0.2


class UnknownContactError(CrmSyncError):
    exit_code = 5


class ContactBusyError(CrmSyncError):
    """A worker holds the contact right now."""

    exit_code = 6


@dataclass(frozen=True, slots=True)
class PushedContact:
    """`answer` is None when a running application was quicker and pushed the contact itself."""

    before: dict[str, Any]
    after: dict[str, Any]
    answer: PushAnswer | None

    @property
    def is_complete(self) -> bool:
        return bool(self.after["hubspot_processing_status"] is CRMProcessingStatus.Complete)


async def push_now(runtime: Runtime, contact_id: UUID) -> PushedContact:
    """HubSpot's no is an answer.

    Raises TokenMissingError, UnknownContactError, QueuePausedError, ContactBusyError, DatabaseError.
    """
    service = runtime.contact_push
    before = await _row(runtime, contact_id)
    async with database_errors(runtime.url):
        pause = await Control(runtime.contact_queue(), runtime.engine).paused()
    if pause is not None:
        raise QueuePausedError(
            f"The queue is paused since {pause.paused_at:%Y-%m-%d %H:%M %Z} ({pause.paused_by}): {pause.reason} "
            "Nothing was changed. `crm-sync queue resume` lets it run again."
        )
    if not await _enqueue(runtime, contact_id):
        raise ContactBusyError(
            f"Contact {contact_id} is being pushed by a worker right now. Nothing was changed; look again in a moment."
        )
    answers: list[PushAnswer] = []

    async def push(rows: list[Any]) -> dict[UUID, Outcome]:
        (row,) = rows
        answers.append(await service.push_one(row))
        return {row.id: answers[0].outcome}

    await runtime.contact_loop(only=contact_id, handler=push).run_once()
    after = await (_row(runtime, contact_id) if answers else _settled_elsewhere(runtime, contact_id))
    return PushedContact(before, after, answers[0] if answers else None)


async def _row(runtime: Runtime, contact_id: UUID) -> dict[str, Any]:
    columns = [getattr(Contact, name) for name in SHOWN]
    async with database_errors(runtime.url), runtime.sessions() as session:
        row = (await session.execute(sa.select(*columns).where(Contact.id == contact_id))).mappings().one_or_none()
    if row is None:
        raise UnknownContactError(f"There is no contact {contact_id} in this database.")
    return dict(row)


async def _enqueue(runtime: Runtime, contact_id: UUID) -> bool:
    """Queue the contact as a fresh request, unless a worker holds it."""
    is_free = sa.or_(
        Contact.hubspot_claim_token.is_(None), Contact.hubspot_lease_expires_at < sa.func.statement_timestamp()
    )
    statement = (
        sa.update(Contact)
        .where(Contact.id == contact_id, is_free)
        .values(
            hubspot_processing_status=CRMProcessingStatus.Queued,
            hubspot_sync_status=CRMSyncStatus.Queued,
            next_retry_at=None,
            updated_at=Contact.updated_at,  # the contact itself does not change
        )
        .returning(Contact.id)
    )
    async with database_errors(runtime.url), runtime.sessions.begin() as session:
        return (await session.execute(statement)).one_or_none() is not None


async def _settled_elsewhere(runtime: Runtime, contact_id: UUID) -> dict[str, Any]:
    """The row once the worker that was quicker has settled it."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _ELSEWHERE_SECONDS
    while loop.time() < deadline:
        row = await _row(runtime, contact_id)
        is_retry = row["next_retry_at"] is not None
        if is_retry or row["hubspot_processing_status"] in (CRMProcessingStatus.Complete, CRMProcessingStatus.Error):
            return row
        await asyncio.sleep(_POLL_SECONDS)
    raise ContactBusyError(
        f"A running application took contact {contact_id} first and still holds it after {_ELSEWHERE_SECONDS:.0f} "
        "seconds. It will settle it."
    )
