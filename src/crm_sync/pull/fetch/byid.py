"""RecordsById: records asked for by their ids, of which none is lost on the way.

HubSpot's batches answer with fewer results and errors than there were inputs at times. What a batch says nothing about
is asked for again, alone; in a batch too, since the address of a single record has no room for every property.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from crm_sync.errors import PullError
from crm_sync.hubspot import HubSpotClient
from crm_sync.hubspot.objects import BATCH_SIZE, BATCH_SIZE_WITH_HISTORY, Record
from crm_sync.pull.report import StreamReport
from crm_sync.pull.stream import Stream

_NOT_THERE: Final = "OBJECT_NOT_FOUND"
#: Batches under way at once; the rate limiter has the last word.
_AT_ONCE: Final = 5
#: How often one record alone is asked for.
_ATTEMPTS: Final = 5


class RecordsById:
    """Reads records of one stream with the properties wanted, and their history where the stream keeps one."""

    def __init__(self, client: HubSpotClient, stream: Stream, properties: Sequence[str], report: StreamReport) -> None:
        self._client = client
        self._stream = stream
        self._properties = tuple(properties)
        self._report = report
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def read(self, ids: Sequence[str]) -> tuple[list[Record], list[int]]:
        """The live records among `ids`, and the ids that HubSpot has no live record of. Raises PullError when it says
        neither of one."""
        size = BATCH_SIZE_WITH_HISTORY if self._stream.history else BATCH_SIZE
        parts = [ids[start : start + size] for start in range(0, len(ids), size)]
        answers = await asyncio.gather(*(self._part(part) for part in parts))
        records = [record for found, _gone in answers for record in found]
        return records, [int(one) for _found, gone in answers for one in gone]

    async def _part(self, ids: Sequence[str]) -> tuple[list[Record], list[str]]:
        records, gone = await self._batch(ids)
        for unanswered in _unanswered(ids, records, gone):
            self._report.note("A batch said nothing about some of its records; these were asked for one by one.")
            for _attempt in range(_ATTEMPTS):
                found, not_there = await self._batch([unanswered])
                if found or not_there:
                    break
            else:
                raise PullError(f"HubSpot answers nothing about the record {unanswered} of {self._stream.name}.")
            records += found
            gone += not_there
        return records, gone

    async def _batch(self, ids: Sequence[str]) -> tuple[list[Record], list[str]]:
        async with self._turns:
            result = await self._client.batch_read(
                self._stream.object_type, ids, properties=self._properties, history=self._stream.history
            )
        self._report.pages += 1
        found = {record.id for record in result.results}
        gone = [one for error in result.errors if error.category == _NOT_THERE for one in error.ids if one not in found]
        return list(result.results), gone


def _unanswered(ids: Sequence[str], records: Sequence[Record], gone: Sequence[str]) -> list[str]:
    answered = {record.id for record in records} | set(gone)
    return [one for one in ids if one not in answered]
