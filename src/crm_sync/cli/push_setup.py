"""crm-sync push setup"""

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from crm_sync.push import SetupStep


def push_setup() -> None:
    """Create the custom properties in HubSpot that the push writes. Running it again changes nothing."""
    import asyncio

    from sqlalchemy import make_url

    from crm_sync.cli.opening import read_settings
    from crm_sync.push import setup_properties
    from crm_sync.push.setup import State
    from crm_sync.runtime import Runtime

    settings = read_settings()

    async def setup() -> "tuple[SetupStep, ...]":
        runtime = Runtime(settings, make_url("postgresql://"))  # no database is asked
        try:
            return await setup_properties(runtime.hubspot, runtime.property_names)
        finally:
            await runtime.aclose()

    steps = asyncio.run(setup())
    for step in steps:
        note = f": {step.note}" if step.note else ""
        typer.echo(f"{step.state.value:8} {step.kind} {step.name}{note}")
    if any(step.state is State.DIFFERS for step in steps):
        typer.secho("A property has another type than the push writes; rename it or set its name.", err=True)
        raise typer.Exit(4)
