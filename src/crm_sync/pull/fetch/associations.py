"""Associations: those that came in line are used, only the rest is fetched, 1,000 ids a call.

In line, HubSpot names the type of an association but gives neither its number nor its label, and shows about a hundred;
`AssociationTypes` knows the numbers, and what was cut is read whole.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import islice
from typing import Final

from crm_sync.hubspot import HubSpotClient
from crm_sync.hubspot.associations import ASSOCIATION_INPUTS, AssociationType
from crm_sync.hubspot.objects import InlineAssociations, Record
from crm_sync.pull.edges import Edge, Edges
from crm_sync.pull.fetch.association_types import AssociationTypes
from crm_sync.pull.mirror.transform import id_of
from crm_sync.pull.report import StreamReport
from crm_sync.pull.stream import Stream

#: How often ids are asked for that an answer is silent about.
_ATTEMPTS: Final = 3


class AssociationReader:
    """The associations of one stream's records to its targets."""

    def __init__(
        self,
        client: HubSpotClient,
        stream: Stream,
        targets: Mapping[str, Stream],
        types: AssociationTypes,
        report: StreamReport,
    ) -> None:
        self._client = client
        self._stream = stream
        self.targets = targets
        self._types = types
        self._report = report

    async def of_listed(self, records: Sequence[Record]) -> list[Edges]:
        """Of records that came with their associations in line."""
        whole = [await self._in_line(name, target, records) for name, target in self.targets.items()]
        self._report.calls_saved += len(records) if self.targets else 0
        rest = await asyncio.gather(*(self._read(edges.targets[0], lacking) for edges, lacking in whole if lacking))
        return [edges for edges, _lacking in whole if edges.ids] + list(rest)

    async def of_ids(self, ids: Sequence[int]) -> list[Edges]:
        """Of records of which nothing came in line."""
        self._report.calls_saved += len(ids) if self.targets else 0
        parts = [ids[start : start + ASSOCIATION_INPUTS] for start in range(0, len(ids), ASSOCIATION_INPUTS)]
        return list(await asyncio.gather(*(self._read(name, part) for name in self.targets for part in parts)))

    async def _in_line(self, name: str, target: Stream, records: Sequence[Record]) -> tuple[Edges, list[int]]:
        """The associations to one target, and the ids whose list is cut or names a type that nobody knows."""
        names = target.names | {target.name, target.object_type}
        complete: list[int] = []
        lacking: list[int] = []
        rows: dict[Edge, str | None] = {}
        for record in records:
            record_id = id_of(record)
            lists = [record.associations[one] for one in record.associations.keys() & names]
            types = await self._types_of(target, lists)
            if types is None:
                lacking.append(record_id)
                continue
            complete.append(record_id)
            for one in lists:
                for to in one.targets:
                    type_ = types[to.type_name]
                    rows[record_id, name, int(to.id), type_.category, type_.type_id] = type_.label
        return Edges(tuple(complete), (name,), rows), lacking

    async def _types_of(
        self, target: Stream, lists: Iterable[InlineAssociations]
    ) -> Mapping[str, AssociationType] | None:
        """The types named in the lists; None when a list is cut or a name is not known."""
        types: dict[str, AssociationType] = {}
        for one in lists:
            if one.cut:
                return None
            for to in one.targets:
                if to.type_name not in types:
                    known = await self._types.named(self._stream, target, to.type_name)
                    if known is None:
                        return None
                    types[to.type_name] = known
        return types

    async def _read(self, name: str, ids: Sequence[int]) -> Edges:
        """All associations to one target. Ids that HubSpot does not answer for are left out of the answer's ids."""
        rows: dict[Edge, str | None] = {}
        silent: Collection[str] = [str(one) for one in ids]
        for _attempt in range(_ATTEMPTS):
            if silent:
                silent = await self._ask(name, silent, rows)
        if silent:
            self._report.note(f"HubSpot did not answer for the associations of some {self._stream.name} to {name}.")
        answered = tuple(one for one in ids if str(one) not in silent)
        return Edges(answered, (name,), {row: label for row, label in rows.items() if str(row[0]) not in silent})

    async def _ask(self, name: str, ids: Iterable[str], rows: dict[Edge, str | None]) -> set[str]:
        """Put all associations to one target into `rows`; returns the ids that an answer was silent about, be it only
        the last page of theirs: of these, `rows` does not hold all."""
        target = self.targets[name]
        silent: set[str] = set()
        wanted: dict[str, str | None] = dict.fromkeys(ids)
        while wanted:
            part = dict(islice(wanted.items(), ASSOCIATION_INPUTS))
            page = await self._client.read_associations(self._stream.object_type, target.object_type, part)
            self._report.calls_saved -= 1
            for from_id, found in page.found.items():
                for to in found:
                    for type_ in to.types:
                        rows[int(from_id), name, int(to.to_id), type_.category, type_.type_id] = type_.label
            for error in page.errors:
                self._report.note(f"Associations to {name}: {error.summary}")
            silent |= part.keys() - page.found.keys()
            wanted = {one: after for one, after in wanted.items() if one not in part} | dict(page.following)
        return silent
