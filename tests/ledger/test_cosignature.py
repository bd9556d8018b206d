"""C2SP tlog-cosignature: the specification's bytes, and which signatures of a witness count."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from consent.core import cosignature, note
from consent.core.cosignature import Witness
from consent.core.note import BadNote, Checkpoint, Signature

EXAMPLES = Path(__file__).parents[3] / "shared" / "vectors" / "c2sp-examples" / "examples.json"
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
WITNESS = Witness("witness.test/w1", KEY.public_key().public_bytes_raw())
TEXT = Checkpoint("accord.test/log", 42, bytes(range(32))).text()
NOW_S = 1_700_000_000
GOOD = cosignature.cosign(TEXT, WITNESS.name, KEY, NOW_S)


def test_the_specifications_cosigned_checkpoint_is_read() -> None:
    """Two lines, the second a witness's: its time is the one the specification shows, and a real key id."""
    if not EXAMPLES.exists():
        pytest.skip("no C2SP examples at ../shared/vectors/c2sp-examples")
    (example,) = json.loads(EXAMPLES.read_text())["tlog-cosignature"]
    text, (log, witness) = note.split(example)
    assert (log.name, witness.name) == ("example.com/behind-the-sofa", "witness.example.com/w1")
    assert int.from_bytes(witness.value[:8], "big") == 1_679_315_147 and len(witness.value) == 72
    assert cosignature.message(text, 1_679_315_147).decode() == (
        "cosignature/v1\ntime 1679315147\nexample.com/behind-the-sofa\n20852163\n"
        "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    )
    assert "\n".join([text, *map(note.format_signature, (log, witness)), ""]) == example


def test_a_cosignature_is_the_rfcs_bytes() -> None:
    """Time, big-endian on eight bytes, then plain Ed25519 over the message with extension lines in it."""
    text = TEXT + "extension\n"
    signature = cosignature.cosign(text, WITNESS.name, KEY, NOW_S)
    assert signature.value[:8] == NOW_S.to_bytes(8, "big")
    KEY.public_key().verify(signature.value[8:], f"cosignature/v1\ntime {NOW_S}\n{text}".encode())
    assert cosignature.cosigned_at(text, [signature], WITNESS, NOW_S) == NOW_S
    with pytest.raises(BadNote):
        cosignature.cosigned_at(text + "another\n", [signature], WITNESS, NOW_S)


def test_the_last_of_several_good_ones_counts_and_unknown_ones_do_not() -> None:
    """A witness that signed twice did so at the later time; another name or key id is nobody known."""
    later = cosignature.cosign(TEXT, WITNESS.name, KEY, NOW_S + 5)
    other = Signature("witness.test/w2", GOOD.key_id, bytes(72))
    note_key = Signature(WITNESS.name, note.Verifier(WITNESS.name, WITNESS.public_key).key_id, bytes(64))
    assert cosignature.cosigned_at(TEXT, [later, GOOD], WITNESS, NOW_S + 9) == NOW_S + 5
    assert cosignature.cosigned_at(TEXT, [other, note_key], WITNESS, NOW_S) is None
    assert cosignature.cosigned_at(TEXT, [], WITNESS, NOW_S) is None


@pytest.mark.parametrize(
    "value",
    [
        bytes(8) + GOOD.value[8:],
        (NOW_S + 1).to_bytes(8, "big") + GOOD.value[8:],
        GOOD.value[:-1],
        GOOD.value + b"\0",
        GOOD.value[:-1] + bytes([GOOD.value[-1] ^ 1]),
        KEY.sign(TEXT.encode()),
        cosignature.cosign(TEXT, WITNESS.name, KEY, 0).value,
        cosignature.cosign(TEXT, WITNESS.name, KEY, NOW_S + cosignature.AHEAD_MAX_S + 1).value,
        cosignature.cosign(TEXT, WITNESS.name, KEY, 2**63).value,
    ],
    ids=["zero", "moved", "short", "long", "flipped", "no-time", "signed-zero", "future", "2^63"],
)
def test_a_bad_one_of_a_known_witness_spoils_the_note(value: bytes) -> None:
    """Another time, another length, another message: refused, even beside a good one."""
    bad = Signature(WITNESS.name, WITNESS.key_id, value)
    for signatures in ([bad], [GOOD, bad], [bad, GOOD]):
        with pytest.raises(BadNote):
            cosignature.cosigned_at(TEXT, signatures, WITNESS, NOW_S)


def test_a_witness_key_is_read_as_it_is_written() -> None:
    """Type 0x04; a log's key (0x01), another hash, a space in the name or a cut key are refused."""
    assert cosignature.parse_witness(str(WITNESS)) == WITNESS
    assert str(WITNESS).split("+", 2)[2] == base64.b64encode(b"\x04" + WITNESS.public_key).decode()
    log = str(note.Verifier(WITNESS.name, WITNESS.public_key))
    spaced = str(Witness("witness test", WITNESS.public_key))
    for vkey in ("", "a", log, spaced, str(WITNESS)[:-4], str(WITNESS).replace(WITNESS.key_id.hex(), "00000000")):
        with pytest.raises(BadNote):
            cosignature.parse_witness(vkey)
