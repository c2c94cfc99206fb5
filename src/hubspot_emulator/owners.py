"""Owners: the people and queues that records are assigned to."""

from __future__ import annotations

from typing import Any

from .clock import iso
from .problems import NotFound

__all__ = ["Owners"]


class Owners:
    """Owners by id, in id order. An account starts with one."""

    def __init__(self) -> None:
        self._owners: dict[int, dict[str, Any]] = {}
        self._next = 501
        self.add("owner@example.com", "Olive", "Owner")

    def add(
        self, email: str, first_name: str, last_name: str, *, at_ms: int = 0, archived: bool = False
    ) -> dict[str, Any]:
        id_, self._next = self._next, self._next + 1
        self._owners[id_] = {
            "id": str(id_),
            "email": email,
            "type": "PERSON",
            "firstName": first_name,
            "lastName": last_name,
            "userId": 9_000 + id_,
            "userIdIncludingInactive": 9_000 + id_,
            "createdAt": iso(at_ms),
            "updatedAt": iso(at_ms),
            "archived": archived,
        }
        return self._owners[id_]

    def change(self, id_: str, at_ms: int, **values: Any) -> dict[str, Any]:
        """Such as `archived=True`, which is what becomes of a user who is removed. Raises NotFound."""
        owner = next((one for one in self._owners.values() if one["id"] == id_), None)
        if owner is None:
            raise NotFound(f"Owner {id_} does not exist")
        owner.update(values, updatedAt=iso(at_ms))
        return owner

    def remove(self, id_: str) -> None:
        """Gone for good: among neither the live nor the archived ones."""
        del self._owners[int(id_)]

    def get(self, id_: str, *, by_user_id: bool = False, archived: bool = False) -> dict[str, Any]:
        """Raises NotFound."""
        key = "userId" if by_user_id else "id"
        for owner in self._owners.values():
            if str(owner[key]) == id_ and owner["archived"] == archived:
                return owner
        raise NotFound(f"Owner {id_} does not exist")

    def all(self) -> list[dict[str, Any]]:
        """Live and archived ones."""
        return list(self._owners.values())

    def page(
        self, *, limit: int, first: int, email: str | None, archived: bool
    ) -> tuple[list[dict[str, Any]], int | None]:
        """Owners from id `first`, and the id that the next page starts with."""
        matching = [
            (id_, owner)
            for id_, owner in self._owners.items()
            if id_ >= first and owner["archived"] == archived and email in (None, owner["email"])
        ]
        following = matching[limit][0] if len(matching) > limit else None
        return [owner for _, owner in matching[:limit]], following
