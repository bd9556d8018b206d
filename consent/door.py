"""The ledger's whole door, as its process serves it: what agents call, and what only its owner may do.

`exchange.ports.Ledger` is the agents' part. The rest is the registrar's, the data protection officer's and the operator's; in this
first cut the mode of the socket (0600) is who may call.
"""

from __future__ import annotations

from typing import Protocol

from consent.core.facts import DirectoryEntry
from exchange.ports import Ledger


class Door(Ledger, Protocol):
    """Every method a ledger answers."""

    async def habilitate(
        self,
        recipient: str,
        data_set: str,
        purpose: str,
        scopes: tuple[str, ...],
        legal_reference: str,
        not_after_ms: int,
    ) -> None:
        """A collectivity may ask these scopes of a data set for a purpose, until then."""

    async def delegate(self, recipient: str, operator: str, not_after_ms: int) -> None:
        """An operator may publish for a collectivity, until then."""

    async def enter(self, entry: DirectoryEntry) -> DirectoryEntry:
        """A public key enters the directory; countersigned."""

    async def sweep(self) -> int:
        """Record what time has done: expiries, settled withdrawals; how many leaves."""

    async def verify(self) -> list[str]:
        """Recompute the log from its leaves; what does not hold."""

    async def has_key(self, authorisation: bytes) -> bool:
        """Whether any private key of this authorisation still exists."""


METHODS = frozenset(name for name in dir(Door) if not name.startswith("_"))
