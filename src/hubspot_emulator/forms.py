"""Marketing forms and what was submitted to them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from .clock import iso
from .problems import NotFound

__all__ = ["Forms"]


class Forms:
    """Forms by guid; submissions newest first, with no contact id: a reader matches by e-mail [D]."""

    def __init__(self, portal_id: int) -> None:
        self._portal_id = portal_id
        self._forms: dict[str, dict[str, Any]] = {}
        self._submissions: dict[str, list[dict[str, Any]]] = {}
        self._made = 0

    def add(self, name: str, at_ms: int, fields: tuple[str, ...] = ("email", "firstname")) -> dict[str, Any]:
        guid = str(UUID(int=0xF0000000_0000_4000_8000_000000000000 + self._portal_id * 1_000 + self._made))
        self._made += 1
        form = {
            "id": guid,
            "name": name,
            "createdAt": iso(at_ms),
            "updatedAt": iso(at_ms),
            "archived": False,
            "formType": "hubspot",
            "fieldGroups": [
                {
                    "groupType": "default_group",
                    "richTextType": "text",
                    "fields": [_field(field_name) for field_name in fields],
                }
            ],
            "configuration": _CONFIGURATION,
            "displayOptions": _DISPLAY,
            "legalConsentOptions": {"type": "none"},
        }
        self._forms[guid] = form
        self._submissions[guid] = []
        return form

    def change(self, guid: str, at_ms: int, **values: Any) -> dict[str, Any]:
        """Such as `name="…"`. Raises NotFound."""
        form = self.get(guid)
        form.update(values, updatedAt=iso(at_ms))
        return form

    def remove(self, guid: str) -> None:
        """Neither listed nor read any more, and its submissions neither. Raises NotFound."""
        self.get(guid)
        del self._forms[guid], self._submissions[guid]

    def submit(self, guid: str, values: Mapping[str, str], at_ms: int) -> None:
        """Raises NotFound for an unknown form. One that is sent with an earlier time stands where that time is [D]."""
        self.get(guid)
        submission = {
            "conversionId": str(UUID(int=0xC0000000_0000_4000_8000_000000000000 + len(self._submissions[guid]))),
            "submittedAt": at_ms,
            "values": [{"name": name, "value": value, "objectTypeId": "0-1"} for name, value in values.items()],
            "pageUrl": "https://www.example.com/form",
        }
        listed = self._submissions[guid]
        place = next((number for number, one in enumerate(listed) if one["submittedAt"] <= at_ms), len(listed))
        listed.insert(place, submission)

    def get(self, guid: str) -> dict[str, Any]:
        if guid not in self._forms:
            raise NotFound(f"Form {guid} does not exist")
        return self._forms[guid]

    def page(self, *, limit: int, first: int) -> tuple[list[dict[str, Any]], int | None]:
        forms = list(self._forms.values())
        return forms[first : first + limit], first + limit if first + limit < len(forms) else None

    def all(self) -> list[dict[str, Any]]:
        return list(self._forms.values())

    def submitted(self, guid: str) -> list[dict[str, Any]]:
        """Every submission, newest first. Raises NotFound."""
        self.get(guid)
        return list(self._submissions[guid])

    def submissions(self, guid: str, *, limit: int, first: int) -> tuple[list[dict[str, Any]], int | None]:
        """A page of submissions, newest first, and the offset of the next page."""
        self.get(guid)
        listed = self._submissions[guid]
        return listed[first : first + limit], first + limit if first + limit < len(listed) else None


def _field(name: str) -> dict[str, Any]:
    body = {
        "objectTypeId": "0-1",
        "name": name,
        "label": name.capitalize(),
        "required": name == "email",
        "hidden": False,
        "fieldType": "email" if name == "email" else "single_line_text",
        "dependentFields": [],
    }
    if name == "email":
        body["validation"] = {"blockedEmailDomains": [], "useDefaultBlockList": False}
    return body


_CONFIGURATION = {
    "language": "en",
    "cloneable": True,
    "editable": True,
    "archivable": True,
    "recaptchaEnabled": False,
    "notifyContactOwner": False,
    "notifyRecipients": [],
    "createNewContactForNewEmail": False,
    "prePopulateKnownValues": True,
    "allowLinkToResetKnownValues": False,
    "lifecycleStages": [],
    "postSubmitAction": {"type": "thank_you", "value": "Thank you"},
}

_DISPLAY = {
    "renderRawHtml": False,
    "theme": "default_style",
    "submitButtonText": "Submit",
    "style": {
        "fontFamily": "arial",
        "backgroundWidth": "100%",
        "labelTextColor": "#33475b",
        "labelTextSize": "13px",
        "helpTextColor": "#7c98b6",
        "helpTextSize": "11px",
        "legalConsentTextColor": "#33475b",
        "legalConsentTextSize": "14px",
        "submitColor": "#ff7a59",
        "submitAlignment": "left",
        "submitFontColor": "#ffffff",
        "submitSize": "12px",
    },
}
