"""The public keys an application seals to, each checked against what it pins."""

from __future__ import annotations

from dataclasses import dataclass, field

from consent import certificates
from consent.core.facts import DirectoryEntry
from exchange import outcomes
from exchange.core.errors import Code
from exchange.ports import Clock, Ledger
from exchange.trust import Trust


@dataclass
class KnownKeys:
    """The directory, asked for once."""

    ledger: Ledger
    trust: Trust
    clock: Clock
    _entries: list[DirectoryEntry] = field(default_factory=list)

    async def entry(self, kind: str, organisation: str) -> DirectoryEntry:
        """The newest key in force; `BusUnavailable` without one, BadCertificate where the registrar signed another."""
        if not self._entries:
            self._entries = await self.ledger.directory()
            for entry in self._entries:
                certificates.check_entry(entry, self.trust.registrar, 0)
        return self.known(kind, organisation)

    def known(self, kind: str, organisation: str) -> DirectoryEntry:
        """The same, of what was asked for before."""
        now_ms = self.clock.now_ms()
        found = [
            e for e in self._entries if (e.kind, e.organisation) == (kind, organisation) and now_ms < e.not_after_ms
        ]
        if not found:
            raise outcomes.BusUnavailable(Code.UNAVAILABLE)
        return found[-1]

    async def intake(self) -> DirectoryEntry:
        """The ledger's own key; BadCertificate unless the certificate key that is pinned signed it."""
        own = await self.ledger.intake()
        certificates.check_entry(own, self.trust.registrar, self.clock.now_ms())
        if (own.kind, own.organisation, own.enrolment_key) != ("ledger", self.trust.log.name, self.trust.certificate):
            raise certificates.BadCertificate("not this ledger's key")
        return own
