"""What the ledger knows and what can be asked of it: values only, in the words of protocol.md.

These are the shapes that cross the ledger's door (`exchange.ports.Ledger`), in process or over its socket.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

import msgspec

from exchange.core.rule import rule_hash

Basis = Literal["consent", "legal"]
Channel = Literal["online", "counter", "phone", "paper"]
Assurance = Literal["eidas1", "eidas2", "eidas3"]
"""Levels of assurance of an identity, weakest first: low, substantial, high (eIDAS art. 8)."""

Handover = Literal["push", "pull"]
"""How an answer reaches the collectivity: with the outcome, or when it opens the answer that waits for it (protocol §2)."""

Awaits = Literal["collectivity", "person", "release"]
"""Whom an answer that is kept waits for: the collectivity to open it, the person to let it through (their preview, ADR 0031), or release
to go on with what the person let through."""

CALLS_MAX = 3
"""State calls of one request, at most (T-attempt)."""
REGISTER = bytes(16)
"""The authorisation of an outbox line that is about none: who may ask has changed, caches start again."""


class State(StrEnum):
    """States of an authorisation (protocol §4)."""

    REQUESTED = "requested"
    LIVE = "live"
    REFUSED = "refused"
    OPPOSED = "opposed"
    WITHDRAWN = "withdrawn"
    ERASED = "erased"
    EXPIRED = "expired"
    USED_UP = "used_up"
    INVALIDATED = "invalidated"
    ENDED = "ended"


class Value(msgspec.Struct, frozen=True, array_like=True):
    """Immutable; equal when its fields are."""


class Terms(Value, frozen=True):
    """What the person agrees to. SIRET, data set with major version, times in ms since 1970 UTC, `not_after_ms` excluded.

    `legal_reference` is the text a `legal` basis rests on (CRPA L114-8); `notice_hash` (SHA-256) and `notice_version` are the
    information notice shown. The recipient may keep an answer for `data_life_days`. `assurance` is the least that identifying the
    person must have reached. `rule`: the signed rule (`exchange.core.rule`) whose answer alone may leave the provider, empty for the
    data themselves. `watch_every_ms`: the shortest period at which the recipient may have a change looked for, 0 for not at all.
    """

    recipient: str
    provider: str
    data_set: str
    purpose: str
    scopes: tuple[str, ...]
    not_before_ms: int
    not_after_ms: int
    max_uses: int = 100
    basis: Basis = "consent"
    legal_reference: str = ""
    notice_hash: bytes = b""
    notice_version: str = ""
    data_life_days: int = 365
    assurance: Assurance = "eidas1"
    rule: bytes = b""
    watch_every_ms: int = 0

    @property
    def rule_hash(self) -> bytes:
        """SHA-256 of the rule's document, whoever signed it; empty without one."""
        return rule_hash(self.rule)


class Representation(Value, frozen=True):
    """Who speaks for the person: a parent of a minor, or a helper under a mandate. `identity` is canonical, seen once and kept as a
    pairwise reference; `evidence_hash` (SHA-256) is of the family record or the mandate."""

    kind: Literal["parent", "mandate"]
    identity: bytes
    evidence_hash: bytes = b""


class Tokens(Value, frozen=True):
    """An identity provider's word: ID token (JWS), userinfo (JWS, empty for an agent), and the random part of the nonce (protocol §7)."""

    id_token: str
    userinfo: str
    random: bytes


class Evidence(Value, frozen=True):
    """How the act was collected: channel, agent's reference, hash of what was kept, level of assurance obtained, who spoke for the
    person, and the tokens where an identity provider vouches."""

    channel: Channel
    agent: str = ""
    evidence_hash: bytes = b""
    assurance: Assurance = "eidas1"
    representation: Representation | None = None
    tokens: Tokens | None = None


class Grant(Value, frozen=True):
    """Given: the authorisation's id, its signed certificate, and the capsule sealed to the recipient's key."""

    authorisation: bytes
    certificate: bytes
    capsule: bytes
    leaf_index: int


class Authorisation(Value, frozen=True):
    """An authorisation as the gate and connectors may see it: no person, no key.

    `operators` hold a live delegation of the recipient, `pulling` those of them that open their answers themselves; `habilitated` are the
    scopes of its live habilitation.
    """

    id: bytes
    version: int
    state: State
    recipient: str
    provider: str
    data_set: str
    purpose: str
    scopes: tuple[str, ...]
    not_before_ms: int
    not_after_ms: int
    uses: int
    max_uses: int
    certificate: bytes
    certificate_hash: bytes
    operators: tuple[str, ...] = ()
    habilitated: tuple[str, ...] = ()
    rule_hash: bytes = b""
    watch_every_ms: int = 0
    pulling: tuple[str, ...] = ()


class Habilitation(Value, frozen=True):
    """A recipient (SIRET) may ask these scopes of a data set for a purpose, until then; without scopes it no longer may."""

    recipient: str
    data_set: str
    purpose: str
    scopes: tuple[str, ...]
    legal_reference: str
    not_after_ms: int


class Delegation(Value, frozen=True):
    """An operator (SIREN) may publish for a recipient (SIRET), until then."""

    recipient: str
    operator: str
    not_after_ms: int


class RequestKey(Value, frozen=True):
    """What makes a request unique."""

    operator: str
    authorisation: bytes
    request: bytes


class Attempt(Value, frozen=True):
    """A connector about to call the State API: registers the request's context, from which the ledger rebuilds T.

    `watch_every_ms`: the answer is watched for changes this often, 0 for not at all; `last`: what the answer last sent of this watch
    was sent under, None where none was.
    """

    key: RequestKey
    digest: bytes
    scopes: tuple[str, ...]
    schema_hash: bytes
    rule_hash: bytes
    certificate_hash: bytes
    deadline_ms: int
    watch_every_ms: int = 0
    last: Submission | None = None


class DirectoryEntry(Value, frozen=True):
    """A public key, signed by its organisation's enrolment key and countersigned by the registrar.

    kind: `provider` (X25519), `connector` (Ed25519), `recipient` (X25519, for one operator under a delegation), `ledger` (X25519, its own).
    """

    kind: Literal["provider", "connector", "recipient", "ledger"]
    organisation: str
    operator: str
    public_key: bytes
    not_after_ms: int
    enrolment_key: bytes
    signature: bytes
    countersignature: bytes


class Attempted(Value, frozen=True):
    """`reason` empty: call. Otherwise do not, and say why (a code of the error catalogue). `recipient` is whom to seal to; `told`:
    the answer last sent of this watch was released, or its person would not have it."""

    reason: str
    recipient: DirectoryEntry | None = None
    told: bool = False


class Position(Value, frozen=True):
    """Where a message lies."""

    topic: str
    partition: int
    offset: int


class Answer(Value, frozen=True, tag="answer"):
    """A sealed answer met by the release agent; `provider` is read from the topic it came by."""

    key: RequestKey
    provider: str
    digest: bytes
    tag: bytes
    sealed_key: bytes
    outer: bytes
    position: Position


class Verdict(Value, frozen=True, tag="verdict"):
    """A fate proposed by the gate, a connector or the deadline agent."""

    key: RequestKey
    digest: bytes
    deadline_ms: int
    code: Literal["refused", "failed", "expired", "cancelled"]
    reason: str
    provider_code: str = ""


class Outcome(Value, frozen=True, tag="outcome"):
    """A request's terminal fate, to be published. Shapes as in outcome.v1.avsc."""

    key: RequestKey
    digest: bytes
    code: Literal["released", "refused", "failed", "expired", "cancelled", "conflict"]
    delivery: Literal["none", "key", "cut"]
    reason: str
    provider_code: str
    decided_at_ms: int
    deadline_ms: int
    certificate_hash: bytes = bytes(32)
    recipient_key: bytes = bytes(16)
    schema_hash: bytes = bytes(32)
    scopes: tuple[str, ...] = ()
    rule_hash: bytes = bytes(32)
    inner: bytes = b""
    leaf_index: int = -1
    leaf: bytes = b""
    leaf_salt: bytes = b""
    batch_place: int = 0
    path: tuple[bytes, ...] = ()
    batch_note: str = ""


class Waiting(Value, frozen=True, tag="waiting"):
    """An answer waits, until its deadline, for the collectivity to open it, or first for the person to let it through: not a fate, the
    request has none yet."""

    key: RequestKey
    digest: bytes
    deadline_ms: int
    awaits: Awaits = "collectivity"


class Dropped(Value, frozen=True, tag="dropped"):
    """Nothing to publish: already told, or not yet time."""


class DeadLetter(Value, frozen=True, tag="dead_letter"):
    """An answer that proves nothing: never terminal; the request stays open."""

    reason: str


class Submission(Value, frozen=True):
    """A request as submitted: the same id with other bytes is another submission."""

    key: RequestKey
    digest: bytes


class Confirmation(Value, frozen=True):
    """An outcome the broker acknowledged, with or without its key; None where the key went another way: it was pulled."""

    key: RequestKey
    digest: bytes
    with_key: bool | None


class Acknowledgement(Value, frozen=True):
    """The ledger's signed word on a withdrawal, erasure or opposition.

    `named` are the requests released before and not confirmed delivered with their key; `note` is a C2SP signed note.
    """

    authorisation: bytes
    state: State
    leaf_index: int
    leaf_hash: bytes
    at_ms: int
    named: tuple[bytes, ...]
    note: str


class Event(Value, frozen=True):
    """One line of the outbox."""

    sequence: int
    authorisation: bytes
    version: int
    state: str
    at_ms: int


class Tally(Value, frozen=True):
    """How many agreements an agent recorded for others in the last 24 h, and how many they may."""

    recorded: int
    most: int


class Entry(Value, frozen=True):
    """One leaf as the data protection officer sees it: index, what happened, when, to which request."""

    index: int
    kind: str
    at_ms: int
    authorisation: bytes
    request: bytes
    code: str
