"""The options of every pull, and what they ask for."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from crm_sync.cli.duration import TooLong, duration

if TYPE_CHECKING:
    from crm_sync.pull.wish import Wish


#: HubSpot's times are counted from here.
_FIRST = datetime(1970, 1, 1, tzinfo=UTC)


def since(text: str) -> datetime:
    """A time, or how long ago it was; raises typer.BadParameter."""
    now = datetime.now(UTC)
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = now - _ago(text, most=now - _FIRST)
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    if at > now:
        raise typer.BadParameter(f"{text!r} is yet to come.")
    if at < _FIRST:
        raise typer.BadParameter(f"{text!r} is before 1970; to read every record, say --full.")
    return at


def _ago(text: str, *, most: timedelta) -> timedelta:
    if text.startswith("-"):
        raise typer.BadParameter(f"{text!r} is yet to come; a duration says how long ago, without a sign: 36h, 7d.")
    try:
        ago = duration(text)
    except TooLong:
        ago = most + timedelta(days=1)
    except typer.BadParameter:
        raise typer.BadParameter(
            f"{text!r} is neither a date nor a duration; write 2026-11-01, 2026-11-01T10:00Z, 36h or 7d."
        ) from None
    if not ago:
        raise typer.BadParameter(f"{text!r} is now, and nothing has changed since; say how long ago: 36h, 7d.")
    if ago > most:
        raise typer.BadParameter(f"{text!r} ago is before 1970; to read every record, say --full.")
    return ago


Full = Annotated[bool, typer.Option("--full", help="Every record, and not what changed since the last pull.")]
Since = Annotated[
    datetime | None,
    typer.Option(
        parser=since,
        metavar="DATE|DURATION",
        help="What changed since then, instead of since the last pull: 2026-11-01, 2026-11-01T10:00Z, 36h, 7d. "
        "It lies in the past; 0d is refused.",
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Count what would be written, and write nothing at all.")]
BatchSize = Annotated[
    int | None, typer.Option(help="Records fetched and written at once.  [default: 1000]", min=1, max=10_000)
]
CatchUp = Annotated[
    bool, typer.Option("--catch-up", help="Look at deletions and associations now, whatever their intervals.")
]
SkipAssociations = Annotated[bool, typer.Option("--skip-associations", help="Records alone.")]


def wish(
    *,
    full: bool = False,
    since: datetime | None = None,
    dry_run: bool = False,
    batch_size: int | None = None,
    catch_up: bool = False,
    skip_associations: bool = False,
) -> "Wish":
    """Raises typer.BadParameter for options that contradict each other."""
    from crm_sync.pull.wish import BATCH_SIZE, Wants, Wish

    if full and since:
        raise typer.BadParameter("--full and --since contradict each other.")
    more: dict[str, Any] = {"targets": ()} if skip_associations else {}
    return Wish(
        wants=Wants.FULL if full else Wants.CHANGES,
        since=since,
        batch_size=batch_size or BATCH_SIZE,
        catch_up=catch_up,
        dry_run=dry_run,
        **more,
    )
