"""crm-sync emulator"""

from typing import Annotated

import typer


def emulator(
    port: Annotated[int, typer.Option(help="Listen on this port of 127.0.0.1.", min=1, max=65535)] = 8025,
    tier: Annotated[
        str, typer.Option(help="Whose rate limits apply: free, starter, professional, enterprise …")
    ] = "free",
    seed: Annotated[
        int | None, typer.Option(help="Begin with a portal generated from this number; default: an empty one.")
    ] = None,
) -> None:
    """Run a HubSpot of your own on localhost, until Ctrl-C. It forgets everything when it ends."""
    import os

    from crm_sync.errors import SettingsError
    from hubspot_emulator import DEFAULT_TOKEN, serve
    from hubspot_emulator.quota import TIERS

    if tier not in TIERS:
        raise typer.BadParameter(f"there is no tier {tier!r}; there are: {', '.join(sorted(TIERS))}.")

    def ready(address: str) -> None:
        typer.echo(
            f"A HubSpot on {address} with the limits of the {tier} tier. Use it with\n"
            f"  HUBSPOT_API_BASE_URL={address} HUBSPOT_API_KEY={DEFAULT_TOKEN} crm-sync serve"
        )

    try:
        serve(port, tier=tier, fill_from=seed, on_ready=ready)
    except OSError as exc:
        raise SettingsError(
            f"Cannot listen on port {port}: {os.strerror(exc.errno or 0)}. Choose another with --port."
        ) from exc
