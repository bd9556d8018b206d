"""What is refused at once is what the rule refuses, for the same reason and in the same bytes; what is not is left to it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from consent.core.facts import Authorisation, RequestKey, State, Verdict
from consent.core.rules import CLOSED
from exchange import wire
from exchange.core.allowing import Asks
from exchange.core.batches import Bodies, written_headers
from exchange.core.columns import requests
from exchange.core.gate import judge, read
from exchange.core.memory import Memory
from exchange.core.refusing import VERDICT, bodies, refuse
from exchange.ports import Message
from tests.unit.glancing import glanced, learn, ledgers
from tests.unit.test_allowing import ASKS, SALT, asked, fetched, held, keys, request, rights
from tests.unit.test_gate_core import NOW_MS, OPERATOR, PREFIX, RULES, A

B = b"b" * 16
states = st.sampled_from(list(State))
holdings = st.builds(
    lambda changes: held(**changes),
    st.fixed_dictionaries({
        "id": st.sampled_from([A, B]), "state": states, "uses": st.sampled_from([0, 2]),
        "not_before_ms": st.integers(NOW_MS - 1_500, NOW_MS + 1_500), "not_after_ms": st.integers(NOW_MS - 500, NOW_MS + 3_000),
    }),
)  # fmt: skip


def tail_of(reason: str) -> tuple[bytes, bytes]:
    whole = wire.write_verdict(
        Verdict(RequestKey(OPERATOR, bytes(16), bytes(16)), bytes(32), 0, "refused", reason), "gate"
    )
    return whole[:5], whole[VERDICT.itemsize :]


@given(
    ledgers(holdings, rights), ledgers(holdings, rights),
    st.lists(st.tuples(keys, asked), max_size=10), st.integers(NOW_MS, NOW_MS + 6_000),
)  # fmt: skip
@example([], [held(state=State.WITHDRAWN)], [(A, request(ASKS[0])), (A, request(ASKS[2], number=1))], NOW_MS)
@example([held(state=State.WITHDRAWN)], [held(state=State.ERASED)], [(A, request(ASKS[0]))], NOW_MS)
@example([held(state=State.WITHDRAWN)], [held(state=State.EXPIRED)], [(A, request(ASKS[0]))], NOW_MS)
@example([held(state=State.WITHDRAWN)], [], [(A, request(ASKS[0]))], NOW_MS)
def test_only_what_the_rule_refuses_is_refused_and_written_alike(
    before: list[Authorisation], now: list[Authorisation], sent: list[tuple[bytes | None, bytes]], now_ms: int
) -> None:
    """Any authorisations, asks, certificates and times, whatever was remembered before: each verdict is byte for byte that of the rule on
    what the ledger says now, and no place is lost."""
    chunk, memory = fetched(sent), Memory(SALT)
    learn(memory, before, NOW_MS)
    changed = {one.id: one for one in now}
    memory.learn([A, B], glanced([changed.get(A), changed.get(B)]), NOW_MS)
    found = requests(chunk, PREFIX)
    refused, rest = refuse(found, chunk.data, Asks(OPERATOR, RULES), memory)
    by_rule = {
        one.place: one for one in judge(read(chunk, range(len(chunk)), RULES)[0], OPERATOR, changed, RULES, now_ms)[1]
    }
    places = [place for one in refused for place in one.requests.place.tolist()]
    assert sorted([*places, *rest.place.tolist()]) == found.place.tolist()
    for reason, own in refused:
        headers = [written_headers([("ce_id", id.hex().encode())]) for id in own.ids]
        laid = bodies(own, chunk.data, OPERATOR, *tail_of(reason), headers)
        for place, message in zip(own.place.tolist(), Bodies(laid), strict=True):
            rule = by_rule[place]
            key = RequestKey(OPERATOR, rule.authorisation, rule.request)
            value = wire.write_verdict(Verdict(key, rule.digest, rule.deadline_ms, rule.code, rule.reason), "gate")
            assert message == Message(rule.authorisation, value, [("ce_id", rule.request.hex().encode())])


@pytest.mark.parametrize("state", sorted(CLOSED))
def test_what_is_closed_for_good_is_refused_at_once(state: State) -> None:
    """Arrays are of use: none of them is judged alone."""
    chunk, memory = fetched([(A, request(ASKS[0], number=n)) for n in range(100)]), Memory(SALT)
    learn(memory, [held(state=state)])
    refused, rest = refuse(requests(chunk, PREFIX), chunk.data, Asks(OPERATOR, RULES), memory)
    assert [len(one.requests.place) for one in refused] == [100] and not len(rest.place)


def test_what_shares_a_tag_with_what_is_closed_is_not_refused_for_it() -> None:
    """Two ids that fall on one tag, glanced at together: the one that stands is left to the rule, whichever was learnt last."""
    numbers = np.arange(1, 400_001, dtype=np.uint64)
    memory = Memory(SALT)
    tags = memory._tags(np.stack((numbers, numbers * 7), 1))
    order = np.argsort(tags, kind="stable")
    at = int(np.flatnonzero(tags[order][1:] == tags[order][:-1])[0])
    one, other = (np.array([n, 7 * n], "<u8").tobytes() for n in numbers[order[at : at + 2]].tolist())
    standing, closed = held(id=one, certificate_hash=b"o" * 32), held(id=other, state=State.WITHDRAWN)
    for told in ([standing, closed], [closed, standing]):
        learn(memory, told, NOW_MS)
        chunk = fetched([(one, request(ASKS[0], one, b"o" * 32)), (other, request(ASKS[0], other))])
        refused, rest = refuse(requests(chunk, PREFIX), chunk.data, Asks(OPERATOR, RULES), memory)
        assert 0 in rest.place.tolist() and all(0 not in some.requests.place.tolist() for some in refused)
