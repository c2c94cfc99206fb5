"""PullService: the face of the pull that the queue and the commands use. One name in, one report out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncEngine

from crm_sync.errors import UnknownStreamError
from crm_sync.hubspot import HubSpotClient
from crm_sync.pull.cursor import Cursors
from crm_sync.pull.engine import PullEngine
from crm_sync.pull.report import Observer, StreamReport, ignore
from crm_sync.pull.stream import Stream
from crm_sync.pull.streams import STANDARD, expand, find_custom
from crm_sync.pull.window import Margins
from crm_sync.pull.wish import Wish


class OtherPull(Protocol):
    """The pull of something that is no CRM record."""

    async def run(self, wish: Wish, report: StreamReport, observe: Observer) -> None:
        """As `PullEngine.run`."""


@dataclass(frozen=True, slots=True)
class PullOptions:
    """What the settings say about the pull.

    custom    stream → any name of its custom object: its own name, 2-1001, p123_memberships
    narrowed  stream → the only properties wanted of it, beside those that typed columns need
    """

    custom: Mapping[str, str] = field(default_factory=dict)
    narrowed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    margins: Margins = field(default_factory=Margins)


class PullService:
    """Pulls a stream by its name. `client_of` gives the client whose token a stream is read with."""

    def __init__(
        self,
        client_of: Callable[[str], HubSpotClient],
        engine: AsyncEngine,
        options: PullOptions | None = None,
        *,
        cursors: Cursors | None = None,
    ) -> None:
        self._client_of = client_of
        self._engine = engine
        self._options = options or PullOptions()
        self._cursors = cursors or Cursors(engine)
        self._custom: Mapping[str, Stream] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Every stream that may be pulled; a custom object among them may not be in the account."""
        return self.expand("all")

    def expand(self, *names: str) -> tuple[str, ...]:
        """The streams that names and groups stand for. Raises UnknownStreamError."""
        return expand(names, tuple(self._options.custom))

    async def run(self, name: str, wish: Wish, observe: Observer = ignore) -> StreamReport:
        """Pull one stream; the report is `observe`d with every batch and returned at the end.

        Raises UnknownStreamError, StreamBusyError, StreamLostError, HubSpotError.
        """
        self.expand(name)
        report = StreamReport(name)
        stream = await self._stream(name)
        client = self._client_of(name)
        streams = {**STANDARD, **(self._custom or {})}
        engine = PullEngine(
            client,
            self._engine,
            streams,
            margins=self._options.margins,
            narrowed=self._options.narrowed,
            cursors=self._cursors,
        )
        await engine.run(stream, wish, report, observe)
        return report

    async def _stream(self, name: str) -> Stream:
        """Raises UnknownStreamError for a custom object that the account does not have."""
        if name in STANDARD:
            return STANDARD[name]
        if self._custom is None:
            self._custom = find_custom(self._options.custom, await self._client_of(name).list_schemas())
        if name not in self._custom:
            raise UnknownStreamError(
                f"The HubSpot account has no custom object {self._options.custom[name]!r}, which the stream {name} "
                "stands for. HUBSPOT_CUSTOM_OBJECTS says which there are."
            )
        return self._custom[name]
