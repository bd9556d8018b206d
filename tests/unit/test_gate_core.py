"""A chunk of requests judged: what is a task, a refusal, a miss, or no request at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent.core.facts import Authorisation, State
from consent.core.rules import REFUSAL
from exchange import wire
from exchange.core.batches import Fetched, Read, lay
from exchange.core.decision import TTL_MAX_MS, Ask
from exchange.core.errors import Code
from exchange.core.gate import Bad, Refusal, Rules, Task, judge, read
from exchange.core.heads import HEAD, SIZE_MAX_BYTES, varint
from exchange.core.sealing import ask_hash, request_digest
from exchange.data_sets import DATA_SETS, QUOTIENT_FAMILIAL
from exchange.schemas import Name, catalogue

OPERATOR, A, NOW_MS = "211300553", b"a" * 16, 10_000
SCOPES = tuple(sorted(QUOTIENT_FAMILIAL.scopes))
ASK = Ask("21130055300016", QUOTIENT_FAMILIAL.name, "cantine", SCOPES[:2], (("mois", "3"),))
HELD = Authorisation(
    A, 1, State.LIVE, ASK.recipient, "cnaf", ASK.data_set, "cantine", SCOPES[:3], 5_000, 90_000, 0, 2,
    b"certificate", b"c" * 32, (OPERATOR,), SCOPES,
)  # fmt: skip
PREFIX = catalogue().prefix("exchange-request")
RULES = Rules(PREFIX, catalogue().prefix("exchange-task"), DATA_SETS, wire.read_ask)


def record(value: bytes | None, key: bytes | None = A) -> Read:
    return Read("requests.211300553", 0, 0, NOW_MS, key, value, ())


def chunk(*records: Read) -> Fetched:
    return Fetched("requests.211300553", 0, *lay(records, 0))


def request(
    ask: Ask | bytes = ASK,
    *,
    authorisation: bytes = A,
    certificate: bytes = b"c" * 32,
    ttl_ms: int = 5_000,
    identity: bytes = b"identity",
) -> bytes:
    written = ask if isinstance(ask, bytes) else wire.write_ask(ask)
    head = HEAD.pack(PREFIX, b"r" * 16, authorisation, certificate, ttl_ms)
    return head + varint(len(written)) + written + varint(len(identity)) + identity


class Judged(NamedTuple):
    """A chunk's fates."""

    tasks: list[Task]
    refusals: list[Refusal]
    bad: list[Bad]


def judged_chunk(records: Sequence[Read], held: Mapping[bytes, Authorisation], operator: str = OPERATOR, now_ms: int = NOW_MS) -> Judged:  # fmt: skip
    """Read and judged, all of it."""
    asked, bad = read(chunk(*records), range(len(records)), RULES)
    return Judged(*judge(asked, operator, held, RULES, now_ms), bad)


def judged(value: bytes | None, *, held: Authorisation | None = HELD, key: bytes | None = A, now_ms: int = NOW_MS, operator: str = OPERATOR) -> Judged:  # fmt: skip
    return judged_chunk([record(value, key)], {A: held} if held else {}, operator, now_ms)


def fate(value: bytes | None, **changes: Any) -> str:
    """One request's fate in a word."""
    found = judged(value, **changes)
    assert len(found.tasks) + len(found.refusals) + len(found.bad) == 1
    if found.tasks:
        return "task"
    return f"{found.refusals[0].code} {found.refusals[0].reason}" if found.refusals else f"bad {found.bad[0][1]}"


def held(**changes: Any) -> Authorisation:
    return msgspec.structs.replace(HELD, **changes)


def test_a_good_request_becomes_its_providers_task() -> None:
    """Request, authorisation, operator, deadline by the broker's clock, the certificate's hash; ask and identity byte for byte."""
    ((place, provider, authorisation, request_id, value),) = judged(request()).tasks
    assert (place, provider, authorisation, request_id) == (0, "cnaf", A, b"r" * 16)
    assert wire.read("exchange-task", value) == {
        "request_id": b"r" * 16, "authorisation_id": A, "operator": OPERATOR.encode(),
        "deadline_ms": (NOW_MS + 5_000).to_bytes(8, "big"), "certificate_hash": b"c" * 32, "certificate": b"",
        "ask": wire.write_ask(ASK), "identity": b"identity",
    }  # fmt: skip


WRONG: list[tuple[dict[str, Any], dict[str, Any], Code]] = [
    ({"ask": ASK._replace(data_set="cnaf.autre.v1")}, {}, Code.DATA_SET_UNKNOWN),
    ({"ask": ASK._replace(parameters=(("nom", "X"),))}, {}, Code.PARAMETER_UNKNOWN),
    ({"ask": ASK._replace(recipient="21130055300024")}, {}, Code.RECIPIENT_MISMATCH),
    ({"ask": ASK._replace(purpose="bourse")}, {}, Code.PURPOSE_MISMATCH),
    ({"ask": ASK._replace(scopes=SCOPES)}, {}, Code.SCOPE_EXCEEDED),
    ({"ttl_ms": 999}, {}, Code.TTL_OUT_OF_BOUNDS),
    ({"ttl_ms": TTL_MAX_MS + 1}, {}, Code.TTL_OUT_OF_BOUNDS),
    ({"certificate": b"x" * 32}, {}, Code.CERTIFICATE_OUTDATED),
    ({}, {"held": None}, Code.AUTHORISATION_UNKNOWN),
    ({}, {"operator": "130025265"}, Code.DELEGATION_ABSENT),
    ({}, {"held": held(data_set="cnaf.autre.v1")}, Code.DATA_SET_MISMATCH),
    ({}, {"held": held(habilitated=())}, Code.HABILITATION_ABSENT),
    ({}, {"held": held(not_before_ms=NOW_MS + 1)}, Code.NOT_YET_VALID),
    ({}, {"held": held(not_after_ms=NOW_MS)}, Code.EXPIRED),
    ({}, {"held": held(uses=2)}, Code.USED_UP),
    *(({}, {"held": held(state=state)}, code) for state, code in REFUSAL.items()),
]


@pytest.mark.parametrize(("changes", "around", "reason"), WRONG)
def test_a_refusal_has_its_reason(changes: dict[str, Any], around: dict[str, Any], reason: Code) -> None:
    """Each way of being wrong, alone."""
    assert fate(request(**changes), **around) == f"refused {reason}"


@pytest.mark.parametrize(
    ("now_ms", "expected"),
    [
        (NOW_MS + 4_999, "task"),
        (NOW_MS + 5_000, "expired deadline_passed"),
        (NOW_MS + 5_001, "expired deadline_passed"),
    ],
)
def test_the_deadline_is_the_brokers_time_and_the_ttl(now_ms: int, expected: str) -> None:
    """t-1, t, t+1 ms: the requester's clock plays no part."""
    assert fate(request(), now_ms=now_ms) == expected


@pytest.mark.parametrize(
    ("offset_ms", "expected"), [(-1, "task"), (0, f"refused {Code.EXPIRED}"), (1, f"refused {Code.EXPIRED}")]
)
def test_not_after_is_excluded(offset_ms: int, expected: str) -> None:
    """t-1, t, t+1 ms."""
    assert fate(request(), held=held(not_after_ms=NOW_MS - offset_ms)) == expected


@pytest.mark.parametrize(
    ("value", "key", "code"),
    [
        (None, A, Code.BAD_AVRO),
        (b"", A, Code.BAD_AVRO),
        (request()[:-1], A, Code.BAD_AVRO),
        (request() + b"\0", A, Code.BAD_AVRO),
        (b"\x01" + request()[1:], A, Code.BAD_AVRO),
        (request(b"no ask"), A, Code.BAD_AVRO),
        (request(identity=bytes(SIZE_MAX_BYTES)), A, Code.BAD_AVRO),
        (request(wire.write_ask(ASK) + b"\0"), A, Code.BAD_AVRO),
        (request(), None, Code.BAD_KEY),
        (request(), b"", Code.BAD_KEY),
        (request(), b"b" * 16, Code.BAD_KEY),
    ],
)
def test_what_is_no_request_is_named_and_never_judged(value: bytes | None, key: bytes | None, code: Code) -> None:
    """Bad bytes, a foreign key: neither a task nor a refusal; a null key does not make it the ledger's business."""
    assert fate(value, key=key) == f"bad {code}"


def test_an_ask_has_one_form() -> None:
    """Scopes or parameters unsorted or twice, a plain ask in the later version: no ask, so that one request has one digest."""
    codec = catalogue().codecs[Name("ask", 1)]
    body = codec.decode(wire.write_ask(ASK._replace(parameters=(("annee", "2026"), ("mois", "3")))))
    for changes in (
        {"scopes": [*body["scopes"], body["scopes"][0]]},
        {"scopes": body["scopes"][::-1]},
        {"parameters": body["parameters"][::-1]},
        {"parameters": body["parameters"] + body["parameters"][-1:]},
    ):
        assert fate(request(codec.encode({**body, **changes}))) == f"bad {Code.BAD_AVRO}"
    plain = catalogue().codec("ask").encode(catalogue().read_bare("ask", wire.write_ask(ASK)))
    assert fate(request(plain)) == f"bad {Code.BAD_AVRO}"


def test_a_refusal_carries_what_a_verdict_needs() -> None:
    """Ids, the request's digest D, the deadline: release can settle the request from it."""
    (refusal,) = judged(request(ttl_ms=999)).refusals
    assert (refusal.request, refusal.authorisation, refusal.deadline_ms) == (b"r" * 16, A, NOW_MS + 999)
    assert refusal.digest == request_digest(OPERATOR, A, b"r" * 16, ask_hash(wire.write_ask(ASK)))


def test_a_request_for_another_authorisation_finds_nothing() -> None:
    """The view of one authorisation serves no other."""
    assert fate(request(authorisation=b"b" * 16), key=b"b" * 16) == f"refused {Code.AUTHORISATION_UNKNOWN}"


VALUES: Sequence[tuple[bytes | None, bytes | None]] = [
    (request(), A), (request(ttl_ms=1), A), (None, A), (request(), None), (request(b"x"), A),
    (request(ASK._replace(scopes=SCOPES)), A), (request(authorisation=b"b" * 16), b"b" * 16),
]  # fmt: skip


@given(st.lists(st.sampled_from(range(len(VALUES))), max_size=12))
def test_a_chunk_is_the_sum_of_its_requests(picks: list[int]) -> None:
    """Every place has exactly one fate, the one it would have alone, in order."""
    records = [record(*VALUES[pick]) for pick in picks]
    whole = judged_chunk(records, {A: HELD})
    places = [t.place for t in whole.tasks] + [r.place for r in whole.refusals] + [b[0] for b in whole.bad]
    assert sorted(places) == list(range(len(records)))
    for place, one in enumerate(records):
        alone = judged_chunk([one], {A: HELD})
        assert [t[1:] for t in alone.tasks] == [t[1:] for t in whole.tasks if t.place == place]
        assert [r[1:] for r in alone.refusals] == [r[1:] for r in whole.refusals if r.place == place]
        assert [b[1] for b in alone.bad] == [b[1] for b in whole.bad if b[0] == place]


def test_only_the_places_asked_for_are_read() -> None:
    """The others are somebody else's business."""
    three = chunk(*[record(request())] * 3)
    asked, bad = read(three, [1], RULES)
    assert [one.place for one in asked] == [1] and not bad
