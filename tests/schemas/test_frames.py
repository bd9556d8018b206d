"""What a message's first five bytes may not say (reliability (e) 35)."""

from __future__ import annotations

from itertools import permutations

import pytest

from exchange import wire
from exchange.core.errors import Code
from exchange.core.frame import frame
from exchange.schemas import catalogue

SUBJECTS = sorted({name.subject for name in catalogue().codecs if "." not in name.subject})
ASK = {
    "recipient": "r",
    "data_set": "d",
    "purpose": "p",
    "scopes": [],
    "parameters": [],
    "rule": b"",
    "watch_every_ms": 0,
    "watch_until_ms": 0,
}


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"\x00",
        b"\x00\x00\x00\x00",
        b"\x01\x00\x00\x00\x01",
        b"\x00\x00\x00\x00\x00",
        b"\x00\xff\xff\xff\xff",
        b"\x00\x7f\xff\xff\xff",
        b'{"recipient": "r"}',
    ],
    ids=repr,
)
def test_bytes_that_are_no_frame_of_ours_are_refused(value: bytes | None) -> None:
    """No value, too few bytes, another magic byte, an id that is none or nobody's: one refusal, with its code, whoever reads."""
    for subject in SUBJECTS:
        with pytest.raises(wire.BadBytes) as refused:
            wire.read(subject, value)
        assert refused.value.code is Code.BAD_FRAME


def test_the_id_of_another_subject_is_refused() -> None:
    """A datum under the id of any other schema is not read as the one its topic carries, not even if its bytes would fit."""
    datum = catalogue().codec("ask").encode(ASK)
    for subject, other in permutations(SUBJECTS, 2):
        with pytest.raises(wire.BadBytes) as refused:
            wire.read(subject, frame(catalogue().id(other), datum))
        assert refused.value.code is Code.BAD_FRAME


def test_a_data_set_is_no_message() -> None:
    """The id of a data set's schema opens no message of the bus."""
    for data_set in catalogue().data_sets():
        with pytest.raises(wire.BadBytes):
            wire.read("ask", frame(catalogue().id(data_set.rpartition(".v")[0]), bytes(8)))


def test_right_id_and_wrong_bytes_are_bad_avro() -> None:
    """With the right id, bytes that are no datum are refused by the codec, with a code of their own."""
    assert wire.read("ask", wire.write("ask", ASK)) == ASK
    for subject in SUBJECTS:
        with pytest.raises(wire.BadBytes) as refused:
            wire.read(subject, catalogue().prefix(subject) + b"\x01")
        assert refused.value.code is Code.BAD_AVRO
