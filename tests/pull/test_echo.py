"""An own write moves the cursor (echo): what was pushed comes back once, and changes nothing of the user's."""

from __future__ import annotations

from tests.faults.hubspot_push import push_to
from tests.pull.pulling import Pulls

_OWN = "SELECT * FROM contacts ORDER BY id"


async def test_own_pushes_do_not_echo(pulls: Pulls) -> None:
    url = pulls.engine.url.render_as_string(hide_password=False)
    async with push_to(pulls.emulator, url) as push:
        await pulls.full("contacts")  # after the properties were made that a push writes
        await pulls.sql(
            "INSERT INTO contacts (email, name, hubspot_processing_status)"
            " SELECT format('a%s@example.com', n), 'Ada Lovelace', 'Queued' FROM generate_series(1, 150) AS n"
        )
        await push.until_settled()
        before = await pulls.sql(_OWN)
        report = (await pulls.changes("contacts"))["contacts"]
        assert report.inserted == 150
        await pulls.assert_equal("contacts")
        assert await pulls.sql(_OWN) == before
        assert (await push.drain()).claimed == 0

        rows = await pulls.sql("SELECT hubspot_id, synced_at FROM hubspot.contacts ORDER BY 1")
        report = (await pulls.changes("contacts"))["contacts"]
        assert (report.inserted, report.updated, report.associations) == (0, 0, 0)
        assert await pulls.sql("SELECT hubspot_id, synced_at FROM hubspot.contacts ORDER BY 1") == rows
        await pulls.let_time_pass(600)
        await pulls.changes("contacts")
        report = (await pulls.changes("contacts"))["contacts"]
        assert report.fetched == 0
        assert await pulls.sql(_OWN) == before
