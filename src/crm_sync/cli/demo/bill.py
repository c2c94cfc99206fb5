"""Bill: what the demo's push came to, counted from the rows themselves."""

from dataclasses import dataclass
from uuid import UUID

import sqlalchemy as sa

from crm_sync.models import Contact, CRMProcessingStatus
from crm_sync.operate import queue_errors
from crm_sync.runtime import Runtime

_GROUPS, _EXAMPLES = 8, 2


@dataclass(frozen=True, slots=True)
class Failure:
    """Contacts that failed with the same words; `examples` are their e-mail addresses as the table has them."""

    rows: int
    error: str
    examples: tuple[str, ...]


@dataclass(slots=True)
class Bill:
    """`retried` contacts are complete, but not at the first attempt. `calls` are those that reached HubSpot."""

    completed: int
    failed: int
    retried: int
    seconds: float
    failures: tuple[Failure, ...]
    calls: int = 0
    in_hubspot: int = 0

    @property
    def total(self) -> int:
        return self.completed + self.failed

    @property
    def per_second(self) -> float:
        return self.total / self.seconds if self.seconds else 0.0

    @property
    def calls_per_100(self) -> float:
        return 100 * self.calls / self.total if self.total else 0.0


async def count_up(runtime: Runtime, seconds: float) -> Bill:
    """From the table, once everything is settled."""
    is_complete = Contact.hubspot_processing_status == CRMProcessingStatus.Complete
    is_error = Contact.hubspot_processing_status == CRMProcessingStatus.Error
    count = sa.func.count()
    async with runtime.engine.connect() as connection:
        completed, failed, retried = (
            await connection.execute(
                sa.select(
                    count.filter(is_complete),
                    count.filter(is_error),
                    count.filter(is_complete, Contact.retry_count > 0),
                )
            )
        ).one()
        groups = await queue_errors(runtime.engine, runtime.contact_queue(), _GROUPS)
        failures = []
        for group in groups:
            chosen = Contact.id.in_([UUID(example) for example in group.examples])
            rows = await connection.execute(
                sa.select(Contact.email, Contact.name).where(chosen).order_by(Contact.id).limit(_EXAMPLES)
            )
            failures.append(Failure(group.rows, group.error, tuple(_example(*row) for row in rows)))
    return Bill(completed, failed, retried, seconds, tuple(failures))


def _example(email: str | None, name: str | None) -> str:
    return repr(email) if email is not None else f"(no address) {name or ''}"
