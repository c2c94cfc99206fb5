"""Lane: one way to write records, in batches, until every write has its outcome.

A batch that HubSpot refuses as a whole is halved until only the culprit fails: n writes with one culprit cost about
2 · log2(n) calls more. What HubSpot refuses for one write alone, the two lanes know how to mend:

    Updates   by record id. Gone: try it alone, since a single call still knows the ids of merged records, and leave
              it to the upserts when HubSpot has it no longer. Taken (the new e-mail belongs to another record): try
              it alone after all others, one of which may have given that e-mail up.
    Upserts   by unique property. Taken: update the record that has the key by now, if there is one. Which record
              HubSpot names in the conflict does not matter: it may be one that has another value in common.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, time, timedelta
from uuid import UUID

from crm_sync.hubspot.client import HubSpotClient
from crm_sync.hubspot.errors import DailyLimit, HubSpotError, NotFound, Unauthorized
from crm_sync.hubspot.objects import BatchResult, Record
from crm_sync.push.mappings import ObjectMapping
from crm_sync.push.match import match
from crm_sync.push.plan import Write
from crm_sync.push.refusal import Meaning, Refusal, is_about_inputs, without_property
from jobloop.outcome import Complete, Outcome, Retry

_LOST = "HubSpot accepted the batch but answered nothing about this record."


@dataclass(slots=True)
class Settled:
    """The outcomes so far, by row id."""

    mapping: ObjectMapping
    outcomes: dict[UUID, Outcome] = field(default_factory=dict)

    def done(self, write: Write, record: Record) -> None:
        self.each(write, Complete({self.mapping.id_column: record.id}))

    def refused(self, write: Write, refusal: Refusal) -> None:
        self.each(write, refusal.outcome())

    def each(self, write: Write, outcome: Outcome) -> None:
        self.outcomes.update(dict.fromkeys(write.row_ids, outcome))


class Lane(ABC):
    """Writes that go the same way."""

    def __init__(self, client: HubSpotClient, mapping: ObjectMapping, settled: Settled) -> None:
        self._client = client
        self._mapping = mapping
        self._settled = settled

    @abstractmethod
    async def _call(self, writes: Sequence[Write]) -> BatchResult:
        """One batch call."""

    @abstractmethod
    async def _mend(self, write: Write, refusal: Refusal) -> None:
        """Settle a write that HubSpot refused for itself alone."""

    async def send(self, writes: Sequence[Write]) -> None:
        """Settle all of `writes`, at most 100. Raises nothing of HubSpot's: its errors become outcomes."""
        if not writes:
            return
        try:
            result = await self._call(writes)
        except HubSpotError as error:
            await self._refused(writes, error)
        else:
            await self._answered(writes, result)

    async def _answered(self, writes: Sequence[Write], result: BatchResult) -> None:
        matched = match(writes, result, self._mapping.key_property, self._mapping.normal_key)
        for write, record in matched.done:
            self._settled.done(write, record)
        for write, error in matched.failed:
            await self._mend(write, Refusal.of(error))
        if matched.ambiguous and len(writes) > 1:
            await self._halve(matched.lost)
        else:
            for write in matched.lost:
                self._settled.each(write, Retry(_LOST))

    async def _refused(self, writes: Sequence[Write], error: HubSpotError) -> None:
        if (spoilt := without_property(error, writes)) is not None:
            carriers, refusal = spoilt
            for write in carriers:
                self._settled.refused(write, refusal)
            await self.send([write for write in writes if write not in carriers])
        elif not is_about_inputs(error):
            refusal = await _looked_into(self._client, error)
            for write in writes:
                self._settled.refused(write, refusal)
        elif len(writes) > 1:
            await self._halve(writes)
        else:
            await self._mend(writes[0], Refusal.of(error))

    async def _halve(self, writes: Sequence[Write]) -> None:
        middle = (len(writes) + 1) // 2
        await self.send(writes[:middle])
        await self.send(writes[middle:])


class Updates(Lane):
    """By record id. Call `finish` in the end; `gone` then holds the writes that are not settled.

    gone  their record is no longer in HubSpot
    """

    def __init__(self, client: HubSpotClient, mapping: ObjectMapping, settled: Settled) -> None:
        super().__init__(client, mapping, settled)
        self.gone: list[Write] = []
        self._taken: list[Write] = []

    async def finish(self) -> None:
        """Settle those whose e-mail was taken when they were sent."""
        for write in self._taken:
            await self._alone(write)
        self._taken.clear()

    async def _call(self, writes: Sequence[Write]) -> BatchResult:
        inputs = [write.update_input() for write in writes]
        return await self._client.batch_update(self._mapping.object_type, inputs)

    async def _mend(self, write: Write, refusal: Refusal) -> None:
        if refusal.meaning is Meaning.GONE:
            await self._alone(write)
        elif refusal.meaning is Meaning.TAKEN:
            self._taken.append(write)
        else:
            self._settled.refused(write, refusal)

    async def _alone(self, write: Write) -> None:
        try:
            record = await self._client.update(self._mapping.object_type, write.record_id or "", write.properties)
        except NotFound:
            self.gone.append(write)
        except HubSpotError as error:
            self._settled.refused(write, await _looked_into(self._client, error))
        else:
            self._settled.done(write, record)


class Upserts(Lane):
    """By unique property: updates what is there, creates what is not."""

    async def _call(self, writes: Sequence[Write]) -> BatchResult:
        key_property = self._mapping.key_property
        inputs = [write.upsert_input(key_property) for write in writes]
        return await self._client.batch_upsert(self._mapping.object_type, inputs, id_property=key_property)

    async def _mend(self, write: Write, refusal: Refusal) -> None:
        if refusal.meaning is not Meaning.TAKEN:
            self._settled.refused(write, refusal)
            return
        key_property = self._mapping.key_property
        try:
            record = await self._client.update(
                self._mapping.object_type, write.key, write.without(key_property), id_property=key_property
            )
        except NotFound:
            self._settled.each(write, Retry(refusal.text))
        except HubSpotError as error:
            self._settled.refused(write, await _looked_into(self._client, error))
        else:
            self._settled.done(write, record)


async def _looked_into(client: HubSpotClient, error: HubSpotError) -> Refusal:
    """The refusal, after a second look at what concerns more than this call.

    A refused token is tried with the smallest call there is: when that goes through, the refusal was a passing one and
    no reason to pause. A spent daily limit lasts until HubSpot resets it, at midnight when HubSpot does not say.
    """
    refusal = Refusal.of(error)
    match error:
        case Unauthorized():
            return refusal if await _is_refused(client) else replace(refusal, pause=None)
        case DailyLimit() if refusal.after is None:
            return refusal.lasting_until(await _resets_at(client))
        case _:
            return refusal


async def _is_refused(client: HubSpotClient) -> bool:
    try:
        await client.account()
    except Unauthorized:
        return True
    except HubSpotError:  # says nothing about the token
        return False
    return False


async def _resets_at(client: HubSpotClient) -> datetime:
    now = datetime.now(UTC)
    try:
        resets_at = (await client.daily_usage()).resets_at
    except HubSpotError:
        resets_at = None
    if resets_at is None or resets_at <= now:
        return datetime.combine(now.date() + timedelta(days=1), time(), UTC)
    return resets_at
