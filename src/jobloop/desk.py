"""AnswerDesk: where handlers hand in their answers, to be decided, settled and counted."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from jobloop.claim import Claim
from jobloop.forms import Answer
from jobloop.lease import LeaseKeeper
from jobloop.outcome import describe
from jobloop.pauser import Pauser
from jobloop.report import CycleReport
from jobloop.settlement import COMPLETED, Settlement, decide
from jobloop.settler import Settler
from jobloop.store import Store

log = logging.getLogger("jobloop")


class AnswerDesk:
    """The `Desk` of one crew's handlers."""

    def __init__(
        self,
        store: Store,
        sessions: async_sessionmaker[AsyncSession],
        leases: LeaseKeeper,
        settler: Settler,
        pauser: Pauser,
        report: CycleReport,
    ) -> None:
        self._store = store
        self._sessions = sessions
        self._leases = leases
        self._settler = settler
        self._pauser = pauser
        self._report = report
        self._retry = store.queue.retry

    def open_session(self) -> AsyncSession:
        return self._sessions()

    def settle(self, claim: Claim, answer: Answer) -> None:
        self._pauser.heed(answer)
        self._settler.put(claim, COMPLETED if answer is None else self._decided(claim, answer))

    async def reread(self, share: list[Claim]) -> list[Claim]:
        held = set(await self._store.reread(share))
        for claim in share:
            if claim not in held:
                self._settler.put(claim, Settlement.released())  # which finds the claim lost, and counts it
        return [claim for claim in share if claim in held]

    async def settle_in(self, session: AsyncSession, answers: Sequence[tuple[Claim, Answer]]) -> None:
        if not session.in_transaction():  # nothing to commit together: it is cheaper with others
            await session.close()
            for claim, answer in answers:
                self.settle(claim, answer)
            return
        if len(answers) == 1:
            ((claim, answer),) = answers
            settlements = [(claim, decide(answer, claim.retry_count, self._retry))]  # an invalid one undoes its writes
        else:
            settlements = [(claim, self._decided(claim, answer)) for claim, answer in answers]
        contested = await self._store.settle_in(session, settlements)
        if not contested.lost:
            self._leases.drop([claim for claim, _ in settlements])
            for claim, settlement in settlements:
                self._report.count(settlement, contested.kept.get(claim, settlement.to))
            for _, answer in answers:
                self._pauser.heed(answer)
            return
        for claim in contested.lost:
            log.warning("%s: claim on %s was lost, its writes are rolled back", self._store.queue.name, claim.key)
        self._report.lost += self._leases.drop(contested.lost)
        for claim, _ in settlements:
            if claim not in contested.lost:  # what it wrote is rolled back with the others'
                self._settler.put(claim, Settlement.released())

    def _decided(self, claim: Claim, answer: Answer) -> Settlement:
        try:
            return decide(answer, claim.retry_count, self._retry)
        except Exception as exc:  # an invalid outcome, or a rule of the policy that raised
            return Settlement.failed(describe(exc))
