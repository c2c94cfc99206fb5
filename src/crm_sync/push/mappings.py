"""How a row becomes a HubSpot record (pure). An object type is a value of `ObjectMapping`, no code of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from crm_sync.hubspot.properties import PropertyDefinition, PropertyGroup
from crm_sync.push.text import clean, is_email, normal_email, split_name


class UnmappableRow(ValueError):
    """The row cannot become a record before somebody changes it. The text goes into its error column."""


@dataclass(frozen=True, slots=True)
class ObjectMapping:
    """What the push needs to know about one object type.

    object_type   HubSpot's name, such as "contacts"
    id_column     the row's attribute that keeps HubSpot's record id; None there: not known to HubSpot yet
    key_property  the unique property by which HubSpot finds the record of a row without an id
    normal_key    brings HubSpot's and our spelling of a key to one form
    properties    (row, day of the push) → what is sent, the key included; raises UnmappableRow. An absent value
                  is left out, so that it never erases what somebody wrote in HubSpot
    """

    object_type: str
    id_column: str
    key_property: str
    normal_key: Callable[[str | None], str]
    properties: Callable[[Any, date], dict[str, str]]


@dataclass(frozen=True, slots=True)
class PropertyNames:
    """Names of the three custom properties of a contact in this HubSpot account."""

    domain_id: str = "scrapersky_domain_id"
    page_id: str = "scrapersky_page_id"
    sync_date: str = "scrapersky_sync_date"


#: The heading under which HubSpot shows the custom properties.
PROPERTY_GROUP = PropertyGroup(name="scrapersky", label="ScraperSky")


def contact_mapping(names: PropertyNames) -> ObjectMapping:
    """Contacts by e-mail. A row has email, name, phone_number, domain_id, page_id, hubspot_contact_id."""

    def properties(row: Any, day: date) -> dict[str, str]:
        first_name, last_name = split_name(row.name)
        return _present(
            {
                "email": _email_of(row.email),
                "firstname": first_name,
                "lastname": last_name,
                "phone": clean(row.phone_number),
                names.domain_id: _text(row.domain_id),
                names.page_id: _text(row.page_id),
                names.sync_date: day.isoformat(),
            }
        )

    return ObjectMapping(
        object_type="contacts",
        id_column="hubspot_contact_id",
        key_property="email",
        normal_key=normal_email,
        properties=properties,
    )


def contact_properties(names: PropertyNames) -> tuple[PropertyDefinition, ...]:
    """The custom properties that `contact_mapping` writes, as HubSpot must know them."""
    group = PROPERTY_GROUP.name
    return (
        PropertyDefinition(names.domain_id, "ScraperSky domain id", "string", "text", group),
        PropertyDefinition(names.page_id, "ScraperSky page id", "string", "text", group),
        PropertyDefinition(names.sync_date, "ScraperSky sync date", "date", "date", group),
    )


def utc_today() -> date:
    """HubSpot's dates are days of UTC."""
    return datetime.now(UTC).date()


def _email_of(text: str | None) -> str:
    email = normal_email(text)
    if not email:
        raise UnmappableRow("The contact has no e-mail address; HubSpot cannot tell it from others without one.")
    if not is_email(email):
        raise UnmappableRow("The contact's e-mail address is not one: it needs the form name@host.domain.")
    return email


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _present(properties: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in properties.items() if value}
