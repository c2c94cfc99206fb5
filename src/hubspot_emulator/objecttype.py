"""Object types as data: contacts and custom objects differ by a row of this table and by nothing else."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["STANDARD_TYPES", "ObjectType"]


# Activities are read and written with the scopes of contacts, and need a time [D].
_ACTIVITY = "crm.objects.contacts"


@dataclass(frozen=True, slots=True)
class ObjectType:
    """One kind of record.

    `name` is the plural of paths, `singular` the word of messages and inline associations,
    `type_id` such as `0-1` or `2-1000001` [D]. `default_properties` come with every answer that names none;
    the id, the creation date and the modified date come always [O].
    """

    name: str
    singular: str
    type_id: str
    default_properties: tuple[str, ...]
    display_property: str
    searched_properties: tuple[str, ...] = ()
    required_properties: tuple[str, ...] = ()
    created_property: str = "hs_createdate"
    modified_property: str = "hs_lastmodifieddate"
    read_scope: str = ""
    write_scope: str = ""
    fully_qualified_name: str | None = None
    has_email: bool = False
    pipeline_property: str | None = None
    stage_property: str | None = None

    @property
    def is_custom(self) -> bool:
        return self.fully_qualified_name is not None

    def schema_scope(self, access: str) -> str:
        """The scope that reads or writes the definition of this type; `access` is read or write."""
        if self.is_custom:
            return f"crm.schemas.custom.{access}"
        return self.read_scope.replace("crm.objects.", "crm.schemas.").removesuffix(".read") + f".{access}"

    @property
    def always(self) -> tuple[str, str, str]:
        """Properties that no answer leaves out."""
        return ("hs_object_id", self.created_property, self.modified_property)

    @property
    def names(self) -> tuple[str, ...]:
        """Every word that stands for this type in a path, lower-cased."""
        if self.fully_qualified_name is None:
            return (self.name, self.singular, self.type_id)
        return (self.type_id, self.fully_qualified_name, f"p_{self.name}")


def _standard(
    name: str,
    singular: str,
    type_id: str,
    defaults: str,
    *,
    display: str,
    searched: str = "",
    created: str = "hs_createdate",
    modified: str = "hs_lastmodifieddate",
    scope: str | None = None,
    pipeline: tuple[str, str] | None = None,
) -> ObjectType:
    scope = scope or f"crm.objects.{name}"
    return ObjectType(
        name=name,
        singular=singular,
        type_id=type_id,
        default_properties=tuple(dict.fromkeys([*defaults.split(), "hs_object_id", created, modified])),
        display_property=display,
        searched_properties=tuple(searched.split()),
        required_properties=("hs_timestamp",) if scope == _ACTIVITY and name != "contacts" else (),
        created_property=created,
        modified_property=modified,
        read_scope=f"{scope}.read",
        write_scope=f"{scope}.write",
        has_email=name == "contacts",
        pipeline_property=pipeline[0] if pipeline else None,
        stage_property=pipeline[1] if pipeline else None,
    )


STANDARD_TYPES: tuple[ObjectType, ...] = (
    _standard(
        "contacts",
        "contact",
        "0-1",
        "email firstname lastname",
        display="email",
        searched="firstname lastname email phone company hs_additional_emails hs_object_id",
        created="createdate",
        modified="lastmodifieddate",
    ),
    _standard(
        "companies",
        "company",
        "0-2",
        "name domain",
        display="name",
        searched="website phone name domain",
        created="createdate",
    ),
    _standard(
        "deals",
        "deal",
        "0-3",
        "amount closedate dealname dealstage pipeline",
        display="dealname",
        searched="dealname pipeline dealstage description dealtype",
        created="createdate",
        pipeline=("pipeline", "dealstage"),
    ),
    _standard(
        "tickets",
        "ticket",
        "0-5",
        "subject content hs_pipeline hs_pipeline_stage hs_ticket_category hs_ticket_priority",
        display="subject",
        searched="subject content hs_pipeline_stage hs_ticket_category",
        created="createdate",
        scope="crm.objects.tickets",
        pipeline=("hs_pipeline", "hs_pipeline_stage"),
    ),
    _standard(
        "appointments",
        "appointment",
        "0-421",
        "hs_appointment_name",
        display="hs_appointment_name",
        searched="hs_appointment_name",
        pipeline=("hs_pipeline", "hs_pipeline_stage"),
    ),
    _standard(
        "orders",
        "order",
        "0-123",
        "hs_order_name",
        display="hs_order_name",
        searched="hs_order_name hs_external_order_id",
        pipeline=("hs_pipeline", "hs_pipeline_stage"),
    ),
    _standard("notes", "note", "0-46", "", display="hs_note_body", searched="hs_note_body", scope=_ACTIVITY),
    _standard(
        "calls", "call", "0-48", "", display="hs_call_title", searched="hs_call_title hs_call_body", scope=_ACTIVITY
    ),
    _standard(
        "emails",
        "email",
        "0-49",
        "",
        display="hs_email_subject",
        searched="hs_email_subject hs_email_text",
        scope=_ACTIVITY,
    ),
    _standard(
        "meetings",
        "meeting",
        "0-47",
        "",
        display="hs_meeting_title",
        searched="hs_meeting_title hs_meeting_body",
        scope=_ACTIVITY,
    ),
    _standard(
        "tasks",
        "task",
        "0-27",
        "",
        display="hs_task_subject",
        searched="hs_task_subject hs_task_body",
        scope=_ACTIVITY,
    ),
)
