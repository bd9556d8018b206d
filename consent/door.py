"""The ledger's whole door, as its process serves it: what agents call, and what only its owner may do.

`exchange.ports.Ledger` is the agents' part. The rest is the registrar's, the data protection officer's and the operator's; in this
first cut the mode of the socket (0600) is who may call.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from consent.core.citizen import Agreement, Preview, Use
from consent.core.facts import (
    Delegation,
    DirectoryEntry,
    Evidence,
    Grant,
    Habilitation,
    Handover,
    Submission,
    Tally,
    Terms,
)
from consent.core.lost import Recovered
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
from exchange.ports import Ledger


class Door(Ledger, Protocol):
    """Every method a ledger answers."""

    async def terms(self, authorisation: bytes) -> Terms:
        """The terms it was asked for or given under, as they stand; `Refused` if it is unknown."""

    async def renew(self, authorisation: bytes, terms: Terms, evidence: Evidence, operator: str) -> Grant:
        """More time or uses, agreed to anew, for what is live, expired or used up: new epoch, key and certificate."""

    async def rebind(self, authorisation: bytes, identity: bytes, evidence: Evidence, operator: str) -> Grant:
        """The same person under a corrected identity: new commitment, epoch, key and certificate."""

    async def claim(self, authorisation: bytes, identity: bytes, evidence: Evidence) -> None:
        """A live agreement that an agent recorded becomes the person's own: `rebind` to the canonical identity they logged in with, which
        must be of the person recorded (`consent.core.citizen.same_person`): else `Refused` `evidence_invalid`."""

    async def agreements(self, identity: bytes) -> list[Agreement]:
        """Every agreement about the person of canonical `identity`, or that they gave for another, until that child is of age; the newest
        first. Erased ones are not there, nor those recorded under another spelling (`claim`)."""

    async def agreement(self, authorisation: bytes) -> Agreement:
        """One agreement; `Refused` `authorisation_unknown` if it is unknown or erased."""

    async def agreement_of_code(self, code: str) -> Agreement:
        """The agreement whose receipt bears this code (`consent.core.codes`), however it was typed; `Refused` as above."""

    async def uses(self, authorisation: bytes) -> list[Use]:
        """The requests made under an agreement that have ended, the newest first, 200 at most."""

    async def previews(self, authorisations: Sequence[bytes]) -> list[Preview]:
        """What waits for its person under these agreements and may still be let through, the first to end first; 200 at most."""

    async def previewed(self, submission: Submission, accepted: bool, evidence: Evidence) -> int:
        """What the person says, themself or through an agent, to what waits for them: a leaf, whose index comes back. Let through, release
        goes on with it; refused, its one outcome is `refused` with `preview_rejected`, no use is counted and what waited is erased. Said
        again: the same leaf. `Refused`: `nothing_waits`, `conflict` (they said the contrary), `evidence_missing` (an agent who is nobody),
        or why nothing may be handed over any more."""

    async def receipt(self, authorisation: bytes) -> str:
        """Its receipt, as signed JSON-LD (`consent.receipts`): the tlog-proof is in it, the page is drawn from it. `Refused` if it is
        unknown or erased."""

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

    async def habilitations(self) -> list[Habilitation]:
        """All that were ever given, as they stand: those over and those revoked too."""

    async def delegate(self, recipient: str, operator: str, not_after_ms: int, handover: Handover = "push") -> None:
        """An operator may publish for a collectivity, until then; with `pull` answers to it wait until it opens them (`open`)."""

    async def delegations(self) -> list[Delegation]:
        """All that were ever given, as they stand: those over too."""

    async def enter(self, entry: DirectoryEntry) -> DirectoryEntry:
        """A public key enters the directory; countersigned."""

    async def sign_rule(self, document: str) -> bytes:
        """The rule of this JSON text (`exchange.core.rule`), in its one form, signed by the registrar; `Refused` `rule_invalid`."""

    async def appoint(self, officer: Officer) -> int:
        """A data protection officer, a perimeter and a time; the leaf's index."""

    async def query(self, officer: str, reason: str, query: Query, proofs: bool = True) -> Found:
        """The authorisations that match, within the officer's perimeter, with the checkpoint the page is complete against. Like all that
        officers ask, it is a leaf, also where it is `Refused` (`officer_unknown`, `outside_perimeter`; `reason_missing` is none)."""

    async def basis(self, officer: str, reason: str, request: bytes) -> Grounds:
        """On what basis a request was released, or how else it ended; `Refused` `nothing_found` where the perimeter has none such."""

    async def refer(self, officer: str, reason: str, identity: bytes, recipient: str) -> bytes:
        """The reference (32 bytes) of the person of canonical `identity` at a recipient; nothing of the identity is kept."""

    async def breach(self, officer: str, reason: str, worker: str, from_ms: int, to_ms: int) -> Breach:
        """What passed through a worker (GDPR art. 33); `to_ms` excluded, 0 for no end."""

    async def dossier(self, officer: str, reason: str, subject: bytes, authorisation: bytes = b"") -> Signed:
        """All about a person (GDPR art. 15), by reference or else by one authorisation; form in `consent.core.dossier`."""

    async def processing(self, officer: str, reason: str) -> Register:
        """The register of processing activities (GDPR art. 30)."""

    async def erase(self, officer: str, reason: str, subject: bytes) -> Erased:
        """Erase a person (GDPR art. 17): every key is gone on return. Asking again gets the same certificate."""

    async def life(self, officer: str, reason: str, authorisation: bytes) -> Lived:
        """One authorisation with its whole life, facts with their proofs and contents, and each request made under it; `Refused`
        `nothing_found` where the perimeter has none such."""

    async def alerts(self, officer: str, reason: str, from_ms: int, to_ms: int) -> Alerts:
        """What deserves an eye in a period: refusals by reason, agreements by channel, the agents who recorded most; `to_ms` as above."""

    async def consultations(self, officer: str, reason: str, before: int = 0) -> Consultations:
        """What this officer asked, newest first, from the leaf `before` backwards; 0: from the last."""

    async def consult(self, authorisation: bytes, agent: str, recipient: str) -> None:
        """An agent of that recipient looks at an agreement of theirs: recorded in the person's file. `Refused` `authorisation_unknown`
        where the recipient has none such."""

    async def tally(self, agent: str) -> Tally:
        """How many agreements an agent recorded for others in the last 24 h, and how many they may."""

    async def sweep(self) -> int:
        """Record what time has done: expiries, settled withdrawals; how many leaves."""

    async def rotate(self, now: bool = False, content: bool = False) -> int:
        """A new release KEK if the last is a day old, or `now`; a new content KEK if asked. The keys under others are moved, those
        others destroyed. How many keys moved."""

    async def missing(self) -> int:
        """How many leaves the store is known to lack of the log it published; while it does, all else raises `Recovering`."""

    async def recover(self, folder: str) -> Recovered:
        """One step of reading the missing leaves back from a copy of the public log, or of making new keys; call it until `reread` and
        `rekeyed` are 0. `Refused` `log_unusable` if it does not lead from this store to a head of ours."""

    async def verify(self) -> list[str]:
        """Recompute the log from its leaves; what does not hold."""

    async def has_key(self, authorisation: bytes) -> bool:
        """Whether any private key of this authorisation still exists."""


METHODS = frozenset(name for name in dir(Door) if not name.startswith("_"))
