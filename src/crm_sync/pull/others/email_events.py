"""EmailEventsPull: what became of marketing e-mails, HubSpot → `hubspot.email_events`.

Each type of event has its own cursor, `email-events/OPEN`, and a frozen window like that of a stream's changes.
Several types are read at once, newest event first, 1,000 a call. Where all of them have the same window, one call
without a type comes first: when it brings everything there is, as after a quiet quarter of an hour, it stands for the
calls of all types.

A run that was cut off goes on below the oldest event it wrote, not at HubSpot's offset, which is documented to be
short-lived and to hold for the same question only. What shares that event's millisecond comes twice, and is written
once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncEngine

from crm_sync.errors import PullError
from crm_sync.hubspot import EmailEvent, EmailEventPage, HubSpotClient, HubSpotError
from crm_sync.hubspot.errors import MalformedAnswer, Rejected, ServerFault, ValidationFailed
from crm_sync.models.marketing import email_events
from crm_sync.pull.cursor import Cursor, Cursors
from crm_sync.pull.hubspot_clock import hubspot_now
from crm_sync.pull.others.lenient import json_text, moment, number, text
from crm_sync.pull.others.parts import Parts, held
from crm_sync.pull.others.rows import Counts, Row, RowWriter, step
from crm_sync.pull.others.side_by_side import side_by_side
from crm_sync.pull.report import Observer, StreamReport, counted
from crm_sync.pull.window import Margins
from crm_sync.pull.wish import Wish

#: As HubSpot's guide to e-mail events has them. An account may have others: they are noted when one is seen.
TYPES: Final = (
    "SENT",
    "DROPPED",
    "PROCESSED",
    "DELIVERED",
    "DEFERRED",
    "BOUNCE",
    "OPEN",
    "CLICK",
    "PRINT",
    "FORWARD",
    "STATUSCHANGE",
    "SPAMREPORT",
    "SUPPRESSED",
    "UNBOUNCE",
)
#: Types that are read at once. The rate limiter has the last word.
AT_ONCE: Final = 8
#: What a cursor of a window under way names as its pass.
WINDOW: Final = "events"

_OF_ONE_TYPE = (MalformedAnswer, Rejected, ServerFault, ValidationFailed)


class EmailEventsPull:
    """`types` are the only ones wanted; what they are not is not asked for."""

    def __init__(
        self,
        client: HubSpotClient,
        engine: AsyncEngine,
        cursors: Cursors,
        *,
        margins: Margins | None = None,
        types: Iterable[str] = TYPES,
        at_once: int = AT_ONCE,
    ) -> None:
        self._client = client
        self._engine = engine
        self._cursors = cursors
        self._margins = margins or Margins()
        self._types = tuple(dict.fromkeys(types))
        self._at_once = at_once

    async def run(self, wish: Wish, report: StreamReport, observe: Observer) -> None:
        """Raises HubSpotError, also for single types once all others are done; StreamBusyError, StreamLostError."""
        report.wants, report.is_dry_run = wish.wants.value, wish.dry_run
        with counted(report, observe) as show:
            async with held(self._cursors, report.stream, wish) as stream:
                end = await hubspot_now(self._client) - self._margins.lag
                parts = Parts(self._engine, stream, dry_run=wish.dry_run)
                full = await parts.from_scratch(wish)
                async with parts.taken(self._types) as cursors:
                    reading = _Reading(self._client, self._engine, self._margins, wish, report, show, end, full)
                    if not await reading.quiet(cursors):
                        report.doing = "by type"
                        await side_by_side(cursors.items(), reading.of_type, at_once=self._at_once)
                if reading.failed:
                    raise reading.failed[0]
                async with step(self._engine, stream, dry_run=wish.dry_run, **parts.finished(full=full, synced_to=end)):
                    pass


class _Reading:
    """One run. `end` is where its windows end; `full`: types whose `full_at` is null are read from scratch."""

    def __init__(
        self,
        client: HubSpotClient,
        engine: AsyncEngine,
        margins: Margins,
        wish: Wish,
        report: StreamReport,
        show: Observer,
        end: datetime,
        full: bool,
    ) -> None:
        self._client = client
        self._engine = engine
        self._margins = margins
        self._wish = wish
        self._report = report
        self._show = show
        self._end = end
        self._full = full
        self._writer = RowWriter(email_events, dry_run=wish.dry_run)
        self.failed: list[HubSpotError] = []

    async def quiet(self, cursors: Mapping[str, Cursor]) -> bool:
        """Read all types with one call, where their windows are the same and what is in it fits into one page."""
        starts = {self._start(cursor) for cursor in cursors.values()}
        start = next(iter(starts), None)
        if len(cursors) < 2 or len(starts) > 1 or start is None or any(one.passes for one in cursors.values()):
            return False
        if start >= self._end:
            return True
        self._report.doing = "all types"
        try:
            page = await self._client.email_events(start=start, end=self._end)
        except MalformedAnswer:  # perhaps an event of one type: the others are not to suffer
            return False
        self._report.pages += 1
        unknown = sorted({_type(event) for event in page.events} - set(cursors))
        if unknown:
            self._report.note(f"HubSpot has events of other types than those that are pulled: {', '.join(unknown)}.")
        if page.has_more:
            return False
        wanted = {name: [event for event in page.events if _type(event) == name] for name in cursors}
        for name, cursor in cursors.items():
            self._begin(cursor)
            await self._write(cursor, wanted[name], _done(cursor))
        self._report.note("One call had the events of every type.")
        return True

    async def of_type(self, part: tuple[str, Cursor]) -> None:
        name, cursor = part
        try:
            if self._goes_on(cursor):
                self._report.resumed = True
                await self._window(name, cursor)
            self._begin(cursor)
            if cursor.window_from is None or cursor.window_from < self._end:
                await self._window(name, cursor)
        except _OF_ONE_TYPE as error:
            self.failed.append(error)
            self._report.note(f"Events of the type {name} cannot be read: {error.summary}")

    def _goes_on(self, cursor: Cursor) -> bool:
        """Whether a window that was cut off serves this run."""
        if not cursor.passes or cursor.window_to is None or self._wish.since is not None:
            return False
        return cursor.window_from is None or not self._is_full(cursor)

    def _is_full(self, cursor: Cursor) -> bool:
        return self._full and (cursor.full_at is None or self._wish.dry_run)

    def _start(self, cursor: Cursor) -> datetime | None:
        if self._wish.since is not None:
            return self._wish.since
        if cursor.synced_to is None or self._is_full(cursor):
            return None
        return cursor.synced_to - self._margins.overlap

    def _begin(self, cursor: Cursor) -> None:
        """In memory: the first page is written together with it."""
        cursor.window_from, cursor.window_to = self._start(cursor), self._end
        cursor.passes, cursor.position = (WINDOW,), {}

    async def _window(self, name: str, cursor: Cursor) -> None:
        said, offset = cursor.position.get("before"), None
        before = datetime.fromisoformat(said) if said else cursor.window_to or self._end
        oldest = before
        while cursor.passes:
            try:
                page = await self._client.email_events(name, cursor.window_from, before, offset)
            except ValidationFailed:
                if offset is None or oldest >= before:
                    raise
                before, offset = oldest, None  # HubSpot forgot the offset, as it says it does
                continue
            self._report.pages += 1
            oldest = min((event.created_at for event in page.events), default=oldest)
            await self._write(cursor, page.events, _moves(cursor, page, oldest))
            if page.has_more and page.offset == offset:
                raise PullError(f"HubSpot names the offset {offset!r} after itself: the list would never end.")
            offset = page.offset

    async def _write(self, cursor: Cursor, events: Iterable[EmailEvent], moves: Mapping[str, Any]) -> None:
        rows = [_row(event) for event in events]
        async with step(self._engine, cursor, dry_run=self._wish.dry_run, **moves) as connection:
            counts: Counts = await self._writer.put(connection, rows)
        self._report.fetched += len(rows)
        counts.add_to(self._report)
        self._show(self._report)


def _moves(cursor: Cursor, page: EmailEventPage, oldest: datetime) -> dict[str, Any]:
    """What the cursor says once the page is written."""
    if not page.has_more:
        return _done(cursor)
    window = {"window_from": cursor.window_from, "window_to": cursor.window_to}
    return {"passes": (WINDOW,), "position": {"before": oldest.isoformat()}, **window}


def _done(cursor: Cursor) -> dict[str, Any]:
    start, end = cursor.window_from, cursor.window_to
    moves: dict[str, Any] = {"passes": (), "position": {}, "window_from": start, "window_to": end}
    if start is None:
        moves |= {"synced_to": end, "full_at": end}
    elif cursor.synced_to is not None and end is not None and start <= cursor.synced_to < end:
        moves["synced_to"] = end
    return moves


def _type(event: EmailEvent) -> str:
    """Of all types, UNBOUNCE alone may come without its name (documented)."""
    return text(event.type) or "UNBOUNCE"


def _row(event: EmailEvent) -> Row:
    return {
        "event_id": text(event.id),
        "occurred_at": moment(event.created_at) or event.created_at,
        "type": _type(event),
        "recipient": text(event.recipient),
        "campaign_id": number(event.campaign_id),
        "raw": json_text(event.raw),
    }
