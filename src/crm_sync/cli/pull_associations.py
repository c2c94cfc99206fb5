"""crm-sync pull associations"""

from typing import Annotated

import typer

from crm_sync.cli.answer import AsJson
from crm_sync.cli.pull_options import BatchSize


def pull_associations(
    from_: Annotated[list[str], typer.Option("--from", metavar="STREAM", help="Whose; may be repeated.")],
    to: Annotated[list[str], typer.Option("--to", metavar="STREAM", help="To which; may be repeated.")],
    batch_size: BatchSize = None,
    as_json: AsJson = False,
) -> None:
    """Pull the associations of the records that are in the mirror, 1,000 records a call; records stay as they are."""
    from crm_sync.cli.pull_run import run
    from crm_sync.pull.wish import BATCH_SIZE, Wants, Wish

    run(
        from_,
        Wish(wants=Wants.ASSOCIATIONS, targets=tuple(dict.fromkeys(to)), batch_size=batch_size or BATCH_SIZE),
        as_json=as_json,
    )
