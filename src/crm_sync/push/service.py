"""ContactPushService: the face of the push that the queue and the commands use."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from crm_sync.hubspot.client import HubSpotClient
from crm_sync.hubspot.errors import HubSpotError
from crm_sync.hubspot.objects import Record
from crm_sync.push.deliver import deliver
from crm_sync.push.mappings import PropertyNames, UnmappableRow, contact_mapping, utc_today
from jobloop.outcome import Complete, Outcome


@dataclass(frozen=True, slots=True)
class PushAnswer:
    """What one contact's push came to.

    sent    the properties that were sent; empty when the row could not become a contact
    record  the contact as HubSpot holds it afterwards; None unless `outcome` is Complete and it could be read
    """

    outcome: Outcome
    sent: Mapping[str, str]
    record: Record | None = None


class ContactPushService:
    """Pushes rows of the contacts table. Any object with the model's column names as attributes is a row."""

    def __init__(
        self,
        client: HubSpotClient,
        property_names: PropertyNames | None = None,
        *,
        today: Callable[[], date] = utc_today,
    ) -> None:
        self._client = client
        self._mapping = contact_mapping(property_names or PropertyNames())
        self._today = today

    async def process_batch(self, rows: Sequence[Any]) -> Mapping[UUID, Outcome]:
        """The outcome of every row, by id: a handler for `jobloop`'s batch form.

        Up to 100 rows cost one call, or two when some of them are known to HubSpot and some are not.
        """
        return await deliver(self._client, self._mapping, rows, self._today())

    async def push_one(self, row: Any) -> PushAnswer:
        """Push one row now and read back what HubSpot made of it."""
        day = self._today()
        try:
            sent = self._mapping.properties(row, day)
        except UnmappableRow:
            sent = {}
        outcome = (await deliver(self._client, self._mapping, [row], day))[row.id]
        if not isinstance(outcome, Complete):
            return PushAnswer(outcome, sent)
        record_id = str(outcome.values[self._mapping.id_column])
        try:
            record = await self._client.get(self._mapping.object_type, record_id, properties=sorted(sent))
        except HubSpotError:
            # The push is done and its outcome stands; only the look at it failed, and the client logged why.
            return PushAnswer(outcome, sent)
        return PushAnswer(outcome, sent, record)
