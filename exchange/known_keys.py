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
    _entries: dict[tuple[str, str], list[DirectoryEntry]] = field(default_factory=dict)
    _connectors: list[DirectoryEntry] = field(default_factory=list)

    async def entry(self, kind: str, organisation: str) -> DirectoryEntry:
        """The newest key in force; `BusUnavailable` without one, BadCertificate where the registrar signed another."""
        await self.read()
        return self.known(kind, organisation)

    async def read(self) -> None:
        """The directory, unless it was read before; BadCertificate as above."""
        if self._entries:
            return
        entries = await self.ledger.directory()
        for entry in entries:
            certificates.check_entry(entry, self.trust.registrar, 0)
        for entry in entries:
            self._entries.setdefault((entry.kind, entry.organisation), []).append(entry)
        self._connectors = [entry for entry in entries if entry.kind == "connector"]  # few, of all collectivities

    def known(self, kind: str, organisation: str) -> DirectoryEntry:
        """The same, of what was asked for before."""
        now_ms = self.clock.now_ms()
        for entry in reversed(self._entries.get((kind, organisation), ())):
            if now_ms < entry.not_after_ms:
                return entry
        raise outcomes.BusUnavailable(Code.UNAVAILABLE)

    def connector(self, provider: str) -> bytes:
        """The raw public key that answers of this provider are signed with, as `known`."""
        return self.known("connector", provider).public_key

    def connectors(self) -> dict[str, bytes]:
        """The same of each provider that has one."""
        now_ms = self.clock.now_ms()
        return {entry.organisation: entry.public_key for entry in self._connectors if now_ms < entry.not_after_ms}

    async def intake(self) -> DirectoryEntry:
        """The ledger's own key; BadCertificate unless the certificate key that is pinned signed it."""
        own = await self.ledger.intake()
        certificates.check_entry(own, self.trust.registrar, self.clock.now_ms())
        if (own.kind, own.organisation, own.enrolment_key) != ("ledger", self.trust.log.name, self.trust.certificate):
            raise certificates.BadCertificate("not this ledger's key")
        return own
