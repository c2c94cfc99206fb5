"""crm-sync pull STREAM…"""

from typing import Annotated

import typer

from crm_sync.cli.answer import AsJson
from crm_sync.cli.pull_options import BatchSize, CatchUp, DryRun, Full, Since, SkipAssociations


def pull_streams(
    streams: Annotated[list[str], typer.Argument(metavar="STREAM", help="Such as contacts, deals, engagements.")],
    full: Full = False,
    since: Since = None,
    dry_run: DryRun = False,
    batch_size: BatchSize = None,
    catch_up: CatchUp = False,
    skip_associations: SkipAssociations = False,
    as_json: AsJson = False,
) -> None:
    """Pull these streams now: contacts, companies, deals, tickets, appointments, orders, engagements (or notes, calls,
    emails, meetings, tasks), owners, pipelines, forms, email-events, and custom objects such as divisions, memberships,
    events.

    The first pull of a stream takes everything, a later one what changed since. One that is cut off is taken up by the
    next. Ends with 0 when all went well, 1 when some streams failed, 2 when all did, 130 after Ctrl-C.
    """
    from crm_sync.cli.pull_options import wish
    from crm_sync.cli.pull_run import run

    run(
        streams,
        wish(
            full=full,
            since=since,
            dry_run=dry_run,
            batch_size=batch_size,
            catch_up=catch_up,
            skip_associations=skip_associations,
        ),
        as_json=as_json,
    )
