"""The four roles of a status column and every edge between them (pure).

            user: SET status = queued (any SQL, at any time, from any state)
                │
                ▼            claim (token, lease)            settle completed
 (not queued) ▶ QUEUED ──────────────────────▶ PROCESSING ──────────────────▶ COMPLETE
                ▲  ▲                              │  │  │
                │  └─ settle retried / snoozed ───┘  │  └── settle failed ──▶ ERROR
                └────── rescue (lease expired) ──────┘    or rescues spent ──▶ ERROR

Any other value of the column (NULL, "Skipped", …) means: not in the queue.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

from jobloop.errors import QueueDeclarationError


class Role(enum.Enum):
    """What a status value means to the queue, whatever its label is in the user's enum."""

    QUEUED = "queued"
    PROCESSING = "processing"
    COMPLETE = "complete"
    ERROR = "error"

    __hash__ = object.__hash__  # Enum's own is a Python function, and every settled row asks for it


#: Every change of status that jobloop itself makes: the statement, and (from, to).
EDGES: dict[str, frozenset[tuple[Role, Role]]] = {
    "claim": frozenset({(Role.QUEUED, Role.PROCESSING)}),
    "settle": frozenset(
        {
            (Role.PROCESSING, Role.COMPLETE),
            (Role.PROCESSING, Role.QUEUED),
            (Role.PROCESSING, Role.ERROR),
        }
    ),
    "rescue": frozenset({(Role.PROCESSING, Role.QUEUED), (Role.PROCESSING, Role.ERROR)}),
}


@dataclass(frozen=True, slots=True)
class Statuses:
    """The user's own value for each role: members of a Python enum, or strings.

    Raises `QueueDeclarationError` when two roles have the same value.
    """

    queued: Any
    processing: Any
    complete: Any
    error: Any

    def __post_init__(self) -> None:
        values = [self.queued, self.processing, self.complete, self.error]
        if len(set(values)) != len(values):
            raise QueueDeclarationError(f"the four statuses must differ, got {values!r}")

    def __getitem__(self, role: Role) -> Any:
        return getattr(self, role.value)
