"""OwnersPull: the people and queues that records are assigned to, live and archived, HubSpot → `hubspot.owners`.

There is no search for changed owners, so every run lists all of them, 500 a call, and writes those that differ. They
are held in memory until then: an account has as many as it has users.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from crm_sync.hubspot import HubSpotClient, Owner
from crm_sync.models.marketing import owners
from crm_sync.pull.cursor import Cursors
from crm_sync.pull.hubspot_clock import hubspot_now
from crm_sync.pull.others.lenient import json_text, moment, number, text
from crm_sync.pull.others.paging import pages
from crm_sync.pull.others.parts import held
from crm_sync.pull.others.rows import Row, RowWriter, step
from crm_sync.pull.report import Observer, StreamReport, counted
from crm_sync.pull.wish import Wish


class OwnersPull:
    def __init__(self, client: HubSpotClient, engine: AsyncEngine, cursors: Cursors) -> None:
        self._client = client
        self._engine = engine
        self._cursors = cursors

    async def run(self, wish: Wish, report: StreamReport, observe: Observer) -> None:
        """List and write. Raises HubSpotError, StreamBusyError, StreamLostError, and nothing is written."""
        report.wants, report.is_dry_run = wish.wants.value, wish.dry_run
        writer = RowWriter(owners, dry_run=wish.dry_run)
        with counted(report, observe) as show:
            async with held(self._cursors, report.stream, wish) as cursor:
                report.doing = "list"
                listed = await self._listed(report, show)
                now = await hubspot_now(self._client)
                async with self._engine.connect() as connection:
                    gone = await writer.others(connection, list(listed))
                if gone:
                    # Archived or restored between the two listings, an owner stands in neither: look again.
                    listed |= await self._listed(report, show)
                async with step(self._engine, cursor, dry_run=wish.dry_run, **_moves(now)) as connection:
                    counts = await writer.put(connection, list(listed.values()))
                    dropped = await self._drop_others(connection, writer, list(listed))
            counts.add_to(report)
            report.removed += dropped

    async def _listed(self, report: StreamReport, show: Observer) -> dict[int, Row]:
        """Rows by id. The live ones first: one that is archived meanwhile comes with the archived ones."""
        found: dict[int, Row] = {}
        for archived in (False, True):
            async for page in pages(partial(self._client.list_owners, archived=archived)):
                report.pages += 1
                report.fetched += len(page.owners)
                for owner in page.owners:
                    if (id_ := number(owner.id)) is None:
                        report.note(f"An owner's id is {owner.id!r}, no number: it was left out.")
                    else:
                        found[id_] = _row(id_, owner)
                show(report)
        return found

    @staticmethod
    async def _drop_others(connection: AsyncConnection, writer: RowWriter, listed: list[int]) -> int:
        gone = await writer.others(connection, listed)
        return (await writer.drop(connection, gone)).removed


def _moves(now: datetime) -> Mapping[str, Any]:
    return {"synced_to": now, "full_at": now}


def _row(id_: int, owner: Owner) -> Row:
    return {
        "hubspot_id": id_,
        "user_id": number(owner.user_id),
        "email": text(owner.email),
        "first_name": text(owner.first_name),
        "last_name": text(owner.last_name),
        "archived": owner.archived,
        "created_at": moment(owner.created_at),
        "updated_at": moment(owner.updated_at),
        "raw": json_text(owner.raw),
    }
