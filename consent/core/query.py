"""What a data protection officer asks of the ledger, within which perimeter, and what is answered: values only.

Every answer names the checkpoint it is complete against (`head`), and the leaf of the query itself, which that checkpoint covers.
Times are ms since 1970 UTC; a period holds its start and not its end.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

import msgspec

from consent.core.facts import Basis, Channel, State, Value
from exchange.core.errors import Code

PAGE_MAX = 1_000
REASON_MAX_CHARS = 500
_CURSOR = re.compile(r"([0-9a-f]{16})([0-9a-f]{32})")
_RECIPIENT = re.compile(r"[0-9]{14}", re.ASCII)
_NAME_MAX_CHARS = 100


class Officer(Value, frozen=True):
    """Who may ask, about which recipients (SIRET), until when. No recipients: about all."""

    name: str
    recipients: tuple[str, ...]
    not_after_ms: int


class Query(Value, frozen=True):
    """Which authorisations: what is empty asks nothing. `subject` is a pairwise reference, `to_ms` 0 has no end, the period is of
    `at_ms`. `after` is the `next` of the page before. ValueError where a field cannot be."""

    subject: bytes = b""
    recipient: str = ""
    operator: str = ""
    data_set: str = ""
    purpose: str = ""
    basis: Basis | None = None
    agent: str = ""
    channel: Channel | None = None
    state: State | None = None
    from_ms: int = 0
    to_ms: int = 0
    limit: int = 50
    after: str = ""

    def __post_init__(self) -> None:
        if len(self.subject) not in (0, 32):
            raise ValueError("subject")
        if not 1 <= self.limit <= PAGE_MAX:
            raise ValueError("limit")
        texts = ("recipient", "operator", "data_set", "purpose", "agent")
        if unusable := next((name for name in texts if "\x00" in getattr(self, name)), ""):
            raise ValueError(unusable)  # PostgreSQL has no such text
        period(self.from_ms, self.to_ms)
        if self.after:
            cursor(self.after)


class Fact(Value, frozen=True):
    """A leaf: what happened, when, its bytes and its inclusion path in the tree of the answer's checkpoint (empty where proofs
    were not asked for, or the tree has one leaf). `salt` and `content` are what it commits to, gone once erased."""

    index: int
    kind: str
    at_ms: int
    leaf: bytes = b""
    path: tuple[bytes, ...] = ()
    salt: bytes = b""
    content: bytes = b""


class Row(Value, frozen=True):
    """An authorisation as an officer sees it; fields as in `Terms` and `Evidence`, `rule_hash` empty where the data themselves are agreed
    to. `fact` is the leaf it was first recorded by."""

    authorisation: bytes
    state: State
    recipient: str
    provider: str
    data_set: str
    purpose: str
    scopes: tuple[str, ...]
    basis: str
    legal_reference: str
    notice_version: str
    notice_hash: bytes
    data_life_days: int
    channel: str
    agent: str
    operator: str
    assurance: str
    assurance_required: str
    representation: str
    not_before_ms: int
    not_after_ms: int
    uses: int
    max_uses: int
    subject: bytes
    at_ms: int
    certificate_hash: bytes
    rule_hash: bytes
    watch_every_s: int
    fact: Fact


class Head(Value, frozen=True):
    """What an answer is complete against: the checkpoint (signed note), and the leaf of the query, inside it. `recipients` are
    those it was limited to; none: all."""

    checkpoint: str
    leaf_index: int
    recipients: tuple[str, ...]


class Found(Value, frozen=True):
    """A page of authorisations, newest first; `total` counts them all, `next` is empty on the last page."""

    head: Head
    total: int
    rows: tuple[Row, ...]
    next: str


class Passed(Value, frozen=True):
    """A request that went through a worker; `stage` is `attempt` (it called the State) or `terminal` (it told the outcome).

    `delivery` is `key`, `cut`, `unconfirmed` (it may be anywhere) or `none`.
    """

    request: bytes
    authorisation: bytes
    recipient: str
    subject: bytes
    stage: str
    code: str
    delivery: str
    from_ms: int
    to_ms: int
    leaf_index: int


class Touched(Value, frozen=True):
    """What a breach touched at one recipient: distinct requests, authorisations and persons (erased ones are not told apart)."""

    recipient: str
    requests: int
    authorisations: int
    subjects: int


class Breach(Value, frozen=True):
    """All that passed through one worker in a period."""

    head: Head
    touched: tuple[Touched, ...]
    passed: tuple[Passed, ...]


class Call(Value, frozen=True):
    """A call of the State's API; hashes as in `Attempt`."""

    n: int
    at_ms: int
    worker: str
    scopes: tuple[str, ...]
    schema_hash: bytes
    rule_hash: bytes
    certificate_hash: bytes
    deadline_ms: int


class Ground(Value, frozen=True):
    """On what basis a request ended as it did, or is open (`code` empty): the authorisation, the calls, and the facts before its
    end, oldest first: agreement and its changes, habilitation, delegation, and the leaf of its own end."""

    request: bytes
    operator: str
    code: str
    reason: str
    provider_code: str
    delivery: str
    decided_at_ms: int
    deadline_ms: int
    confirmed_at_ms: int
    worker: str
    authorisation: Row
    calls: tuple[Call, ...]
    facts: tuple[Fact, ...]


class Grounds(Value, frozen=True):
    """The requests of one id: one, unless two operators chose the same."""

    head: Head
    grounds: tuple[Ground, ...]


class Use(Value, frozen=True):
    """One request under an authorisation: how it ended (`code` empty while it is open), how its answer was delivered, and how often the
    State was called for it. `leaf_index` is that of its end, -1 without one."""

    request: bytes
    operator: str
    code: str
    reason: str
    provider_code: str
    delivery: str
    at_ms: int
    worker: str
    calls: int
    leaf_index: int


class Lived(Value, frozen=True):
    """One authorisation: what it is, every fact of its life, oldest first, and every request made under it."""

    head: Head
    row: Row
    facts: tuple[Fact, ...]
    uses: tuple[Use, ...]


class Count(Value, frozen=True):
    """How many of what: a refusal's reason, a channel, an agent's reference."""

    of: str
    count: int


class Alerts(Value, frozen=True):
    """What deserves an officer's eye in a period: requests refused, by reason; agreements given, by channel; and the agents who recorded
    most for others in the last 24 h, of the `quota` that each has."""

    head: Head
    refusals: tuple[Count, ...]
    channels: tuple[Count, ...]
    agents: tuple[Count, ...]
    quota: int


class Consultation(Value, frozen=True):
    """A question an officer asked: its leaf, when, why, what was asked (`about`, JSON) and the code of its refusal, empty where it was
    answered."""

    leaf_index: int
    at_ms: int
    reason: str
    act: str
    about: str
    refused: str


class Consultations(Value, frozen=True):
    """What an officer asked, newest first; `next` is where the following page begins, 0 on the last. Questions about a person are no
    longer told once that person is erased."""

    head: Head
    told: tuple[Consultation, ...]
    next: int


class Activity(Value, frozen=True):
    """A line of the register of processing activities (GDPR art. 30): one purpose of one controller on one data set.

    `categories` are (scope, what it holds); `states` counts authorisations by state; retention in days.
    """

    controller: str
    processors: tuple[str, ...]
    purpose: str
    data_set: str
    title: str
    source: str
    categories: tuple[tuple[str, str], ...]
    legal_reference: str
    bases: tuple[str, ...]
    not_after_ms: int
    in_force: bool
    retention_days: tuple[int, int]
    states: dict[str, int]


class Register(Value, frozen=True):
    """The register of processing of a perimeter."""

    head: Head
    activities: tuple[Activity, ...]


class Signed(Value, frozen=True):
    """A document (JSON) and the log's signed note over its SHA-256."""

    body: bytes
    note: str


class Erased(Value, frozen=True):
    """A person erased: the certificate (signed note), and the acknowledgement of each authorisation (signed notes)."""

    certificate: str
    acknowledgements: tuple[str, ...]


def stated(officer: str, reason: str) -> Code | None:
    """Why nobody may ask so: `REASON_MISSING` unless someone gives a reason of one line."""
    named = 0 < len(officer) <= _NAME_MAX_CHARS and officer.isprintable()
    given = len(reason.strip()) > 0 and len(reason) <= REASON_MAX_CHARS
    plain = not any(unicodedata.category(c) == "Cc" for c in reason)
    return None if named and given and plain else Code.REASON_MISSING


def perimeter(officer: Officer | None, recipient: str, now_ms: int) -> tuple[str, ...] | Code:
    """The recipients an officer's question is about: the one named, else all of the perimeter (none listed: everywhere); or why
    there is no answer."""
    if officer is None or now_ms >= officer.not_after_ms:
        return Code.OFFICER_UNKNOWN
    if recipient and officer.recipients and recipient not in officer.recipients:
        return Code.OUTSIDE_PERIMETER
    return (recipient,) if recipient else officer.recipients


def inside(recipient: str, head: Head) -> bool:
    """Whether what a recipient holds is within what an answer was limited to."""
    return not head.recipients or recipient in head.recipients


def check_officer(officer: Officer) -> None:
    """ValueError unless it names someone and SIRETs."""
    if stated(officer.name, "x") or not all(_RECIPIENT.fullmatch(r) for r in officer.recipients):
        raise ValueError("officer")


def period(from_ms: int, to_ms: int) -> None:
    """ValueError unless it is a period; `to_ms` 0 has no end."""
    if from_ms < 0 or to_ms < 0 or (to_ms and to_ms <= from_ms) or max(from_ms, to_ms) >= 1 << 53:
        raise ValueError("period")


def cursor(text: str) -> tuple[int, bytes]:
    """The (time, id) of the last row of a page; ValueError if it is not a cursor."""
    found = _CURSOR.fullmatch(text)
    if not found:
        raise ValueError("after")
    return int(found[1], 16), bytes.fromhex(found[2])


def next_cursor(rows: Sequence[Row], more: bool) -> str:
    return f"{rows[-1].at_ms:016x}{rows[-1].authorisation.hex()}" if rows and more else ""


def delivery(code: str, with_key: bool | None) -> str:
    """How an outcome reached the collectivity, as far as the ledger knows."""
    if code != "released":
        return "none"
    if with_key is None:
        return "unconfirmed"
    return "key" if with_key else "cut"


def asked(query: Query) -> dict[str, object]:
    """The fields of a query that ask something."""
    return {
        name: value.hex() if isinstance(value, bytes) else value
        for name, value in msgspec.structs.asdict(query).items()
        if value and name not in ("limit", "after")
    }
