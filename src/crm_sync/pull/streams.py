"""The streams there are. A standard object type is a line here and a table in `crm_sync.models.mirror`.

Custom objects are named in the settings and found in the portal's schemas; any of them works without a line of code.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from crm_sync.errors import UnknownStreamError
from crm_sync.hubspot.schemas import ObjectSchema
from crm_sync.models import mirror
from crm_sync.pull.spelling import did_you_mean
from crm_sync.pull.stream import Stream, custom_stream

_PEOPLE = ("contacts", "companies")
_CRM = ("contacts", "companies", "deals")
_ANY = ("contacts", "companies", "deals", "tickets")

STANDARD: Mapping[str, Stream] = {
    stream.name: stream
    for stream in (
        Stream("contacts", "contacts", mirror.contacts, ("companies",), cursor_property="lastmodifieddate"),
        Stream("companies", "companies", mirror.companies, ("companies",)),
        Stream("deals", "deals", mirror.deals, _PEOPLE, history=("dealstage",)),
        Stream("tickets", "tickets", mirror.tickets, _CRM),
        Stream("appointments", "appointments", mirror.appointments, _CRM),
        Stream("orders", "orders", mirror.orders, _CRM),
        Stream("notes", "notes", mirror.notes, _ANY),
        Stream("calls", "calls", mirror.calls, _ANY),
        Stream("emails", "emails", mirror.emails, _ANY),
        Stream("meetings", "meetings", mirror.meetings, _ANY),
        Stream("tasks", "tasks", mirror.tasks, _ANY),
    )
}

#: Kinds of things that are no CRM records: each has a pull of its own.
OTHERS = ("owners", "pipelines", "forms", "email-events")

#: Names that stand for several streams.
GROUPS: Mapping[str, tuple[str, ...]] = {"engagements": ("notes", "calls", "emails", "meetings", "tasks")}

#: Words that `crm-sync pull` takes for something else; no stream can have such a name.
COMMANDS = ("associations", "cursors", "issues", "reset")


def expand(names: Iterable[str], custom: Sequence[str] = (), *, commands: Sequence[str] = ()) -> tuple[str, ...]:
    """The streams that `names` stand for, each once: "all", a group, or a stream.

    `custom` are the names of custom objects. Raises UnknownStreamError, which lists what there is, and names what is
    spelled alike: a stream, or one of `commands`.
    """
    every = (*STANDARD, *custom, *OTHERS)
    expanded: dict[str, None] = {}
    for name in names:
        if name == "all":
            expanded |= dict.fromkeys(every)
        elif name in GROUPS:
            expanded |= dict.fromkeys(GROUPS[name])
        elif name in every:
            expanded[name] = None
        else:
            known = (*every, *GROUPS, "all")
            raise UnknownStreamError(
                f"There is no stream {name!r}. {did_you_mean(name, (*known, *commands))}There are: {', '.join(known)}. "
                "A custom object becomes one by its name in HUBSPOT_CUSTOM_OBJECTS."
            )
    return tuple(expanded)


def find_custom(wanted: Mapping[str, str], schemas: Iterable[ObjectSchema]) -> dict[str, Stream]:
    """The streams of the custom objects that the portal has; `wanted` maps a stream to any name of its object type."""
    found = {}
    for schema in schemas:
        names = frozenset((schema.name, schema.object_type_id, schema.fully_qualified_name))
        plain = {name.lower() for name in (*names, schema.singular, schema.plural) if name}
        for stream, object_type in wanted.items():
            if object_type.lower() in plain:
                found[stream] = custom_stream(stream, schema.object_type_id, names, _CRM)
    return found
