"""Many records at once: what arrays say of a fetch is what is read of it one by one."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from crc32c import crc32c
from hypothesis import given
from hypothesis import strategies as st

from exchange.core.batches import BadBatch, Entry, Fetched, body, entries, heads, numbered, written, written_headers
from exchange.core.columns import LEAST, Located, entries_at, located, plain, requests
from exchange.core.heads import HEAD, SIZE_MAX_BYTES, BadRequest, read_head, varint
from exchange.ports import Message

NOW_MS, KEY = 1_790_000_000_000, b"a" * 16
PREFIX = b"\0\0\0\0\x08"
HEADERS = [("ce_id", b"0" * 32)]


def stamped(batch: bytes, offset: int = 0) -> bytes:
    """The batch as a broker has it that sets the time."""
    data = bytearray(offset.to_bytes(8, "big") + batch[8:])
    data[22] |= 0x08
    data[35:43] = (NOW_MS + 777).to_bytes(8, "big")
    data[17:21] = crc32c(bytes(data[21:])).to_bytes(4, "big")
    return bytes(data)


def batch(messages: Sequence[Message], offset: int = 0) -> bytes:
    return stamped(bytes(written(numbered([body(*one) for one in messages]), NOW_MS, (1, 0, 0), crc32c)), offset)


def request(ask: bytes = b"a" * 80, identity: bytes = b"i" * 200, prefix: bytes = PREFIX, authorisation: bytes = KEY) -> bytes:  # fmt: skip
    head = HEAD.pack(prefix, b"r" * 16, authorisation, b"c" * 32, 5_000)
    return head + varint(len(ask)) + ask + varint(len(identity)) + identity


def one_by_one(data: bytes) -> list[Entry]:
    return [entry for head in heads(data) for entry in entries(data, head)]


usual = st.builds(Message, st.just(KEY), st.integers(64, 400).map(bytes), st.just(HEADERS))
odd = st.builds(Message, st.none() | st.binary(max_size=20), st.binary(max_size=80), st.just(HEADERS))


@given(st.lists(usual, min_size=LEAST, max_size=LEAST + 5), st.lists(usual, min_size=LEAST, max_size=70))
def test_records_are_where_they_are_read_one_by_one(first: list[Message], second: list[Message]) -> None:
    """Of one batch and of several, whole or in part."""
    data = batch(first) + batch(second, 1_000)
    found = located(data, list(heads(data)))
    assert found is not None
    expected = one_by_one(data)
    assert (list(found), found[3], list(found[5:9])) == (expected, expected[3], expected[5:9])
    assert list(entries_at(Fetched("t", 0, data, found), [7, 2])) == [expected[7], expected[2]]


@given(st.lists(usual, min_size=LEAST, max_size=LEAST + 5), odd, st.integers(0, LEAST))
def test_one_record_of_another_shape_leaves_all_to_the_loop(sent: list[Message], other: Message, place: int) -> None:
    """Null keys, keys of other lengths, short values: nothing is guessed, and what is said is true."""
    data = batch([*sent[:place], other, *sent[place:]])
    found = located(data, list(heads(data)))
    assert found is None or list(found) == one_by_one(data)


@given(st.integers(0, LEAST - 1), st.lists(st.tuples(st.text(max_size=12), st.binary(max_size=40)), max_size=2))
def test_headers_are_plain_only_where_all_records_have_those(place: int, others: list[tuple[str, bytes]]) -> None:
    """One record with others, more, fewer or a trace: not known. Read one by one: not known either."""
    usual, before = Message(KEY, bytes(70), HEADERS), written_headers(HEADERS)[:-32]

    def known(messages: Sequence[Message]) -> bool:
        data = batch(messages)
        found = located(data, list(heads(data)))
        assert found is not None
        assert not plain(Fetched("t", 0, data, one_by_one(data)), before, 32)
        return plain(Fetched("t", 0, data, found), before, 32)

    messages = [usual] * LEAST
    assert known(messages)
    assert known([*messages[1:], usual._replace(headers=[("ce_id", b"f" * 32)])])
    messages[place] = usual._replace(headers=others)
    assert known(messages) == (written_headers(others)[:-32] == before)


@given(st.data())
def test_bad_bytes_are_left_to_the_loop_or_said_as_it_says_them(data: st.DataObject) -> None:
    """Whatever some bytes of a batch become."""
    good = bytearray(batch([Message(KEY, bytes(70 + n), HEADERS) for n in range(LEAST)]))
    for _ in range(data.draw(st.integers(1, 3))):
        good[data.draw(st.integers(61, 200))] = data.draw(st.integers(0, 255))
    bad = bytes(good)
    found = located(bad, list(heads(bad)))
    try:
        expected = one_by_one(bad)
    except BadBatch:
        assert found is None
    else:
        assert found is None or list(found) == expected


def test_a_time_that_is_not_the_brokers_is_left_to_the_loop() -> None:
    """Each record then has its own."""
    data = bytes(written(numbered([body(KEY, bytes(70), HEADERS)] * LEAST), NOW_MS, (1, 0, 0), crc32c))
    assert located(data, list(heads(data))) is None


VALUES = [
    request(), request(b"b" * 300), request(identity=b"j" * 5_000), request(b"short"), request(identity=b""), request()[:-1], request() + b"\0",
    request(prefix=b"\0\0\0\0\x09"), request(prefix=b"\1\0\0\0\x08"), request(authorisation=b"b" * 16), b"", bytes(400), request()[:74],
    request(identity=bytes(9_000)), request()[:73] + b"\x80" + request()[74:], request()[:73] + b"\xa1" + request()[74:],
    request()[:73] + varint(300) + request()[75:], request(identity=bytes(SIZE_MAX_BYTES)),
]  # fmt: skip


def same(chunk: Fetched) -> None:
    """What is found as a request is one, read strictly, of that key; and every usual one is found."""
    found = requests(chunk, PREFIX)
    seen = dict(zip(found.place.tolist(), range(len(found.place)), strict=True))
    for place, (_, timestamp, key, at, end, _) in enumerate(chunk.entries):
        value = chunk.data[at:end] if at >= 0 else None
        try:
            head = read_head(value, PREFIX)
        except BadRequest:
            assert place not in seen
            continue
        if (n := seen.get(place)) is None:
            assert key != head.authorisation or len(head.ask) < 64 or value not in VALUES[:3]
            continue
        assert (found.ids[n], found.authorisations[n]) == (
            head.request,
            head.authorisation,
        ) and key == found.authorisations[n]
        assert found.head[n]["certificate"].tobytes() == head.certificate_hash
        assert (int(found.head[n]["ttl_ms"]), int(found.timestamp[n]), int(found.end[n])) == (
            head.ttl_ms,
            timestamp,
            end,
        )
        assert chunk.data[int(found.ask_at[n]) : int(found.ask_end[n])] == head.ask


@given(
    st.lists(st.tuples(st.sampled_from(VALUES), st.sampled_from([KEY, KEY, KEY, None, b"", b"b" * 16])), max_size=12)
)
def test_a_request_found_is_one_and_no_usual_one_is_missed(sent: list[tuple[bytes, bytes | None]]) -> None:
    """In a chunk too small for arrays, of any keys."""
    if sent:
        data = batch([Message(key, value, HEADERS) for value, key in sent])
        same(Fetched("t", 0, data, one_by_one(data)))


@given(st.lists(st.sampled_from([value for value in VALUES if 64 <= len(value) < 8_000]), min_size=LEAST, max_size=40))
def test_the_same_in_a_fetch_read_at_once(sent: list[bytes]) -> None:
    """The places are those of arrays."""
    data = batch([Message(KEY, value, HEADERS) for value in sent])
    found = located(data, list(heads(data)))
    assert isinstance(found, Located)
    same(Fetched("t", 0, data, found))


@pytest.mark.parametrize("count", [0, 1])
def test_there_may_be_none(count: int) -> None:
    """Of nothing, or of what is too short."""
    chunk = Fetched("t", 0, b"v", [(0, 0, KEY, 0, 1, 1)] * count)
    assert len(requests(chunk, PREFIX).place) == 0
