"""Kafka's record batches, read in place and written at once; aiokafka's own reader and writer are the oracle."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Sequence
from typing import Any

import pytest
from aiokafka.consumer import fetcher
from aiokafka.consumer.fetcher import PartitionRecords
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import TopicPartition
from crc32c import crc32c
from hypothesis import example, given
from hypothesis import strategies as st

from exchange.adapters.fetching import _read, _Whole
from exchange.core import batches
from exchange.core.batches import BadBatch, Bodies, Fetched, body, entries, heads, in_place, lay, numbered, written
from exchange.ports import Message, Record

NOW_MS = 1_790_000_000_000
TOPIC, PARTITION = "requests.211300553", 3
HEADERS = [("ce_id", b"0" * 32), ("traceparent", b"00")]

keys = st.none() | st.binary(min_size=16, max_size=16) | st.binary(max_size=300)
values = st.binary(max_size=40) | st.binary(min_size=60, max_size=70) | st.integers(8_180, 8_200).map(bytes)
headers = st.lists(st.tuples(st.text(max_size=5), st.binary(max_size=5)), max_size=3)
messages = st.lists(st.builds(Message, keys, values, headers), min_size=1, max_size=20)


def theirs(sent: Sequence[Message], *, codec: int = 0, transactional: int = 0, producer: int = -1) -> bytes:
    """A batch as aiokafka writes it, its second record a little later than its first."""
    builder = DefaultRecordBatchBuilder(2, codec, transactional, producer, 0, 0, 1 << 24)
    for number, (key, value, given_headers) in enumerate(sent):
        assert builder.append(number, NOW_MS + 90 * number, key, value, given_headers)
    return bytes(builder.build())


def moved(batch: bytes, offset: int) -> bytes:
    """The batch where a broker put it: the checksum does not count the offset."""
    return offset.to_bytes(8, "big") + batch[8:]


def marker(kind: int, producer: int) -> bytes:
    """What ends a transaction (KIP-98): 0 aborts, 1 commits; a control batch."""
    batch = bytearray(theirs([Message(kind.to_bytes(4, "big"), b"", [])], transactional=1, producer=producer))
    batch[22] |= 0x20
    batch[17:21] = crc32c(bytes(batch[21:])).to_bytes(4, "big")
    return bytes(batch)


def ours(data: bytes) -> list[Any]:
    found = [entry for head in heads(data) for entry in entries(data, head)]
    return [(r.offset, r.timestamp, r.key, r.value, list(r.headers)) for r in Fetched(TOPIC, PARTITION, data, found)]


def as_aiokafka(data: bytes) -> list[Any]:
    found, left = [], MemoryRecords(data)
    while left.has_next():
        found += [(r.offset, r.timestamp, r.key, r.value, list(r.headers)) for r in left.next_batch()]
    return found


@given(st.lists(messages, max_size=3))
@example([[Message(bytes(16), bytes(500), HEADERS)] * 9_000])
def test_a_fetch_is_read_as_aiokafka_reads_it(sent: list[list[Message]]) -> None:
    """Offsets, times, keys, values, headers, of one batch and of several, null keys and odd lengths included."""
    data = b"".join(moved(theirs(batch), 100_000 * number) for number, batch in enumerate(sent))
    assert ours(data) == as_aiokafka(data)


def test_the_brokers_time_is_the_time_of_all_its_records() -> None:
    """With LogAppendTime the head's greatest time counts, whatever the records say."""
    batch = bytearray(theirs([Message(b"k" * 16, b"v", [])] * 3))
    batch[22] |= 0x08
    batch[35:43] = (NOW_MS + 777).to_bytes(8, "big")
    assert [timestamp for _, timestamp, *_ in ours(bytes(batch))] == [NOW_MS + 777] * 3
    assert ours(bytes(batch)) == as_aiokafka(bytes(batch))


@given(messages)
@example([Message(b"k", b"v", HEADERS)] * 9_000)
def test_aiokafka_reads_what_is_written(sent: list[Message]) -> None:
    """A batch of ours has the checksum, producer, sequence, offsets and records that aiokafka expects."""
    data = bytes(written(numbered([body(*message) for message in sent]), NOW_MS, (7, 2, 40), crc32c))
    batch = MemoryRecords(data).next_batch()
    assert batch.validate_crc()
    assert (batch.producer_id, batch.producer_epoch, batch.base_sequence) == (7, 2, 40)
    assert (batch.next_offset, batch.timestamp_type, batch.max_timestamp) == (len(sent), 0, NOW_MS)
    found = [(r.offset, r.timestamp, Message(r.key, r.value, r.headers)) for r in batch]
    assert found == [(number, NOW_MS, message) for number, message in enumerate(sent)]
    assert len(data) <= batches.HEAD_BYTES + sum(len(body(*message)) + batches.RECORD_MOST_BYTES for message in sent)


@given(messages)
def test_messages_laid_out_are_the_same_messages(sent: list[Message]) -> None:
    """One by one, all, and a part of them."""
    laid = Bodies([body(*message) for message in sent])
    assert list(laid) == sent
    assert list(laid[1:]) == sent[1:]
    assert batches.bodies(laid) == batches.bodies(sent)


@given(messages)
def test_records_laid_out_are_the_same_records(sent: list[Message]) -> None:
    """What was not fetched in place can be read as if it had been."""
    records = [
        batches.Read(TOPIC, PARTITION, n, NOW_MS + n, key, value, tuple(h)) for n, (key, value, h) in enumerate(sent)
    ]
    fetched = in_place(records)
    assert list(fetched) == records
    assert list(fetched[1:]) == records[1:]
    assert in_place(fetched) is fetched


def test_a_record_without_a_value_has_none() -> None:
    """Not an empty one: what a topic that is compacted says of a key that is gone."""
    batch = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, 0, 1 << 20)
    batch.append(0, NOW_MS, b"k", None, [])
    assert [value for _, _, _, value, _ in ours(bytes(batch.build()))] == [None]
    assert in_place([batches.Read(TOPIC, PARTITION, 0, NOW_MS, b"k", None, ())])[0].value is None


@given(st.data())
def test_bad_bytes_are_a_bad_batch_or_records_and_nothing_else(data: st.DataObject) -> None:
    """Whatever one byte of a batch becomes, wherever it is cut: `BadBatch`, or records that can be looked at."""
    good = bytearray(theirs([Message(b"k" * 16, bytes(70), HEADERS), Message(None, b"v", [])]))
    good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    bad = bytes(good[: data.draw(st.integers(0, len(good)))])
    try:
        found = ours(bad)
    except BadBatch:
        return
    assert len(found) <= 2


def test_a_batch_that_is_cut_waits_for_the_next_fetch() -> None:
    """A broker fills a fetch to the last byte."""
    batch = theirs([Message(b"k" * 16, b"v", [])])
    data = batch + moved(batch, 1)[:-1]
    assert len(ours(data)) == 1


def read(*batch: bytes, aborted: Sequence[tuple[int, int]] = ()) -> tuple[list[bytes | None], int]:
    data, found, after = _read(b"".join(batch), aborted)
    return [record.value for record in Fetched(TOPIC, PARTITION, data, found)], after


def test_aborted_transactions_are_passed_over() -> None:
    """From where the broker says that one began up to its marker; that producer's next transaction counts, and another's in between."""

    def one(value: bytes, offset: int, producer: int) -> bytes:
        return moved(theirs([Message(None, value, [])], transactional=1, producer=producer), offset)

    fetched = (
        one(b"aborted", 5, 1), one(b"other", 6, 2), moved(marker(0, 1), 7), one(b"kept", 8, 1), moved(marker(1, 1), 9),
        moved(marker(1, 2), 10),
    )  # fmt: skip
    assert read(*fetched, aborted=[(1, 5)]) == ([b"other", b"kept"], 11)
    assert read(*fetched) == ([b"aborted", b"other", b"kept"], 11)


def test_compressed_batches_are_read_too() -> None:
    """Beside others, in their order, with their offsets."""
    plain, packed = theirs([Message(b"k", b"plain", HEADERS)]), theirs([Message(b"k", b"packed", HEADERS)] * 2, codec=1)
    data, found, after = _read(plain + moved(packed, 1) + moved(plain, 3), ())
    records: list[Record] = list(Fetched(TOPIC, PARTITION, data, found))
    assert [(r.offset, r.value, list(r.headers)) for r in records] == [
        (0, b"plain", HEADERS), (1, b"packed", HEADERS), (2, b"packed", HEADERS), (3, b"plain", HEADERS),
    ]  # fmt: skip
    assert after == 4


@pytest.mark.parametrize("codec", [0, 1])
def test_a_checksum_that_does_not_fit_is_a_bad_batch(codec: int) -> None:
    """Compressed or not: bytes that a disk or a network changed are never handed out."""
    batch = bytearray(theirs([Message(b"k", b"v", [])], codec=codec))
    batch[-1] ^= 1
    with pytest.raises(BadBatch):
        read(bytes(batch))


def test_a_fetch_that_nobody_needs_is_gone_at_once() -> None:
    """Its megabytes do not wait for the garbage collector: aiokafka's own records refer to themselves."""
    gc.disable()
    try:
        found = PartitionRecords(
            TopicPartition(TOPIC, PARTITION),
            fetcher.MemoryRecords(theirs([Message(b"k", b"v", [])])),
            [],
            0,
            None,
            None,
            True,
            1,
        )
        whole, watched = _Whole(found), weakref.ref(found)
        (fetched,) = whole
        del found, whole
        assert watched() is None
        assert len(fetched) == 1
    finally:
        gc.enable()


def test_records_before_the_wanted_offset_are_left_out() -> None:
    """A fetch begins with the whole batch that holds the wanted record."""
    data = theirs([Message(b"k", b"%d" % number, []) for number in range(5)])
    whole = _Whole(
        PartitionRecords(TopicPartition(TOPIC, PARTITION), fetcher.MemoryRecords(data), [], 3, None, None, True, 1)
    )
    (fetched,) = whole
    assert [record.value for record in fetched] == [b"3", b"4"]
    assert whole.next_fetch_offset == 5
    assert lay(fetched, 0)[1][0][0] == 3
