"""The properties that every portal has, one compact line each."""

from __future__ import annotations

from .objecttype import ObjectType
from .propertydef import PropertyDefinition

__all__ = ["LIFECYCLE_STAGES", "group_of", "standard_properties"]

LIFECYCLE_STAGES = (
    "subscriber",
    "lead",
    "marketingqualifiedlead",
    "salesqualifiedlead",
    "opportunity",
    "customer",
    "evangelist",
    "other",
)

# name[:type[:flags]], blank-separated. Types: s string, n number, d date, t datetime, b bool, e enumeration
# (its options in _OPTIONS; none listed: any value). Flags: r read-only, c calculated, u unique.
_EVERY_TYPE = (
    "hs_object_id:n:r hs_merged_object_ids:e:r hubspot_owner_id:e hs_unique_creation_key:s:ru "
    "hs_object_source:s:r hs_created_by_user_id:n:r hs_updated_by_user_id:n:r"
)

_PER_TYPE = {
    "contacts": (
        "createdate:t:r lastmodifieddate:t:r email:s firstname lastname phone mobilephone company jobtitle "
        "website address city state zip country salutation fax date_of_birth lifecyclestage:e hs_lead_status:e "
        "hs_additional_emails:e:r hs_email_domain:s:r num_associated_deals:n:rc notes_last_updated:t:r "
        "num_notes:n:r hs_full_name_or_email:s:rc annualrevenue message hs_language:e "
        "associatedcompanyid:n hs_calculated_merged_vids:s:rc"
    ),
    "companies": (
        "createdate:t:r hs_lastmodifieddate:t:r name domain website phone address address2 city state zip country "
        "industry:e annualrevenue:n numberofemployees:n description lifecyclestage:e founded_year timezone "
        "num_associated_contacts:n:rc num_associated_deals:n:rc"
    ),
    "deals": (
        "createdate:t:r hs_lastmodifieddate:t:r dealname amount:n closedate:t dealstage:e pipeline:e dealtype:e "
        "description hs_priority:e closed_lost_reason closed_won_reason deal_currency_code:e hs_is_closed:b:rc "
        "hs_is_closed_won:b:rc num_associated_contacts:n:rc amount_in_home_currency:n:rc "
        "hs_date_entered_closedwon:t:r num_notes:n:r"
    ),
    "tickets": (
        "createdate:t:r hs_lastmodifieddate:t:r subject content hs_pipeline:e hs_pipeline_stage:e hs_ticket_category:e "
        "hs_ticket_priority:e source_type:e closed_date:t"
    ),
    "appointments": (
        "hs_createdate:t:r hs_lastmodifieddate:t:r hs_appointment_name hs_appointment_start:t hs_appointment_end:t "
        "hs_pipeline:e hs_pipeline_stage:e hs_duration:n"
    ),
    "orders": (
        "hs_createdate:t:r hs_lastmodifieddate:t:r hs_order_name hs_external_order_id hs_currency_code "
        "hs_total_price:n hs_fulfillment_status hs_external_order_status hs_external_created_date:t "
        "hs_pipeline:e hs_pipeline_stage:e hs_source_store"
    ),
    "notes": "hs_createdate:t:r hs_lastmodifieddate:t:r hs_timestamp:t hs_note_body hs_attachment_ids",
    "calls": (
        "hs_createdate:t:r hs_lastmodifieddate:t:r hs_timestamp:t hs_call_title hs_call_body hs_call_duration:n "
        "hs_call_direction:e hs_call_status:e hs_call_disposition hs_call_from_number hs_call_to_number "
        "hs_call_recording_url"
    ),
    "emails": (
        "hs_createdate:t:r hs_lastmodifieddate:t:r hs_timestamp:t hs_email_subject hs_email_text hs_email_html "
        "hs_email_direction:e hs_email_status:e hs_email_headers hs_email_from_email:s:r hs_email_to_email:s:r"
    ),
    "meetings": (
        "hs_createdate:t:r hs_lastmodifieddate:t:r hs_timestamp:t hs_meeting_title hs_meeting_body "
        "hs_meeting_start_time:t hs_meeting_end_time:t hs_meeting_location hs_meeting_outcome:e "
        "hs_internal_meeting_notes hs_meeting_external_url"
    ),
    "tasks": (
        "hs_createdate:t:r hs_lastmodifieddate:t:r hs_timestamp:t hs_task_subject hs_task_body hs_task_status:e "
        "hs_task_priority:e hs_task_type:e hs_task_completion_date:t:r hs_task_is_completed:n:rc"
    ),
    "": "hs_createdate:t:r hs_lastmodifieddate:t:r hs_pipeline:e hs_pipeline_stage:e",
}

_OPTIONS = {
    "lifecyclestage": LIFECYCLE_STAGES,
    "hs_lead_status": (
        "NEW",
        "OPEN",
        "IN_PROGRESS",
        "OPEN_DEAL",
        "UNQUALIFIED",
        "ATTEMPTED_TO_CONTACT",
        "CONNECTED",
        "BAD_TIMING",
    ),
    "dealtype": ("newbusiness", "existingbusiness"),
    "hs_priority": ("low", "medium", "high"),
    "hs_ticket_priority": ("LOW", "MEDIUM", "HIGH", "URGENT"),
    "hs_ticket_category": ("PRODUCT_ISSUE", "BILLING_ISSUE", "FEATURE_REQUEST", "GENERAL_INQUIRY"),
    "hs_call_direction": ("INBOUND", "OUTBOUND"),
    "hs_call_status": (
        "BUSY",
        "CALLING_CRM_USER",
        "CANCELED",
        "COMPLETED",
        "CONNECTING",
        "FAILED",
        "IN_PROGRESS",
        "NO_ANSWER",
        "QUEUED",
        "RINGING",
    ),
    "hs_email_direction": ("EMAIL", "INCOMING_EMAIL", "FORWARDED_EMAIL"),
    "hs_email_status": ("BOUNCED", "FAILED", "SCHEDULED", "SENDING", "SENT"),
    "hs_meeting_outcome": ("SCHEDULED", "COMPLETED", "RESCHEDULED", "NO_SHOW", "CANCELED"),
    "hs_task_status": ("NOT_STARTED", "IN_PROGRESS", "WAITING", "COMPLETED", "DEFERRED"),
    "hs_task_priority": ("NONE", "LOW", "MEDIUM", "HIGH"),
    "hs_task_type": ("EMAIL", "CALL", "TODO"),
    "industry": ("COMPUTER_SOFTWARE", "CONSTRUCTION", "EDUCATION_MANAGEMENT", "HOSPITALITY", "RETAIL"),
}

_TYPES = {
    "s": ("string", "text"),
    "n": ("number", "number"),
    "d": ("date", "date"),
    "t": ("datetime", "date"),
    "b": ("bool", "booleancheckbox"),
    "e": ("enumeration", "select"),
}


def group_of(object_type: ObjectType) -> str:
    """The property group that every type has from the beginning."""
    return f"{object_type.singular}information" if not object_type.is_custom else f"{object_type.name}_information"


def standard_properties(object_type: ObjectType) -> list[PropertyDefinition]:
    """Fresh definitions of what HubSpot defines for `object_type`; sorted by name."""
    compact = f"{_EVERY_TYPE} {_PER_TYPE.get(object_type.name, '') or _PER_TYPE['']}"
    return sorted((_parse(word, object_type) for word in compact.split()), key=lambda one: one.name)


def _parse(word: str, object_type: ObjectType) -> PropertyDefinition:
    name, kind, flags = [*word.split(":"), "s", ""][:3] if ":" in word else (word, "s", "")
    if word.count(":") == 1:
        flags = ""
    type_, field_type = _TYPES[kind]
    options = {value: value.replace("_", " ").capitalize() for value in _OPTIONS.get(name, ())}
    return PropertyDefinition(
        name=name,
        label=name.removeprefix("hs_").replace("_", " ").capitalize(),
        type=type_,
        field_type=field_type,
        group_name=group_of(object_type),
        options=options,
        external_options=kind == "e" and not options,
        read_only="r" in flags,
        calculated="c" in flags,
        unique="u" in flags,
        hubspot_defined=True,
        is_email=object_type.has_email and name == "email",
    )
