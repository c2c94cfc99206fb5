"""The pulls of what is no CRM record, by the names of `streams.OTHERS`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncEngine

from crm_sync.errors import UnknownStreamError
from crm_sync.hubspot import HubSpotClient
from crm_sync.pull.cursor import Cursors
from crm_sync.pull.others.email_events import EmailEventsPull
from crm_sync.pull.others.forms import FormsPull
from crm_sync.pull.others.owners import OwnersPull
from crm_sync.pull.others.pipelines import PipelinesPull
from crm_sync.pull.report import Observer, StreamReport
from crm_sync.pull.window import Margins
from crm_sync.pull.wish import Wish


class OtherPull(Protocol):
    """The pull of something that is no CRM record."""

    async def run(self, wish: Wish, report: StreamReport, observe: Observer) -> None:
        """Do what is wished and count it in `report`. Raises HubSpotError, StreamBusyError, StreamLostError."""


def other_pull(
    name: str,
    client: HubSpotClient,
    engine: AsyncEngine,
    cursors: Cursors,
    *,
    custom: Mapping[str, str],
    margins: Margins,
) -> OtherPull:
    """`custom` as in `PullOptions`. Raises UnknownStreamError for the name of anything else."""
    match name:
        case "owners":
            return OwnersPull(client, engine, cursors)
        case "pipelines":
            return PipelinesPull(client, engine, cursors, custom)
        case "forms":
            return FormsPull(client, engine, cursors)
        case "email-events":
            return EmailEventsPull(client, engine, cursors, margins=margins)
        case _:
            raise UnknownStreamError(f"{name} is no stream but of records.")
