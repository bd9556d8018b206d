"""Which agreement a query passes under: the one named, or the collectivity's own for that person and data set, from its wallet.

The index lives in this process, which is the collectivity's, and nowhere else. It follows the wallet's folder; a capsule is read again
at each use, so one that was replaced or renewed counts as it is now.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from consent import certificates
from consent.certificates import Certificate
from exchange.core import identity
from exchange.wallet import Wallet
from portal.core.facade import Offered, designation

Designated = frozenset[tuple[str, tuple[str, ...]]]


class Agreement(NamedTuple):
    """One that the wallet holds."""

    id: bytes
    certificate: Certificate
    person: identity.Identity


class Agreements:
    """Those of one wallet."""

    def __init__(self, wallet: Wallet, offered: Iterable[Offered]) -> None:
        self._wallet, self._offered = wallet, {one.operation.id: one for one in offered}
        self._found: defaultdict[tuple[str, Designated], set[bytes]] = defaultdict(set)
        self._seen: dict[bytes, int] = {}
        self._stamp: int | None = None
        self._over: set[bytes] = set()

    def named(self, agreement: bytes) -> Agreement | None:
        """The one of this id; None if the wallet has no capsule of it that opens."""
        capsule = self._wallet.capsule(agreement)
        if capsule is None:
            return None
        return Agreement(agreement, certificates.read_checked(capsule.certificate), identity.read(capsule.identity))

    def find(self, offered: Offered, person: Designated, now_ms: int) -> list[Agreement]:
        """Those in force for what is asked about this person, to the data themselves, in the order to try them: first those the bus has
        not said to be over, the last to end before the others."""
        self._follow()
        ids = self._found.get((offered.operation.id, person), ())
        held = [one for i in ids if (one := self.named(i)) is not None and serves(one, offered, person, now_ms)]
        return sorted(held, key=lambda one: (one.certificate.hash in self._over, -one.certificate.not_after_ms))

    def over(self, agreement: Agreement) -> None:
        """The bus says that nothing can be asked under it any more, as it stands."""
        self._over.add(agreement.certificate.hash)

    def _follow(self) -> None:
        stamp = self._wallet.stamp
        if stamp is not None and stamp == self._stamp:
            return
        self._stamp = stamp
        for agreement, stamp in self._wallet.held():
            if self._seen.get(agreement) == stamp:
                continue
            self._seen[agreement] = stamp
            held = self.named(agreement)
            if held is None:
                continue
            for offered in self._offered.values():
                if offered.description.data_set == held.certificate.data_set:
                    key = (offered.operation.id, designation(offered.operation, held.person))
                    self._found[key].add(agreement)


def serves(held: Agreement, offered: Offered, person: Designated, now_ms: int) -> bool:
    """Whether an agreement may be tried for a query: its data set, its person, in force, and not to a rule's answer alone."""
    said = held.certificate
    current = said.not_before_ms <= now_ms < said.not_after_ms and not said.rule_hash
    return current and about(held, offered, person)


def about(held: Agreement, offered: Offered, person: Designated) -> bool:
    """Whether it is an agreement to this data set about the person a query designates."""
    same = held.certificate.data_set == offered.description.data_set
    return same and designation(offered.operation, held.person) == person
