"""crm-sync demo"""

from pathlib import Path
from typing import Annotated

import typer


def demo(
    file: Annotated[Path | None, typer.Option(help="A CSV of contacts; default: examples/contacts.csv.")] = None,
    faults: Annotated[bool, typer.Option(help="Let the emulated HubSpot fail now and then.")] = True,
) -> None:
    """Watch a few thousand dirty contacts go from a table to HubSpot. Needs no account, no database, no Docker.

    Everything is private to the demo: a PostgreSQL in DATA_DIR/demo, begun afresh each time, and a HubSpot emulator.
    """
    import asyncio

    from crm_sync.cli.demo.play import play
    from crm_sync.cli.opening import read_settings

    asyncio.run(play(read_settings(log_level="ERROR"), file, faults=faults))
