"""How far the pull has come: its runs, which are a queue like any other, its cursors, and what did not fit.

    INSERT INTO sync_runs (stream) VALUES ('contacts');

starts a pull of contacts, wherever a worker runs.
"""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, BigInteger, Boolean, DateTime, Enum, Identity, Index, Integer, Text, Uuid, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from crm_sync.models.base import Base
from jobloop import notify_on_enqueue, queue_indexes


class SyncRunStatus(StrEnum):
    """Where a run stands in the queue."""

    Queued = "Queued"
    Processing = "Processing"
    Complete = "Complete"
    Error = "Error"


class SyncRun(Base):
    """One pull of one stream, wanted, under way or done.

    stream          as `crm-sync pull` names it
    wants           "changes", "full" or "associations"
    since           changes since then, instead of since the last pull
    batch_size      records written at once; null: the default
    catch_up        look at deletions and associations now, whatever their intervals
    reserved_until  until then only whoever asked for the run takes it: the command that shows its progress
    report          counts by name, as `crm_sync.pull.report` has them; written with every batch
    """

    __tablename__ = "sync_runs"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    stream: Mapped[str] = mapped_column(Text)
    wants: Mapped[str] = mapped_column(Text, server_default="changes")
    since: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    batch_size: Mapped[int | None] = mapped_column(Integer)
    catch_up: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))
    targets: Mapped[list[str] | None] = mapped_column(ARRAY(Text))
    reserved_until: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    report: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"))
    started_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    finished_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())

    # The queue "pulls".
    status: Mapped[SyncRunStatus | None] = mapped_column(
        Enum(SyncRunStatus, name="sync_run_status"), server_default=SyncRunStatus.Queued.value
    )
    error: Mapped[str | None] = mapped_column(Text)
    retry_count: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    next_retry_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    claim_token: Mapped[UUID | None] = mapped_column(Uuid)
    lease_expires_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    rescue_count: Mapped[int] = mapped_column(Integer, server_default=text("0"))

    __table_args__ = (
        Index("ix_sync_runs_stream", "stream", "id"),
        *queue_indexes("sync_runs", status="status", next_retry_at="next_retry_at", order=("created_at", "id")),
        {"postgresql_with": {"fillfactor": "50"}},
    )


notify_on_enqueue(SyncRun, status="status", next_retry_at="next_retry_at")


class SyncCursor(Base):
    """How far one stream is.

    synced_to       every change in HubSpot up to then is here; null before the first pull is whole
    passes          what the present run still has to do, first one first; empty: nothing is half done
    position        where in the first of them it stands: a pass's own business
    window_from, window_to   the changes that the present run fetches
    holder          the run that works on the stream now: what another one writes is refused
    """

    __tablename__ = "sync_cursors"

    stream: Mapped[str] = mapped_column(Text, primary_key=True)
    synced_to: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    passes: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default="{}")
    position: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"))
    window_from: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    window_to: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    full_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    archived_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    associations_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    holder: Mapped[UUID | None] = mapped_column(Uuid)
    held_until: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    updated_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())

    __table_args__ = ({"postgresql_with": {"fillfactor": "50"}},)


class SyncIssue(Base):
    """A value of HubSpot's that its typed column cannot hold. The record is here, with that column empty."""

    __tablename__ = "sync_issues"

    stream: Mapped[str] = mapped_column(Text, primary_key=True)
    record_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    property: Mapped[str] = mapped_column(Text, primary_key=True)
    value: Mapped[str] = mapped_column(Text)
    reason: Mapped[str] = mapped_column(Text)
    noticed_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
