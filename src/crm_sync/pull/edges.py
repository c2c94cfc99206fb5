"""Edges: the associations of some records, as they are fetched and written."""

from __future__ import annotations

from dataclasses import dataclass, field

Edge = tuple[int, str, int, str, int]


@dataclass(slots=True)
class Edges:
    """All associations of some records to some object types: what is not in `rows` is not so any more.

    rows  (from id, to type, to id, category, type id) → label
    """

    ids: tuple[int, ...]
    targets: tuple[str, ...]
    rows: dict[Edge, str | None] = field(default_factory=dict)
