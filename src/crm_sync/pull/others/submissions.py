"""SubmissionsPull: what was submitted to forms, newest first, HubSpot → `hubspot.form_submissions`.

HubSpot gives 50 a call and filters by nothing. So a run looks at a form from the top, down to what is known; the form's
own cursor, `forms/` and its id, says what that is:

    synced_to                 the newest submission known, once a look came to the end: everything up to it is here
    window_from, window_to    how far down the look under way goes (None: to the end), and when it began
    position                  `after`: where its next page begins; `newest`: the newest submission that it saw

A look that was cut off goes on at `after`. That token is opaque. If it counts submissions from the top, what was
submitted since pushed all others down, so the next page repeats some that are here, and skips none; if it names a
submission, nothing moved. What was submitted since is above `newest`, and the look from the top that follows finds it:
it goes down to `newest` less a margin, and not to the newest row of the table, below which there may be a gap.

A look ends at the first page whose last submission is before the bound: the pages come in reverse chronological order
(documented), so whatever follows is older. A submission may be sent with a time up to a month ago (documented), which
puts it below what is known: a run now and then looks as far back as that.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncEngine

from crm_sync.hubspot import HubSpotClient, Submission, SubmissionPage
from crm_sync.hubspot.errors import ValidationFailed
from crm_sync.models.marketing import form_submissions
from crm_sync.pull.cursor import Cursor
from crm_sync.pull.mirror.values import storable
from crm_sync.pull.others.lenient import json_text, moment, text
from crm_sync.pull.others.paging import pages
from crm_sync.pull.others.rows import Row, RowWriter, step
from crm_sync.pull.report import Observer, StreamReport
from crm_sync.pull.wish import Wish

#: What a cursor of a look under way names as its pass.
LOOK: Final = "submissions"

#: How far below the newest one known a look goes: submissions may become visible in another order than that of their
#: times. It costs a call where more than 50 came in the minutes before the newest.
OVERLAP: Final = timedelta(minutes=15)
#: And how far now and then: the oldest time that HubSpot lets a submission be sent with, and twice LOOK_BACK.
BACKDATED: Final = timedelta(days=33)
#: How often an incremental run looks for submissions that were sent with a time of long ago.
LOOK_BACK: Final = timedelta(hours=24)


class SubmissionsPull:
    """Looks at forms, in one run that began at `now` by HubSpot's clock.

    full        each form is looked at down to the end, where `full_at` does not say that it was
    looks_back  by BACKDATED, where the whole form was not looked at in the last LOOK_BACK
    """

    def __init__(
        self,
        client: HubSpotClient,
        engine: AsyncEngine,
        wish: Wish,
        report: StreamReport,
        show: Observer,
        *,
        now: datetime,
        full: bool,
        looks_back: bool,
    ) -> None:
        self._client = client
        self._engine = engine
        self._wish = wish
        self._report = report
        self._show = show
        self._now = now
        self._full = full
        self._looks_back = looks_back
        self._writer = RowWriter(form_submissions, dry_run=wish.dry_run)

    async def run(self, form_id: str, cursor: Cursor) -> None:
        """Raises NotFound for a form that is gone, HubSpotError, StreamLostError."""
        if self._goes_on(cursor):
            self._report.resumed = True
            try:
                await self._look(form_id, cursor)
            except ValidationFailed:  # the place is known no more, so the look begins again
                cursor.position = {}
                await self._look(form_id, cursor)
        self._begin(cursor)
        await self._look(form_id, cursor)

    def _goes_on(self, cursor: Cursor) -> bool:
        """Whether a look that was cut off serves this run."""
        if not cursor.passes or self._wish.since is not None:
            return False
        return cursor.window_from is None or not self._is_full(cursor)

    def _is_full(self, cursor: Cursor) -> bool:
        return self._full and (cursor.full_at is None or self._wish.dry_run)

    def _margin(self, cursor: Cursor) -> timedelta:
        if not self._looks_back:
            return OVERLAP
        if self._wish.catch_up or cursor.full_at is None or cursor.full_at + LOOK_BACK <= self._now:
            return BACKDATED
        return OVERLAP

    def _begin(self, cursor: Cursor) -> None:
        """In memory: the first page is written together with it."""
        bound = self._wish.since
        if bound is None and cursor.synced_to is not None and not self._is_full(cursor):
            bound = cursor.synced_to - self._margin(cursor)
        cursor.passes, cursor.position = (LOOK,), {}
        cursor.window_from, cursor.window_to = bound, self._now

    async def _look(self, form_id: str, cursor: Cursor) -> None:
        async def read(after: str | None) -> SubmissionPage:
            return await self._client.form_submissions(form_id, after)

        async for page in pages(read, cursor.position.get("after")):
            self._report.pages += 1
            self._report.fetched += len(page.submissions)
            moves = _moves(cursor, page)
            async with step(self._engine, cursor, dry_run=self._wish.dry_run, **moves) as connection:
                counts = await self._writer.put(connection, [_row(form_id, one) for one in page.submissions])
            counts.add_to(self._report)
            self._show(self._report)
            if not cursor.passes:
                return


def _begun(cursor: Cursor) -> datetime:
    return cursor.window_to or datetime.min.replace(tzinfo=UTC)


def _moves(cursor: Cursor, page: SubmissionPage) -> dict[str, Any]:
    """What the cursor says once the page is written."""
    bound, begun, newest = cursor.window_from, _begun(cursor), cursor.position.get("newest")
    if newest is None and page.submissions:
        # No later than the look: one that claims to be of next year would hide all that follow it.
        newest = min(max(one.submitted_at for one in page.submissions), begun).isoformat()
    window = {"window_from": bound, "window_to": begun}
    is_bottom = page.after is None
    is_below = bool(bound and page.submissions and page.submissions[-1].submitted_at < bound)
    if not (is_bottom or is_below):
        return {"passes": (LOOK,), "position": {"after": page.after, "newest": newest}, **window}
    moves: dict[str, Any] = {"passes": (), "position": {}, **window}
    if is_bottom:
        moves["full_at"] = begun
    joins = bound is None or (cursor.synced_to is not None and bound <= cursor.synced_to)
    if newest is not None and (is_bottom or joins):
        known = datetime.fromisoformat(newest)
        moves["synced_to"] = max(known, cursor.synced_to) if cursor.synced_to is not None else known
    return moves


def _row(form_id: str, submission: Submission) -> Row:
    return {
        "form_id": storable(form_id),
        "conversion_id": text(submission.conversion_id),
        "submitted_at": moment(submission.submitted_at) or submission.submitted_at,
        "email": email_in(submission),
        "page_url": text(submission.page_url),
        "raw": json_text(submission.raw),
    }


def email_in(submission: Submission) -> str | None:
    """The first value of a field named `email`, in any case, that is more than blanks."""
    for name, value in submission.values:
        if name.lower() == "email" and (email := storable(value).strip()):
            return email
    return None
