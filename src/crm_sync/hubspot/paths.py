"""ApiPaths: where HubSpot keeps things, for each shape of its addresses.

HubSpot has two families: `/crm/v3/objects/contacts`, which repeats array parameters in a query, and dated
ones such as `/crm/objects/2026-03/contacts`, which joins them with commas. The bodies are the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote

from crm_sync.hubspot.errors import Misconfigured

_DATED = re.compile(r"\d{4}-\d{2}")

Query = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class ApiPaths:
    """Addresses of one API version: "v3" or a dated one such as "2026-03"."""

    version: str

    def __post_init__(self) -> None:
        if self.version != "v3" and not _DATED.fullmatch(self.version):
            raise Misconfigured(f'HubSpot API version {self.version!r} is neither "v3" nor dated like "2026-03".')

    @property
    def dated(self) -> bool:
        return self.version != "v3"

    def objects(self, object_type: str, *segments: str) -> str:
        """`/crm/v3/objects/contacts/batch/upsert`, for example."""
        return self._crm("objects", object_type, *segments)

    def properties(self, object_type: str, *segments: str) -> str:
        return self._crm("properties", object_type, *segments)

    def associations(self, from_type: str, to_type: str, *segments: str) -> str:
        """`/crm/v4/associations/contacts/deals/batch/read`: what belongs to version 3 elsewhere is version 4 here."""
        family = ("associations", self.version) if self.dated else ("v4", "associations")
        return _joined("crm", *family, from_type, to_type, *segments)

    def association_type_names(self, from_type: str, to_type: str) -> str:
        """The same for every version."""
        return _joined("crm", "v3", "associations", from_type, to_type, "types")

    def schemas(self) -> str:
        return _joined("crm-object-schemas", self.version, "schemas")

    def owners(self) -> str:
        return self._crm("owners")

    def pipelines(self, object_type: str) -> str:
        return self._crm("pipelines", object_type)

    def forms(self) -> str:
        family = ("forms", self.version) if self.dated else (self.version, "forms")
        return _joined("marketing", *family)

    def form_submissions(self, form_id: str) -> str:
        """The same for every version."""
        return _joined("form-integrations", "v1", "submissions", "forms", form_id)

    def email_events(self) -> str:
        """The same for every version."""
        return _joined("email", "public", "v1", "events")

    def account(self, *segments: str) -> str:
        return _joined("account-info", self.version, *segments)

    def array(self, name: str, values: Iterable[str]) -> Query:
        """An array parameter as this version wants it; nothing for no values."""
        values = tuple(values)
        if self.dated:
            return ((name, ",".join(values)),) if values else ()
        return tuple((name, value) for value in values)

    def _crm(self, area: str, *segments: str) -> str:
        family = (area, self.version) if self.dated else (self.version, area)
        return _joined("crm", *family, *segments)


def _joined(*segments: str) -> str:
    return "/" + "/".join(quote(segment, safe="") for segment in segments)
