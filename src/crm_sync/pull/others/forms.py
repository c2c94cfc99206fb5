"""FormsPull: forms and what was submitted to them, HubSpot → `hubspot.forms` and `hubspot.form_submissions`.

    list all forms and write those that differ; a form that HubSpot no longer lists goes
    → look at the submissions of several forms at once
    → link submissions to contacts by e-mail, also those of earlier runs: a contact may have been pulled since

The submissions of a form that went stay: HubSpot shows them nowhere else any more.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from sqlalchemy.ext.asyncio import AsyncEngine

from crm_sync.hubspot import Form, HubSpotClient, HubSpotError
from crm_sync.hubspot.errors import MalformedAnswer, NotFound, Rejected, ServerFault, ValidationFailed
from crm_sync.models.marketing import forms
from crm_sync.pull.cursor import Cursor, Cursors
from crm_sync.pull.hubspot_clock import hubspot_now
from crm_sync.pull.mirror.values import storable
from crm_sync.pull.others import statements
from crm_sync.pull.others.lenient import json_text, moment, text
from crm_sync.pull.others.paging import pages
from crm_sync.pull.others.parts import Parts, held
from crm_sync.pull.others.rows import Row, RowWriter, step
from crm_sync.pull.others.side_by_side import side_by_side
from crm_sync.pull.others.submissions import LOOK_BACK, SubmissionsPull
from crm_sync.pull.report import Observer, StreamReport, counted
from crm_sync.pull.wish import Wish

#: Forms that are looked at at once. The rate limiter has the last word.
AT_ONCE: Final = 8

#: One form's own trouble, which is no reason to leave the others.
_OF_ONE_FORM = (MalformedAnswer, Rejected, ServerFault, ValidationFailed)


class FormsPull:
    def __init__(self, client: HubSpotClient, engine: AsyncEngine, cursors: Cursors, *, at_once: int = AT_ONCE) -> None:
        self._client = client
        self._engine = engine
        self._cursors = cursors
        self._at_once = at_once

    async def run(self, wish: Wish, report: StreamReport, observe: Observer) -> None:
        """Raises HubSpotError, also for single forms once all others are done; StreamBusyError, StreamLostError."""
        report.wants, report.is_dry_run = wish.wants.value, wish.dry_run
        with counted(report, observe) as show:
            async with held(self._cursors, report.stream, wish) as cursor:
                listed = await self._forms(cursor, wish, report, show)
                await self._submissions(listed, cursor, wish, report, show)

    # -- forms ----------------------------------------------------------------------------------------------------

    async def _forms(self, cursor: Cursor, wish: Wish, report: StreamReport, show: Observer) -> list[str]:
        """Bring the forms here; returns their ids."""
        report.doing = "forms"
        writer = RowWriter(forms, dry_run=wish.dry_run)
        listed = await self._listed(report, show)
        async with self._engine.connect() as connection:
            gone = await writer.others(connection, list(listed))
        if gone:
            # One that was deleted while the list was read moves the others on, so that one may have been skipped.
            listed |= await self._listed(report, show)
        async with step(self._engine, cursor, dry_run=wish.dry_run) as connection:
            counts = await writer.put(connection, list(listed.values()))
            gone = await writer.others(connection, list(listed))
            dropped = await writer.drop(connection, gone)
            if gone and not wish.dry_run:  # should it come back, it is read from scratch
                await Parts(self._engine, cursor, dry_run=False).forget(connection, gone)
        counts.add_to(report)
        dropped.add_to(report)
        show(report)
        return list(listed)

    async def _listed(self, report: StreamReport, show: Observer) -> dict[str, Row]:
        found: dict[str, Row] = {}
        async for page in pages(self._client.list_forms):
            report.pages += 1
            report.fetched += len(page.forms)
            found |= {storable(form.id): _row(form) for form in page.forms}
            show(report)
        return found

    # -- submissions ----------------------------------------------------------------------------------------------

    async def _submissions(
        self, form_ids: list[str], stream: Cursor, wish: Wish, report: StreamReport, show: Observer
    ) -> None:
        report.doing = "submissions"
        now = await hubspot_now(self._client)
        parts = Parts(self._engine, stream, dry_run=wish.dry_run)
        full = await parts.from_scratch(wish)
        looks_back = wish.since is None and (wish.catch_up or _looked_back_at(stream) + LOOK_BACK <= now)
        failed: list[HubSpotError] = []
        async with parts.taken(form_ids) as cursors:
            pull = SubmissionsPull(
                self._client,
                self._engine,
                wish,
                report,
                show,
                now=now,
                full=full,
                looks_back=looks_back,
            )

            async def look(form_id: str) -> None:
                try:
                    await pull.run(form_id, cursors[form_id])
                except NotFound:
                    report.note(f"The form {form_id} was deleted while it was read.")
                except _OF_ONE_FORM as error:
                    failed.append(error)
                    report.note(f"The submissions of the form {form_id} cannot be read: {error.summary}")

            # Those that never came to the end first: a run that the daily limit cuts off gets on all the same.
            unfinished_first = sorted(form_ids, key=lambda one: cursors[one].synced_to is not None)
            await side_by_side(unfinished_first, look, at_once=self._at_once)
        await self._link(stream, wish, report)
        if failed:
            raise failed[0]
        moves = parts.finished(full=full, synced_to=now)
        if looks_back:
            moves["position"] = {"looked_back_at": now.isoformat()}
        async with step(self._engine, stream, dry_run=wish.dry_run, **moves):
            pass

    async def _link(self, stream: Cursor, wish: Wish, report: StreamReport) -> None:
        if wish.dry_run:
            return
        report.doing = "links"
        async with step(self._engine, stream, dry_run=False) as connection:
            await connection.execute(statements.unlink_submissions())
            linked = (await connection.execute(statements.link_submissions())).rowcount
        report.associations += linked
        if linked:
            report.note(f"Submissions that were linked to their contacts: {linked:,}.")


def _looked_back_at(stream: Cursor) -> datetime:
    """When a run last came through that looked for submissions with a time of long ago; long ago for never."""
    said = stream.position.get("looked_back_at")
    return datetime.fromisoformat(said) if said else datetime(1970, 1, 1, tzinfo=UTC)


def _row(form: Form) -> Row:
    return {
        "form_id": storable(form.id),
        "name": text(form.name) or "",
        "archived": form.archived,
        "created_at": moment(form.created_at),
        "updated_at": moment(form.updated_at),
        "raw": json_text(form.raw),
    }
