"""What is allowed at once is what the rule allows; what is not is left to it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from aiokafka.record.memory_records import MemoryRecords
from crc32c import crc32c
from hypothesis import example, given
from hypothesis import strategies as st

from consent.core.facts import Authorisation, State
from exchange import wire
from exchange.core.allowing import REMEMBERED, Asks, allow, batches, bodies
from exchange.core.batches import Fetched, Sections, lay, written, written_headers
from exchange.core.columns import requests
from exchange.core.decision import TTL_MAX_MS, TTL_MIN_MS
from exchange.core.gate import judge, read
from exchange.core.heads import HEAD, varint
from exchange.core.memory import Memory
from exchange.ports import Message
from tests.unit.glancing import learn, ledgers
from tests.unit.test_gate_core import ASK, HELD, NOW_MS, OPERATOR, PREFIX, RULES, SCOPES, A, record

SALT = bytes(range(32))
B, C = b"b" * 16, b"d" * 16
IDENTITY = b"i" * 200
HEADERS = written_headers([("ce_id", bytes(32))])[:-32]


def held(**changes: Any) -> Authorisation:
    return msgspec.structs.replace(HELD, **changes)


def request(
    ask: bytes, authorisation: bytes = A, certificate: bytes = b"c" * 32, ttl_ms: int = 5_000, number: int = 0
) -> bytes:
    head = HEAD.pack(PREFIX, number.to_bytes(16, "big"), authorisation, certificate, ttl_ms)
    return head + varint(len(ask)) + ask + varint(len(IDENTITY)) + IDENTITY


ASKS = [
    wire.write_ask(ASK), wire.write_ask(ASK._replace(scopes=SCOPES)), wire.write_ask(ASK._replace(purpose="bourse")), b"no ask" * 20,
    wire.write_ask(ASK._replace(parameters=(("mois", "4"),))), wire.write_ask(ASK) + b"\\0",
]  # fmt: skip
holdings = st.builds(
    lambda changes: held(**changes),
    st.fixed_dictionaries({
        "id": st.sampled_from([A, B]), "state": st.sampled_from([State.LIVE, State.LIVE, State.WITHDRAWN]), "uses": st.sampled_from([0, 1, 2]),
        "not_before_ms": st.integers(NOW_MS - 1_500, NOW_MS + 1_500), "not_after_ms": st.integers(NOW_MS - 500, NOW_MS + 3_000),
        "provider": st.sampled_from(["cnaf", "dgfip"]),
    }),
)  # fmt: skip
rights = st.fixed_dictionaries(
    {"operators": st.sampled_from([(OPERATOR,), ()]), "habilitated": st.sampled_from([SCOPES, ()])}
)
asked = st.builds(
    request, st.sampled_from(ASKS), st.sampled_from([A, B, C]), st.sampled_from([b"c" * 32, b"c" * 16 + b"x" * 16, b"x" * 32]),
    st.sampled_from([TTL_MIN_MS - 1, TTL_MIN_MS, 5_000, TTL_MAX_MS, TTL_MAX_MS + 1]), st.integers(0, 99),
)  # fmt: skip
keys = st.sampled_from([A, A, B, C, None])


def fetched(sent: list[tuple[bytes | None, bytes]]) -> Fetched:
    return Fetched("requests.211300553.v1", 0, *lay([record(value, key) for key, value in sent], 0))


GOOD = held(not_before_ms=0, not_after_ms=90_000)


@given(ledgers(holdings, rights), st.lists(st.tuples(keys, asked), max_size=10), st.integers(NOW_MS, NOW_MS + 6_000))
@example([GOOD], [(A, request(ASKS[0])), (A, request(ASKS[4], number=1))], NOW_MS)
@example([GOOD], [(A, request(ASKS[0], ttl_ms=TTL_MIN_MS))], NOW_MS + TTL_MIN_MS)
def test_only_what_the_rule_allows_is_allowed_and_written_alike(
    ledger: list[Authorisation], sent: list[tuple[bytes | None, bytes]], now_ms: int
) -> None:
    """Any authorisations, asks, certificates, times and keys: each task is byte for byte the rule's own, and no place is lost. A certificate
    is compared by half its hash, salted: the connector reads the rest."""
    chunk, memory = fetched(sent), Memory(SALT)
    standing = {one.id: one for one in ledger}
    learn(memory, standing.values(), NOW_MS)
    found = requests(chunk, PREFIX)
    allowed, rest = allow(found, chunk.data, Asks(OPERATOR, RULES), memory, now_ms)
    half = {one.id: one for one in ledger} | {
        id: msgspec.structs.replace(one, certificate_hash=b"c" * 16 + b"x" * 16) for id, one in standing.items()
    }
    by_rule = {}
    for holding in (half, standing):
        tasks, _ = judge(read(chunk, range(len(chunk)), RULES)[0], OPERATOR, holding, RULES, now_ms)
        by_rule |= {task.place: task for task in tasks}
    places = [place for one in allowed for place in one.requests.place.tolist()]
    assert sorted([*places, *rest.place.tolist()]) == found.place.tolist()
    for one in allowed:
        own = one.requests, chunk.data, OPERATOR, RULES.task_prefix
        whole = Sections(list(batches(*own, HEADERS)))
        assert whole.laid == bodies(*own, [HEADERS + request.hex().encode() for request in one.requests.ids])
        for place, message in zip(one.requests.place.tolist(), whole, strict=True):
            task = by_rule[place]
            assert task.provider == one.provider
            assert message == Message(task.authorisation, task.value, [("ce_id", task.request.hex().encode())])


@pytest.mark.parametrize("count", [0, 1, 63, 64, 65, 200, 5_000])
def test_tasks_fill_batches_that_a_broker_takes(count: int) -> None:
    """However many: aiokafka reads them as they are read one by one, in batches of 1 MiB at most."""
    chunk, memory = fetched([(A, request(ASKS[0], number=n)) for n in range(count)]), Memory(SALT)
    learn(memory, [GOOD], NOW_MS)
    allowed, _ = allow(requests(chunk, PREFIX), chunk.data, Asks(OPERATOR, RULES), memory, NOW_MS)
    made = [one for each in allowed for one in batches(each.requests, chunk.data, OPERATOR, RULES.task_prefix, HEADERS)]
    tasks, _ = judge(read(chunk, range(count), RULES)[0], OPERATOR, {A: GOOD}, RULES, NOW_MS)
    found = []
    for one in made:
        data = bytes(written(one, NOW_MS, (7, 2, 40), crc32c))
        assert len(data) <= 1 << 20
        batch = MemoryRecords(data).next_batch()
        assert batch.validate_crc()
        found += [(r.offset, r.key, r.value, r.headers) for r in batch]
    numbers = [number for one in made for number in range(one.records)]
    headers = [[("ce_id", task.request.hex().encode())] for task in tasks]
    assert found == [(n, t.authorisation, t.value, h) for n, t, h in zip(numbers, tasks, headers, strict=True)]


@given(st.lists(st.sampled_from(ASKS), max_size=10))
def test_what_stands_within_whole_seconds_is_allowed(asks: list[bytes]) -> None:
    """Memory is of use: what the rule allows of an agreement that is in force is not left to it."""
    chunk, memory = fetched([(A, request(ask, number=n)) for n, ask in enumerate(asks)]), Memory(SALT)
    learn(memory, [GOOD], NOW_MS)
    allowed, rest = allow(requests(chunk, PREFIX), chunk.data, Asks(OPERATOR, RULES), memory, NOW_MS)
    tasks, _ = judge(read(chunk, range(len(chunk)), RULES)[0], OPERATOR, {A: GOOD}, RULES, NOW_MS)
    assert [place for one in allowed for place in one.requests.place.tolist()] == [task.place for task in tasks]
    assert len(rest.place) == len(asks) - len(tasks)


def test_a_remembered_ask_counts_for_its_operator_and_its_terms() -> None:
    """What one operator may ask says nothing of another, nor of other terms."""
    memory, asks, ask = Memory(SALT), Asks(OPERATOR, RULES), ASKS[0]
    learn(memory, [held(), held(id=B, purpose="bourse")])
    assert asks.within(memory.terms, [1, 2, 1], [ask] * 3) == [True, False, True]
    assert Asks("130025265", RULES).within(memory.terms, [1], [ask]) == [False]


def test_no_more_answers_are_kept_than_that() -> None:
    """An operator that asks something new each time fills no memory."""
    memory, asks = Memory(SALT), Asks(OPERATOR, RULES)
    learn(memory, [held()])
    for number in range(0, 2 * REMEMBERED + 2, 1_000):
        asks.within(memory.terms, [1] * 1_000, [b"%d" % n for n in range(number, number + 1_000)])
    assert sum(map(len, asks._known.values())) <= REMEMBERED + 1_000
    assert asks.within(memory.terms, [1], [ASKS[0]]) == [True]
