"""deliver: rows to HubSpot, an outcome for each row.

    rows ─ plan ─┬─ updates by record id ──┬─ batches of 100 ─ match ─┬─ done   → Complete, with the record id
                 ├─ upserts by unique key ─┘                          ├─ failed → Fail, Retry, or mended alone
                 └─ refused → Fail                                    └─ lost   → Retry

Updates go first: an e-mail that an update gives up may be the one that an upsert takes. Each call has outcomes of
its own, so that a failing call takes none from the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any
from uuid import UUID

from crm_sync.hubspot.client import HubSpotClient
from crm_sync.hubspot.objects import BATCH_SIZE
from crm_sync.push.lane import Settled, Updates, Upserts
from crm_sync.push.mappings import ObjectMapping
from crm_sync.push.plan import Write, plan_writes
from jobloop.outcome import Outcome


async def deliver(
    client: HubSpotClient, mapping: ObjectMapping, rows: Iterable[Any], day: date
) -> Mapping[UUID, Outcome]:
    """Write `rows` to HubSpot. The answer has one outcome for every row's `id`, in no promised order.

    `Complete.values` holds the record's id under `mapping.id_column`. Writing again what was written before changes
    nothing but dates, so a delivery whose outcomes were lost may be repeated.
    """
    plan = plan_writes(mapping, rows, day)
    settled = Settled(mapping, dict(plan.refused))
    updates = Updates(client, mapping, settled)
    for writes in _batches(plan.updates):
        await updates.send(writes)
    await updates.finish()
    upserts = Upserts(client, mapping, settled)
    for writes in _batches((*plan.upserts, *updates.gone)):
        await upserts.send(writes)
    return settled.outcomes


def _batches(writes: Sequence[Write]) -> Iterable[Sequence[Write]]:
    return (writes[start : start + BATCH_SIZE] for start in range(0, len(writes), BATCH_SIZE))
