"""crm-sync push contact"""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from crm_sync.cli.answer import AsJson

if TYPE_CHECKING:
    from crm_sync.push_now import PushedContact
    from crm_sync.runtime import Runtime


def push_contact(
    contact_id: Annotated[str, typer.Argument(metavar="UUID", help="The contact's id in the table.")],
    as_json: AsJson = False,
) -> None:
    """Push one contact to HubSpot now and show what happened.

    It goes through the queue like any other, so it never runs beside a worker on the same contact.
    """
    from uuid import UUID

    from crm_sync.cli.opening import read_settings, with_runtime
    from crm_sync.clients import require_token
    from crm_sync.push_now import push_now

    try:
        wanted = UUID(contact_id)
    except ValueError:
        raise typer.BadParameter(
            f"{contact_id!r} is not a UUID such as 123e4567-e89b-12d3-a456-426614174000."
        ) from None

    settings = read_settings()
    require_token(settings)

    async def push(runtime: "Runtime") -> "PushedContact":
        if not as_json:
            _print_settings(runtime)
        pushed = await push_now(runtime, wanted)
        _print_json(pushed) if as_json else _print(contact_id, pushed)
        return pushed

    if not with_runtime(push, settings).is_complete:
        raise typer.Exit(4)


def _print_settings(runtime: "Runtime") -> None:
    from crm_sync.cli.screen import console, facts
    from crm_sync.database import describe

    settings = runtime.settings
    policy = runtime.contact_queue().retry
    delays = [f"{policy.delay_seconds(n) / 60:g}" for n in range(1, min(policy.max_retries, 5) + 1)]
    more = " …" if policy.max_retries > len(delays) else ""
    minutes = "minute" if delays == ["1"] else "minutes"
    shown = {
        "HubSpot": f"{settings.HUBSPOT_API_BASE_URL} ({settings.HUBSPOT_API_VERSION})",
        "account": settings.HUBSPOT_PORTAL_ID or "(the token's)",
        "token": runtime.hubspot.token.masked,
        "retries": f"{policy.max_retries}, after {', '.join(delays)}{more} {minutes}" if delays else "none",
        "custom properties": ", ".join(
            (runtime.property_names.domain_id, runtime.property_names.page_id, runtime.property_names.sync_date)
        ),
        "database": describe(runtime.url),
    }
    console().print(facts("Settings in force", shown), "")


def _print(contact_id: str, pushed: "PushedContact") -> None:
    from crm_sync.cli.screen import console, table

    screen = console()
    rows = [(name, value, pushed.after[name]) for name, value in pushed.before.items()]
    screen.print(table(f"Contact {contact_id}", ("column", "before", "after"), rows), "")
    answer = pushed.answer
    if answer is None:
        screen.print("A running application was quicker and pushed the contact itself; above is what it left.")
    elif answer.record is not None:
        held = answer.record.properties
        sent = [(name, value, held.get(name)) for name, value in answer.sent.items()]
        screen.print(table(f"HubSpot's contact {answer.record.id}", ("property", "sent", "HubSpot has"), sent), "")
    screen.print(_verdict(pushed), markup=False, highlight=False)


def _verdict(pushed: "PushedContact") -> str:
    after = pushed.after
    if pushed.is_complete:
        return f"Complete: HubSpot has it as contact {after['hubspot_contact_id']}."
    if after["next_retry_at"] is not None:
        return (
            f"Not pushed: {after['hubspot_processing_error']}\n"
            f"It stays Queued and is tried again at {after['next_retry_at']:%H:%M:%S} UTC by a running application."
        )
    return f"Not pushed, {after['hubspot_processing_status']}: {after['hubspot_processing_error']}"


def _print_json(pushed: "PushedContact") -> None:
    import json

    answer = pushed.answer
    said: dict[str, Any] = {
        "complete": pushed.is_complete,
        "before": pushed.before,
        "after": pushed.after,
        "outcome": type(answer.outcome).__name__ if answer else None,
        "sent": dict(answer.sent) if answer else None,
        "hubspot": {"id": answer.record.id, "properties": dict(answer.record.properties)}
        if answer and answer.record
        else None,
    }
    typer.echo(json.dumps(said, default=str, ensure_ascii=False, indent=2))
