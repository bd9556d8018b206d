"""What data protection officers ask of the ledger, and the erasures they order (GDPR art. 15, 17, 30, 33)."""

from __future__ import annotations

from consent import dossier as dossiers
from consent import erasure, officers, oversight, processing, queries
from consent.core.query import (
    Alerts,
    Breach,
    Consultations,
    Erased,
    Found,
    Grounds,
    Lived,
    Officer,
    Query,
    Register,
    Signed,
)
from consent.officers import answered
from consent.part import Part
from consent.stores.engine import scrub


class Office(Part):
    """One of the bases of `consent.ledger.Ledger`: a question, its leaf and its answer are one transaction."""

    async def appoint(self, officer: Officer) -> int:
        with self._begin() as tx:
            return officers.appoint(tx, officer)

    async def query(self, officer: str, reason: str, query: Query, proofs: bool = True) -> Found:
        with self._begin() as tx:
            found = queries.find(tx, officer, reason, query, proofs)
        return answered(found)

    async def basis(self, officer: str, reason: str, request: bytes) -> Grounds:
        with self._begin() as tx:
            grounds = queries.basis(tx, officer, reason, request)
        return answered(grounds)

    async def refer(self, officer: str, reason: str, identity: bytes, recipient: str) -> bytes:
        with self._begin() as tx:
            subject = queries.refer(tx, officer, reason, identity, recipient)
        return answered(subject)

    async def breach(self, officer: str, reason: str, worker: str, from_ms: int, to_ms: int) -> Breach:
        with self._begin() as tx:
            breach = queries.breach(tx, officer, reason, worker, from_ms, to_ms)
        return answered(breach)

    async def dossier(self, officer: str, reason: str, subject: bytes, authorisation: bytes = b"") -> Signed:
        with self._begin() as tx:
            dossier = dossiers.dossier(tx, officer, reason, subject, authorisation)
        return answered(dossier)

    async def processing(self, officer: str, reason: str) -> Register:
        with self._begin() as tx:
            activities = processing.processing(tx, officer, reason)
        return answered(activities)

    async def life(self, officer: str, reason: str, authorisation: bytes) -> Lived:
        with self._begin() as tx:
            lived = oversight.life(tx, officer, reason, authorisation)
        return answered(lived)

    async def alerts(self, officer: str, reason: str, from_ms: int, to_ms: int) -> Alerts:
        with self._begin() as tx:
            alerts = oversight.alerts(tx, officer, reason, from_ms, to_ms)
        return answered(alerts)

    async def consultations(self, officer: str, reason: str, before: int = 0) -> Consultations:
        with self._begin() as tx:
            told = oversight.consultations(tx, officer, reason, before)
        return answered(told)

    async def erase(self, officer: str, reason: str, subject: bytes) -> Erased:
        with self._begin() as tx:
            closing = erasure.close(tx, officer, reason, subject)
        if not isinstance(closing, erasure.Erasing):
            return answered(closing)
        scrub(self._engine, required=True)
        await self._leases_over([one.authorisation for one in closing.closings])
        with self._begin() as tx:
            return erasure.certify(tx, closing)
