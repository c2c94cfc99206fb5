"""Tables through which processes agree with each other: which queue is paused, and which calls a token has made."""

from datetime import datetime

from sqlalchemy import ARRAY, DateTime, Float, Integer, Text
from sqlalchemy.orm import Mapped, mapped_column

from crm_sync.models.base import Base
from jobloop import pauses_table

queue_pauses = pauses_table(Base.metadata)


class RateBudget(Base):
    """The calls of one access token under one of HubSpot's limits, counted by every process that uses the token.

    token_fingerprint  tells tokens apart; the token cannot be had from it
    bucket             burst, search, associations
    limit_calls        at most so many in any `window_seconds`, as configured first, then as HubSpot's headers say
    taken_at, taken    how many calls were taken when, oldest first; times are rounded up to a 250th of the window
    paused_until       HubSpot refused a call: none goes before
    """

    __tablename__ = "rate_budgets"

    token_fingerprint: Mapped[str] = mapped_column(Text, primary_key=True)
    bucket: Mapped[str] = mapped_column(Text, primary_key=True)
    limit_calls: Mapped[int] = mapped_column(Integer)
    window_seconds: Mapped[float] = mapped_column(Float)
    taken_at: Mapped[list[datetime]] = mapped_column(ARRAY(DateTime(timezone=True)), server_default="{}")
    taken: Mapped[list[int]] = mapped_column(ARRAY(Integer), server_default="{}")
    paused_until: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))

    # A row of a kilobyte or so that changes some ten times a second. Half a page stays free for its next version, so
    # that each change stays on the page, where PostgreSQL cleans up without a vacuum.
    __table_args__ = ({"postgresql_with": {"fillfactor": "50"}},)
