"""The certificates that tasks rely upon: one a task bears, one kept, else the ledger's, asked for once for all of a chunk.

The ledger signed it, so it does not matter who hands it over; what a task names is the SHA-256 of its bytes.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from consent.certificates import certificate_hash
from consent.core.facts import Authorisation
from consent.core.rules import usable
from exchange.core.errors import Code
from exchange.ports import Clock, Ledger

KEPT = 4_096
_NOT_TOLD = bytes(32)
"""The hash in a task of version 1, which bears its certificate."""


class Relied(NamedTuple):
    """What a task relies upon."""

    authorisation: bytes
    hash: bytes


Found = Mapping[Relied, bytes | Code]
"""Signed bytes, or why there are none."""


def relied_upon(task: Mapping[str, Any]) -> Relied:
    """`task`: a read exchange-task."""
    return Relied(task["authorisation_id"], task["certificate_hash"])


class Certificates:
    """Signed bytes by who relies upon them; the longest unused leave first."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger, self._clock = ledger, clock
        self._kept: OrderedDict[Relied, bytes] = OrderedDict()

    async def of(self, tasks: Iterable[Mapping[str, Any]]) -> Found:
        """For those tasks that bear none. Raises what the ledger raises."""
        asked = {relied_upon(task) for task in tasks if not task["certificate"]}
        found: dict[Relied, bytes | Code] = {one: self._kept[one] for one in asked & self._kept.keys()}
        if missing := list(asked - found.keys()):
            held = await self._ledger.lookup([one.authorisation for one in missing])
            now_ms = self._clock.now_ms()
            found |= {one: _in_force(one, each, now_ms) for one, each in zip(missing, held, strict=True)}
        for one, signed in found.items():
            if not isinstance(signed, Code):
                self._kept[one] = signed
                self._kept.move_to_end(one)
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return found


def borne(task: Mapping[str, Any], found: Found) -> bytes | Code:
    """The certificate of a task: its own, or what was found of it."""
    if not task["certificate"]:
        return found.get(relied_upon(task), Code.CERTIFICATE_INVALID)
    its_own = task["certificate_hash"] in (_NOT_TOLD, certificate_hash(task["certificate"]))
    return task["certificate"] if its_own else Code.CERTIFICATE_INVALID


def _in_force(relied: Relied, held: Authorisation | None, now_ms: int) -> bytes | Code:
    """The ledger has the one in force; of another it says why it serves no more."""
    if held is None:
        return Code.AUTHORISATION_UNKNOWN
    if certificate_hash(held.certificate) == relied.hash:
        return held.certificate
    reason = usable(held.state, held.not_before_ms, held.not_after_ms, held.uses, held.max_uses, now_ms)
    return reason or Code.CERTIFICATE_OUTDATED
