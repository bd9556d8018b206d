"""The life of one authorisation as its leaves tell it: what was agreed, how it was collected, what became of it.

Every value here comes out of content that a leaf commits to; nothing is taken from a table. Source: protocol §4, §7.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from consent.core.facts import State, Terms, Value
from consent.core.rules import Happening, replay

REQUESTED = "requested"
KINDS = frozenset({REQUESTED, *(h.value for h in Happening)} - {"rekeyed"})
"""What a person is told of; a key replaced under the same terms is housekeeping."""


class Collected(Value, frozen=True):
    """How an act was collected, without anybody's identity: references and hashes only. Longer arrays are read by their head."""

    channel: str
    agent: str = ""
    evidence_hash: bytes = b""
    assurance: str = "eidas1"
    representation: str = ""
    representative_ref: bytes = b""
    representation_hash: bytes = b""

    @property
    def assisted(self) -> bool:
        """Whether somebody recorded the act for the person (protocol §7)."""
        return self.channel != "online"


class Content(msgspec.Struct, frozen=True):
    """What a fact of an authorisation may commit to; each kind has some of it."""

    terms: Terms | None = None
    evidence: Collected | None = None
    scopes: tuple[str, ...] = ()
    uses: int = 0


class Fact(NamedTuple):
    """A leaf, opened: its place, what happened, when (ms since 1970), its locator, and what it commits to."""

    leaf_index: int
    kind: str
    at_ms: int
    locator: bytes
    content: Content


class Event(NamedTuple):
    """One line of a life: what happened, when, at which leaf, and what the terms and their collection are from then on."""

    kind: str
    at_ms: int
    leaf_index: int
    terms: Terms
    collected: Collected


class Life(NamedTuple):
    """What is agreed now, and all that led to it; at least one event."""

    terms: Terms
    state: State
    events: tuple[Event, ...]

    @property
    def act(self) -> Event:
        """The act of the person that the receipt is about: the agreement, else the last thing that happened."""
        given = [event for event in self.events if event.kind == Happening.GIVEN]
        return given[-1] if given else self.events[-1]


def content(data: bytes) -> Content:
    """The content of a fact; ValueError if it is not one."""
    return msgspec.json.decode(data, type=Content) if data else Content()


def live(facts: Sequence[Fact]) -> Life:
    """The life these facts tell; ValueError unless they are one authorisation's, in order, and start with terms."""
    if len({fact.locator for fact in facts}) != 1 or any(fact.kind not in KINDS for fact in facts):
        raise ValueError("not the facts of one authorisation")
    if [fact.leaf_index for fact in facts] != sorted({fact.leaf_index for fact in facts}):
        raise ValueError("facts out of order")
    terms: Terms | None = None
    collected: Collected | None = None
    events = []
    for fact in facts:
        terms, collected = _terms(fact, terms), fact.content.evidence or collected
        if terms is None or collected is None:
            raise ValueError("facts without terms")
        events.append(Event(fact.kind, fact.at_ms, fact.leaf_index, terms, collected))
    assert terms is not None  # there is at least one fact
    return Life(terms, replay([Happening(e.kind) for e in events if e.kind != REQUESTED]), tuple(events))


def _terms(fact: Fact, before: Terms | None) -> Terms | None:
    """The terms in force after a fact: given anew, narrowed, or as before. A renewal's uses come on top of those made."""
    changes: dict[str, Any] = {}
    if fact.content.terms is not None:
        found = fact.content.terms
        changes = {"scopes": tuple(sorted(found.scopes)), "max_uses": found.max_uses + fact.content.uses}
        return msgspec.structs.replace(found, **changes)
    if fact.content.scopes and before is not None:
        return msgspec.structs.replace(before, scopes=tuple(sorted(fact.content.scopes)))
    return before
