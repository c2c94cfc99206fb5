"""Which column of the file is which field of a contact. Pure."""

import re
from dataclasses import dataclass
from uuid import UUID

from crm_sync.errors import IntakeError
from crm_sync.intake.records import Problem

DELIMITERS = (",", ";", "\t", "|")
FIELDS = ("id", "email", "name", "phone_number", "domain_id", "page_id")

# Header → role, compared without case, blanks and punctuation. `first` and `last` together make a name.
_ROLES = {
    "id": ("id", "uuid", "contactid"),
    "email": ("email", "emailaddress", "mail", "emailid", "primaryemail", "workemail"),
    "name": ("name", "fullname", "contactname", "displayname"),
    "first": ("firstname", "first", "givenname", "forename"),
    "last": ("lastname", "last", "surname", "familyname"),
    "phone_number": ("phonenumber", "phone", "telephone", "telephonenumber", "tel", "mobile", "mobilephone", "cell"),
    "domain_id": ("domainid",),
    "page_id": ("pageid",),
}
_ROLE_OF = {header: role for role, headers in _ROLES.items() for header in headers}
_SAYS_WHO = {"email", "name", "first", "last", "phone_number"}

Value = str | UUID | None
Row = tuple[Value, ...]


@dataclass(frozen=True)
class Columns:
    """The places of the roles in a line. `ignored` are the headers that nothing is made of."""

    width: int
    place: dict[str, int]
    used: dict[str, str]
    ignored: tuple[str, ...]

    @property
    def has_id(self) -> bool:
        return "id" in self.place

    def row(self, fields: list[str]) -> Row | Problem:
        """The values of FIELDS, text as it stands, blank as None; or why there is no such row."""
        if len(fields) != self.width:
            return Problem("wrong number of fields", f"{len(fields)} where the header has {self.width}")
        given = {role: fields[place] for role, place in self.place.items() if fields[place].strip()}
        if not given:
            return Problem("no value in any known column")
        joined = " ".join(given[role].strip() for role in ("first", "last") if role in given)
        ids: dict[str, UUID] = {}
        for role in ("id", "domain_id", "page_id"):
            if role in given:
                try:
                    ids[role] = UUID(given[role].strip())
                except ValueError:
                    return Problem(f"{role} is not a UUID", given[role].strip()[:60])
        return (
            ids.get("id"),
            given.get("email"),
            given.get("name") or joined or None,
            given.get("phone_number"),
            ids.get("domain_id"),
            ids.get("page_id"),
        )


def match_columns(headers: list[str]) -> Columns:
    """Raises IntakeError unless a column says who the contact is. Of two columns for one role the first counts."""
    place: dict[str, int] = {}
    used: dict[str, str] = {}
    ignored: list[str] = []
    for index, header in enumerate(headers):
        role = _ROLE_OF.get(_plain(header))
        if role is None or role in place:
            ignored.append(header.strip() or f"(column {index + 1})")
        else:
            place[role] = index
            used[header.strip()] = role if role in FIELDS else "name"
    if not _SAYS_WHO & place.keys():
        shown = ", ".join(header.strip()[:40] for header in headers[:8])
        raise IntakeError(
            "The first line must name the columns, among them email, name (or first name, last name) or phone; "
            f"it reads: {shown}{' …' if len(headers) > 8 else ''}."
        )
    return Columns(len(headers), place, used, tuple(ignored))


def guess_delimiter(header: str) -> str:
    """The one that finds the most known columns in the header; a comma when none does better."""
    return max(DELIMITERS, key=lambda delimiter: sum(_plain(cell) in _ROLE_OF for cell in header.split(delimiter)))


def _plain(header: str) -> str:
    return re.sub(r"[\W_]", "", header).casefold()
