"""Forms, and what was submitted to them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from datetime import datetime

from crm_sync.hubspot.caller import Caller, next_after
from crm_sync.hubspot.exchange import Json
from crm_sync.hubspot.objects import id_in
from crm_sync.hubspot.times import time_in, time_of_ms

#: Forms of one page. How many HubSpot would give at most is not documented.
FORMS_PAGE = 50
#: Most submissions of one page.
SUBMISSIONS_PAGE = 50


@dataclass(frozen=True, slots=True)
class Form:
    """A form; `id` is its guid. `raw` is HubSpot's JSON, whole: the fields and what happens on submission."""

    id: str
    name: str
    created_at: datetime | None = None
    updated_at: datetime | None = None
    archived: bool = False
    raw: Json = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, body: Json) -> Form:
        return cls(
            id=id_in(body),
            name=body["name"],
            created_at=time_in(body.get("createdAt")),
            updated_at=time_in(body.get("updatedAt")),
            archived=body.get("archived") is True,
            raw=body,
        )


@dataclass(frozen=True, slots=True)
class FormPage:
    """`after` is what to pass for the next page; None on the last one."""

    forms: tuple[Form, ...]
    after: str | None = None

    @classmethod
    def of(cls, body: Json) -> FormPage:
        return cls(tuple(Form.of(entry) for entry in body["results"]), next_after(body))


@dataclass(frozen=True, slots=True)
class Submission:
    """What one person submitted. HubSpot does not say which contact that is: match by the value of `email`.

    conversion_id  HubSpot's id of it; where HubSpot gives none, one made of time, page and values, so that the same
                   submission has the same id in every answer
    values         (name, value) in the form's order; a field with several values comes once for each
    page_url       where the form stood, None when HubSpot does not say
    raw            HubSpot's JSON, whole
    """

    conversion_id: str
    submitted_at: datetime
    values: tuple[tuple[str, str], ...]
    page_url: str | None = None
    raw: Json = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, body: Json) -> Submission:
        return cls(
            conversion_id=body.get("conversionId") or _made_id(body),
            submitted_at=time_of_ms(body["submittedAt"]),
            values=tuple((entry["name"], _text(entry.get("value"))) for entry in body["values"]),
            page_url=body.get("pageUrl"),
            raw=body,
        )


@dataclass(frozen=True, slots=True)
class SubmissionPage:
    """`after` is what to pass for the next, older page; None on the last one."""

    submissions: tuple[Submission, ...]
    after: str | None = None

    @classmethod
    def of(cls, body: Json) -> SubmissionPage:
        return cls(tuple(Submission.of(entry) for entry in body["results"]), next_after(body))


class FormCalls(Caller):
    async def list_forms(self, after: str | None = None) -> FormPage:
        """At most 50 forms, of the kind that is made in HubSpot's form editor.

        Pop-up forms, forms that HubSpot found on a page, and archived ones do not come.
        """
        query = (("limit", str(FORMS_PAGE)), *((("after", after),) if after is not None else ()))
        return await self._get("forms", self._paths.forms(), FormPage.of, query)

    async def form_submissions(
        self, form_id: str, after: str | None = None, limit: int = SUBMISSIONS_PAGE
    ) -> SubmissionPage:
        """At most 50 submissions, newest first, under one address for every version of the API.

        There is no filter by time: read on until `submitted_at` is old enough. A submission that comes in between two
        pages moves the others on, so that some come twice. Raises NotFound for an unknown form.
        """
        query = (("limit", str(limit)), *((("after", after),) if after is not None else ()))
        path = self._paths.form_submissions(form_id)
        return await self._get("forms.submissions", path, SubmissionPage.of, query)


def _text(value: object) -> str:
    return value if isinstance(value, str) else "" if value is None else json.dumps(value)


def _made_id(body: Json) -> str:
    told = json.dumps([body["submittedAt"], body.get("pageUrl"), body["values"]], sort_keys=True)
    return f"made-{hashlib.sha256(told.encode()).hexdigest()[:32]}"
