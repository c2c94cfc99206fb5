"""PullService: the face of the pull that the queue and the commands use. One name in, one report out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from sqlalchemy.ext.asyncio import AsyncEngine

from crm_sync.errors import UnknownStreamError
from crm_sync.hubspot import HubSpotClient
from crm_sync.hubspot.errors import MissingScopes, Unauthorized
from crm_sync.pull.cursor import Cursors
from crm_sync.pull.engine import PullEngine
from crm_sync.pull.others.other_pull import other_pull
from crm_sync.pull.report import Observer, StreamReport, ignore
from crm_sync.pull.stream import Stream
from crm_sync.pull.streams import OTHERS, STANDARD, expand, find_custom
from crm_sync.pull.window import Margins
from crm_sync.pull.wish import Wants, Wish


@dataclass(frozen=True, slots=True)
class PullOptions:
    """What the settings say about the pull.

    custom    stream → any name of its custom object: its own name, 2-1001, p123_memberships
    narrowed  stream → the only properties wanted of it, beside those that typed columns need
    """

    custom: Mapping[str, str] = field(default_factory=dict)
    narrowed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    margins: Margins = field(default_factory=Margins)


#: Said of the streams whose custom object the account lacks.
NOT_THERE: Final = "not in this account, skipped (HUBSPOT_CUSTOM_OBJECTS names them)."


def nobody(_stream: str) -> None:
    """There is no other client."""


class PullService:
    """Pulls a stream by its name.

    client_of   the client whose token a stream is read with
    instead_of  the one that is tried when HubSpot refuses that token; None: there is no other
    """

    def __init__(
        self,
        client_of: Callable[[str], HubSpotClient],
        engine: AsyncEngine,
        options: PullOptions | None = None,
        *,
        instead_of: Callable[[str], HubSpotClient | None] = nobody,
        cursors: Cursors | None = None,
    ) -> None:
        self._client_of = client_of
        self._instead_of = instead_of
        self._engine = engine
        self._options = options or PullOptions()
        self._cursors = cursors or Cursors(engine)
        self._custom: Mapping[str, Stream] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """Every stream that may be pulled; a custom object among them may not be in the account."""
        return self.expand("all")

    @property
    def custom_names(self) -> tuple[str, ...]:
        """The streams of custom objects, whether the account has them or not."""
        return tuple(self._options.custom)

    def expand(self, *names: str, commands: Sequence[str] = ()) -> tuple[str, ...]:
        """The streams that names and groups stand for. Raises UnknownStreamError; `commands` may have been meant."""
        return expand(names, tuple(self._options.custom), commands=commands)

    def expand_records(self, *names: str) -> tuple[str, ...]:
        """The streams of records among those that names and groups stand for. Raises UnknownStreamError."""
        for name in names:
            if name in OTHERS:
                raise _no_records(name)
        return tuple(stream for stream in self.expand(*names) if stream not in OTHERS)

    async def run(self, name: str, wish: Wish, observe: Observer = ignore) -> StreamReport:
        """Pull one stream; the report is `observe`d with every batch and returned at the end.

        Raises UnknownStreamError, StreamBusyError, StreamLostError, HubSpotError.
        """
        if (streams := self.expand(name)) != (name,):
            raise UnknownStreamError(f"{name} stands for {', '.join(streams)}; each of these is a run of its own.")
        report = StreamReport(name)
        try:
            await self._run(self._client_of(name), name, wish, report, observe)
        except (Unauthorized, MissingScopes):
            other = self._instead_of(name)
            if other is None:
                raise
            report.note(f"HubSpot refused the token for {name}; the general one was used.")
            await self._run(other, name, wish, report, observe)
        return report

    async def resets_at(self, name: str) -> datetime | None:
        """When HubSpot takes calls again after a spent daily limit; None when it does not say. Raises HubSpotError."""
        return (await self._client_of(name).daily_usage()).resets_at

    async def _run(self, client: HubSpotClient, name: str, wish: Wish, report: StreamReport, observe: Observer) -> None:
        if name in OTHERS and wish.wants is not Wants.ASSOCIATIONS:
            options = self._options
            other = other_pull(
                name, client, self._engine, self._cursors, custom=options.custom, margins=options.margins
            )
            await other.run(wish, report, observe)
            return
        stream = await self._stream(client, name)
        targets = {one: await self._stream(client, one) for one in self.expand(*(wish.targets or ()))}
        if wish.targets is not None:
            wish = replace(wish, targets=tuple(targets))
        engine = PullEngine(
            client,
            self._engine,
            {**STANDARD, **targets},
            margins=self._options.margins,
            narrowed=self._options.narrowed,
            cursors=self._cursors,
        )
        await engine.run(stream, wish, report, observe)

    async def absent(self, *names: str) -> dict[str, str]:
        """Those streams whose custom object the account lacks → why they cannot be pulled. Raises HubSpotError."""
        absent = {}
        for name in names:
            if name in self._options.custom:
                try:
                    await self._stream(self._client_of(name), name)
                except (UnknownStreamError, MissingScopes) as exc:
                    absent[name] = exc.summary if isinstance(exc, MissingScopes) else NOT_THERE
        return absent

    async def _stream(self, client: HubSpotClient, name: str) -> Stream:
        """Raises UnknownStreamError for a custom object that the account does not have."""
        if name in STANDARD:
            return STANDARD[name]
        if name not in self._options.custom:
            raise _no_records(name)
        if name not in self._custom:  # it may have been made since the last look
            self._custom = find_custom(self._options.custom, await client.list_schemas())
        if name not in self._custom:
            raise UnknownStreamError(
                f"The HubSpot account has no custom object {self._options.custom[name]!r}, which the stream {name} "
                "stands for. HUBSPOT_CUSTOM_OBJECTS says which there are."
            )
        return self._custom[name]


def _no_records(name: str) -> UnknownStreamError:
    return UnknownStreamError(f"{name} is no stream of records; it has no associations.")
