"""The protocol with one thing wrong: the twenty-six of protocol.md §9, and fourteen of our own; each with its world and the promise meant
to catch it.

Each mutant is a subclass of `Accord` that changes one decision; its docstring says what is wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

from consent.core.facts import Awaits
from consent.core.facts import State as Life
from consent.core.release import Fate
from consent.core.rules import CLOSED, Cell
from tests.model.previewing import Previewing
from tests.model.protocol import Accord
from tests.model.pulling import Pulling
from tests.model.state import Hand, Message, Outcome, Read, State, Step, Submission, World
from tests.model.worlds import OTHERS, WORLDS


class Mutant(NamedTuple):
    """`promise` must catch it, in `world`."""

    protocol: type[Accord]
    world: World
    promise: str


MUTANTS: list[Mutant] = []


def mutant(world: str, promise: str, **changes: Any) -> Any:
    """Registers a mutant: its world (some of whose sizes may be changed) and the promise meant for it."""

    def register(protocol: type[Accord]) -> type[Accord]:
        MUTANTS.append(Mutant(protocol, replace((WORLDS | OTHERS)[world], **changes), promise))
        return protocol

    return register


# The citizen's word


@mutant("A", "I1 order")
class GateIsTheAuthority(Accord):
    """Release does not ask again whether the authorisation is live."""

    def decide(self, s: State, message: Message, read: Read) -> tuple[Fate, int]:
        live = s if s.auth is None else s._replace(auth=Life.LIVE, key=True)
        return super().decide(live, message, read._replace(opened=True))


@mutant("A", "I1 order")
class AcknowledgedBeforeTheCommit(Accord):
    """The citizen is told first, the ledger commits later."""

    def may_acknowledge(self, s: State) -> bool:
        return super().may_acknowledge(s) or (s.auth is Life.LIVE and s.acknowledged is None)


@mutant("A", "I1 named")
class NamesNothing(Accord):
    """The acknowledgement names nothing, and does not wait for leases."""

    lease = False

    def names(self, s: State) -> frozenset[int]:
        return frozenset()


@mutant("A", "I1 named", acts=frozenset({"withdraw"}))
class CutIsGiven(Accord):
    """A release confirmed as cut is not named, though a stalled worker may hold its key."""

    lease = False

    def confirm(self, s: State, hand: Hand) -> State:
        told = super().confirm(s, hand)
        return told._replace(given=told.given | {hand.outcome[0]})


@mutant("A", "I1 handover")
class KeySurvivesWithdrawal(Accord):
    """The private key is kept after a withdrawal."""

    def key_after(self, s: State, cell: Cell) -> bool:
        return s.key if cell.state is Life.WITHDRAWN else super().key_after(s, cell)


@mutant("A", "I8 erasure")
class KeySurvivesErasure(Accord):
    """The private key is kept after an erasure."""

    def key_after(self, s: State, cell: Cell) -> bool:
        return s.key if cell.state is Life.ERASED else super().key_after(s, cell)


@mutant("A", "I1d short")
class NoLease(Accord):
    """A key may be sent at any time, and the acknowledgement does not wait."""

    lease = False


@mutant("A", "I1 order")
class OldBackup(Accord):
    """A backup from before the withdrawal, or a late replica, takes over."""

    def people(self, s: State) -> Iterator[Step]:
        yield from super().people(s)
        if s.auth in CLOSED:
            yield Step("fault", "old backup", (), s._replace(auth=Life.LIVE, key=True, log=s.log[:-1]))


@mutant("A", "I8 proofs")
class ErasureRewrites(Accord):
    """An erasure rewrites the leaf of what it erases."""

    def happen(self, s: State, life: Life, happening: Any) -> State:
        after = super().happen(s, life, happening)
        return after._replace(log=(("rewritten",), *after.log[1:])) if after.auth is Life.ERASED else after


# One outcome


@mutant("A", "I3 ledger")
class NoUniqueKey(Accord):
    """Nothing keeps a request from having two terminal rows."""

    def row(self, s: State, message: Message) -> Any:
        return None


class _SaysItself(Accord):
    """Somebody beside release writes an outcome."""

    @staticmethod
    def tell(s: State, sub: Submission, code: str) -> State:
        return s._replace(outcomes=s.outcomes | {(*sub, code, -1, "none")})


@mutant("A", "I3 collectivity")
class GateWritesOutcomes(_SaysItself):
    """The gate writes `refused` itself."""

    def judged(self, s: State, sub: Submission) -> State:
        after, refusal = super().judged(s, sub), ("refusal", *sub, 0)
        return self.tell(s, sub, "refused") if refusal in after.written - s.written else after


@mutant("A", "I3 collectivity")
class DeadlineAgentWritesOutcomes(_SaysItself):
    """The deadline agent writes `expired` itself."""

    def proposed(self, s: State, proposal: Message) -> State:
        return self.tell(s, (proposal[1], proposal[2]), "expired")

    def watches(self, s: State, sub: Submission) -> bool:
        return all(o[:2] != sub for o in s.outcomes)


@mutant("A", "I3 collectivity")
class CutIsToldAsRefused(Accord):
    """A release met again after a withdrawal is told as refused."""

    lease = False

    def decide(self, s: State, message: Message, read: Read) -> tuple[Fate, int]:
        fate, uses = super().decide(s, message, read)
        return (Fate("again", "refused") if fate.delivery == "cut" else fate), uses


@mutant("A", "I3 collectivity")
class AnswerDigestIgnored(Accord):
    """A second sealed answer gets the first one's outcome."""

    def row(self, s: State, message: Message) -> Any:
        row = s.rows[message[1]]
        return (*row[:2], message[3]) if row and row[1] == "released" and message[0] == "answer" else row


@mutant("C", "I5 conflict")
class RequestDigestIgnored(Accord):
    """The bytes of a request are not compared with those that its row was written for."""

    def row(self, s: State, message: Message) -> Any:
        row = s.rows[message[1]]
        return (message[2], *row[1:]) if row else row


# Uses


@mutant("A", "I6 uses")
class RedeliveryCounts(Accord):
    """A release met again counts another use."""

    def settle(self, s: State, message: Message, read: Read) -> tuple[State, Outcome | None]:
        after, outcome = super().settle(s, message, read)
        again = after.rows == s.rows and outcome is not None and outcome[2] == "released"
        return (after._replace(uses=after.uses + 1) if again else after), outcome


@mutant("B", "I6 uses", two_steps=True)
class UsesReadOutside(Accord):
    """Uses are read before the transaction, and so is whether the authorisation still serves."""

    def decide(self, s: State, message: Message, read: Read) -> tuple[Fate, int]:
        before = s if s.auth is not Life.USED_UP else s._replace(auth=Life.LIVE)
        return super().decide(before._replace(uses=read.uses), message, read)


@mutant("A", "I6 uses")
class PublishedBeforeTheCommit(Accord):
    """The outcome is sent before the transaction that decides it."""

    def settle(self, s: State, message: Message, read: Read) -> tuple[State, Outcome | None]:
        return s, super().settle(s, message, read)[1]

    def confirm(self, s: State, hand: Hand) -> State:
        return super().confirm(super().settle(s, hand.message, Read(s.key, s.uses))[0], hand)


# Nothing lost


class _KeyDiesEarly(Accord):
    at: Life

    def key_after(self, s: State, cell: Cell) -> bool:
        return cell.state is not self.at and super().key_after(s, cell)


@mutant("B", "D undelivered")
class KeyDiesWhenUsedUp(_KeyDiesEarly):
    """The key is destroyed with the last use, rather than once nothing needs it."""

    at = Life.USED_UP


@mutant("A", "D undelivered")
class KeyDiesAtExpiry(_KeyDiesEarly):
    """The key is destroyed at expiry, before what was released is published."""

    at = Life.EXPIRED


@mutant("A", "I13 stuck")
class ConfirmedFirst(Accord):
    """An outcome is marked published with the transaction that decides it."""

    def settle(self, s: State, message: Message, read: Read) -> tuple[State, Outcome | None]:
        after, outcome = super().settle(s, message, read)
        return (after._replace(confirmed=after.confirmed | {outcome[:2]}) if outcome else after), outcome


@mutant("A", "I13 stuck", acts=frozenset({"deadline"}))
class OffsetFirst(Accord):
    """The offset is committed before the outcome is published, as Faust does."""

    def settle(self, s: State, message: Message, read: Read) -> tuple[State, Outcome | None]:
        after, outcome = super().settle(s, message, read)
        return after._replace(pending=after.pending - {message}), outcome


@mutant("A", "I13 stuck")
class NoDeadlineAgent(Accord):
    """Nobody proposes `expired`."""

    def deadline_agent(self, s: State) -> Iterator[Step]:
        return iter(())


@mutant("D", "I13 stuck", acts=frozenset({"deadline"}))
class AgentStopsAtTheRow(Accord):
    """The deadline agent looks for a terminal row rather than for a published outcome."""

    def watches(self, s: State, sub: Submission) -> bool:
        row = s.rows[sub[0]]
        return super().watches(s, sub) and (row is None or row[0] != sub[1])


# Whose word counts


@mutant("A", "R stale refusal")
class GateRefusesFromMemory(Accord):
    """What the gate does not remember as live it refuses, without asking the ledger."""

    def judged(self, s: State, sub: Submission) -> State:
        return super().judged(s, sub) if s.remembered else s.write(("refusal", *sub, 0))


@mutant("D", "I2 clock")
class ProposersClock(Accord):
    """`expired` is taken at the proposer's word."""

    def decide(self, s: State, message: Message, read: Read) -> tuple[Fate, int]:
        late = s._replace(due=s.due | {(message[1], message[2])}) if message[0] == "expiry" else s
        return super().decide(late, message, read)


# Beside the list


@mutant("A", "T no call")
class ConnectorDoesNotAsk(Accord):
    """The connector calls the State without T-attempt, on the strength of a task."""

    def called(self, s: State, sub: Submission) -> State:
        return super().called(s._replace(auth=Life.LIVE), sub)._replace(auth=s.auth)


@mutant("A", "I1 handover", two_steps=True)
class TrustsWhatItOpened(Accord):
    """An answer that opened before the transaction is handed over, though its key has died since."""

    def decide(self, s: State, message: Message, read: Read) -> tuple[Fate, int]:
        return super().decide(s._replace(key=read.opened), message, read)


@mutant("A", "I1 handover")
class KeptUntilPublished(Accord):
    """The message key stays in the ledger until it is published, whatever happens to the private key."""

    def decide(self, s: State, message: Message, read: Read) -> tuple[Fate, int]:
        kept = s.rows[message[1]] is not None
        return super().decide(s._replace(key=s.key or kept), message, read._replace(opened=read.opened or kept))


@mutant("A", "D undelivered")
class RetiredKeyDiesAtOnce(Accord):
    """The sweep destroys a retired key without asking what is still on its way."""

    def unconfirmed(self, s: State) -> bool:
        return False


@mutant("A", "I2 expiry")
class ExpiryIsOnlyRecorded(Accord):
    """An expiry is written in the log and nowhere asked again."""

    def decide(self, s: State, message: Message, read: Read) -> tuple[Fate, int]:
        return super().decide(s._replace(auth=Life.LIVE) if s.auth is Life.EXPIRED else s, message, read)


@mutant("D", "I13 stuck")
class ProposesOnce(Accord):
    """The deadline agent proposes once, and a proposal that came too early, or was told to nobody, is not made again."""

    def watches(self, s: State, sub: Submission) -> bool:
        return super().watches(s, sub) and ("expiry", *sub, 0) not in s.written


# Answers that wait


@mutant("P", "I1 opened")
class OpensWhatWasWithdrawn(Pulling):
    """An answer that waits stays openable: its key is kept beside it, and opening it asks no more about the agreement."""

    def decide(self, s: State, message: Message, read: Read) -> tuple[Fate, int]:
        if not s.pulled:
            return super().decide(s, message, read)
        return super().decide(s._replace(auth=Life.LIVE, key=True), message, read._replace(opened=True))


@mutant("P", "I1 opened")
class OpensLate(Pulling):
    """The collectivity uses what came after its lease."""

    def may_open(self, hand: Hand) -> bool:
        return True


@mutant("P", "I3 ledger")
class EachOpeningIsARelease(Pulling):
    """Opened again, it is released again."""

    def row(self, s: State, message: Message) -> Any:
        return None if s.pulled else super().row(s, message)


@mutant("P", "I6 uses")
class WaitingIsAUse(Pulling):
    """A use is counted where the answer is met."""

    def settle(self, s: State, message: Message, read: Read, pulled: bool = False) -> tuple[State, Outcome | None]:
        settled, outcome = super().settle(s, message, read, pulled)
        new = len(settled.waiting) - len(s.waiting)
        return settled._replace(uses=settled.uses + new), outcome


# Answers that their person lets through first


@mutant("V, pushed", "V unseen")
class ReleasedUnseen(Previewing):
    """An answer met again is released though its person has said nothing."""

    def awaits(self, s: State, sub: Submission) -> Awaits:
        return "release"


@mutant("V, pulled", "V unseen")
class OpenedUnseen(Previewing):
    """The collectivity opens what waits for its person."""

    def awaits(self, s: State, sub: Submission) -> Awaits:
        return "collectivity" if s.pulled else super().awaits(s, sub)


@mutant("V, pushed", "I6 uses")
class KeptBackIsAUse(Previewing):
    """A use is counted where the person says no."""

    def keep_back(self, s: State, message: Message) -> State:
        return super().keep_back(s, message)._replace(uses=s.uses + 1)


@mutant("V, pushed", "I1 order")
class TheirYesOutlivesTheAgreement(Previewing):
    """What was let through is released without asking again whether the agreement is live."""

    def decide(self, s: State, message: Message, read: Read) -> tuple[Fate, int]:
        let = s.auth in CLOSED and message[1:3] in s.let
        return super().decide(
            s._replace(auth=Life.LIVE, key=True) if let else s, message, read._replace(opened=True) if let else read
        )
