"""crm-sync serve"""

from typing import Annotated

import typer


def serve(
    host: Annotated[str | None, typer.Option(help="Listen here; default: WEB_HOST.")] = None,
    port: Annotated[int | None, typer.Option(help="0 takes a free one; default: WEB_PORT.", min=0, max=65535)] = None,
) -> None:
    """Run the web application with its scheduler, until Ctrl-C.

    Contacts that any SQL client sets to Queued are pushed to HubSpot.
    """
    import asyncio
    import logging

    from crm_sync.cli.opening import read_settings
    from crm_sync.web.serve import serve as serve_application

    settings = read_settings(log_level=None)
    chosen = {name: value for name, value in (("WEB_HOST", host), ("WEB_PORT", port)) if value is not None}
    settings = settings.model_copy(update=chosen)

    def ready(address: str, _: object) -> None:
        logging.getLogger("crm_sync").info("ready: %s (/ready /metrics /api/queues /openapi.json)", address)

    asyncio.run(serve_application(settings, ready=ready))
