"""A push by hand and the workers of a running application never work on the same contact at once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import make_url

from crm_sync.push_now import ContactBusyError, push_now
from crm_sync.runtime import Runtime
from hubspot_emulator import EmulatorServer
from jobloop import CycleReport, JobLoop
from tests.application import Contacts, make_settings


class BeatenRuntime(Runtime):
    """Here a worker of the application always claims between the queueing and our own claim."""

    def contact_loop(self, **options: Any) -> JobLoop:
        ours, worker = super().contact_loop(**options), super().contact_loop()

        async def beaten() -> CycleReport:
            await worker.run_once()
            return await JobLoop.run_once(ours)

        ours.run_once = beaten  # type: ignore[method-assign]
        return ours


@pytest.fixture
async def runtime(migrated_url: str, hubspot: EmulatorServer) -> AsyncIterator[Runtime]:
    runtime = BeatenRuntime(make_settings(migrated_url, hubspot), make_url(migrated_url))
    yield runtime
    await runtime.aclose()


async def test_a_worker_that_is_quicker_does_the_push_and_its_result_is_shown(
    runtime: Runtime, contacts: Contacts, hubspot: EmulatorServer
) -> None:
    await contacts.add(1, queued=False)
    row = await contacts.only()
    pushed = await push_now(runtime, row["id"])
    assert pushed.answer is None
    assert pushed.is_complete
    assert pushed.before["hubspot_contact_id"] is None
    assert pushed.after["hubspot_contact_id"] is not None
    assert len(hubspot.calls("objects.batch_upsert")) == 1


async def test_a_contact_that_was_queued_again_while_a_worker_holds_it_is_left_to_that_worker(
    runtime: Runtime, contacts: Contacts
) -> None:
    await contacts.add(1)
    await contacts.execute(
        "UPDATE contacts SET hubspot_claim_token = gen_random_uuid(), "
        "hubspot_lease_expires_at = now() + interval '1 minute'"
    )
    row = await contacts.only()
    with pytest.raises(ContactBusyError, match="is being pushed by a worker right now"):
        await push_now(runtime, row["id"])
