"""C2SP signed notes and checkpoints: the specification's own examples, and no bit to spare."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from consent.core import note
from consent.core.note import BadNote, Checkpoint, Verifier

EXAMPLES = Path(__file__).parents[3] / "shared" / "vectors" / "c2sp-examples" / "examples.json"
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
LOG = Verifier("accord.test/log", KEY.public_key().public_bytes_raw())
OTHER_KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
OTHER = Verifier("witness.test/w", OTHER_KEY.public_key().public_bytes_raw())
TEXT = Checkpoint(LOG.name, 42, bytes(range(32))).text()
NOTE = note.sign(TEXT, LOG.name, KEY)


@pytest.fixture(scope="module")
def examples() -> dict[str, Any]:
    if not EXAMPLES.exists():
        pytest.skip("no C2SP examples at ../shared/vectors/c2sp-examples")
    found: dict[str, Any] = json.loads(EXAMPLES.read_text())
    return found


def test_the_specifications_note_verifies(examples: dict[str, Any]) -> None:
    """The example note, under the example key, whose text form comes back."""
    example = examples["signed-note"]
    verifier = note.parse_verifier(example["vkey"])
    assert str(verifier) == example["vkey"]
    assert note.verify(example["note"], verifier) == "This is an example message.\n"
    with pytest.raises(BadNote):
        note.verify(example["note"].replace("example message", "Example message"), verifier)


def test_the_specifications_checkpoints_are_read(examples: dict[str, Any]) -> None:
    """Origin, size and root of the example checkpoint."""
    for example in examples["tlog-checkpoint"]:
        head = note.parse_checkpoint(example.partition("\n\n")[0] + "\n")
        assert (head.origin, head.size) == ("example.com/behind-the-sofa", 20852163)
        assert base64.b64encode(head.root).decode() == "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I="


def test_what_is_signed_verifies() -> None:
    """Text, blank line, one signature line; the text comes back, a checkpoint in it too."""
    assert NOTE.startswith(TEXT + "\n— accord.test/log ")
    assert note.verify(NOTE, LOG) == TEXT
    assert note.parse_checkpoint(TEXT) == Checkpoint(LOG.name, 42, bytes(range(32)))
    assert note.parse_verifier(str(LOG)) == LOG


def test_no_flipped_bit_verifies() -> None:
    """I7: every bit of a note counts, those that base64 leaves over included."""
    for bit in range(len(NOTE.encode()) * 8):
        data = bytearray(NOTE.encode())
        data[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ValueError):
            note.verify(data.decode(), LOG)


def test_signatures_of_unknown_keys_are_passed_over() -> None:
    """A cosignature before or after ours changes nothing; alone it proves nothing."""
    cosignature = note.sign(TEXT, OTHER.name, OTHER_KEY).partition("\n\n")[2]
    text, _, line = NOTE.partition("\n\n")
    assert note.verify(f"{text}\n\n{cosignature}{line}", LOG) == TEXT
    assert note.verify(f"{text}\n\n{line}{cosignature}", LOG) == TEXT
    assert note.verify(f"{text}\n\n{line}{cosignature}", OTHER) == TEXT
    with pytest.raises(BadNote):
        note.verify(f"{text}\n\n{cosignature}", LOG)


def test_a_bad_signature_of_ours_spoils_the_note() -> None:
    """A line with our name and key hash must verify, even beside a good one."""
    text, _, line = NOTE.partition("\n\n")
    bad = f"— {LOG.name} {base64.b64encode(LOG.key_id + bytes(64)).decode()}\n"
    for lines in (line + bad, bad + line, bad):
        with pytest.raises(BadNote):
            note.verify(f"{text}\n\n{lines}", LOG)


def test_our_key_under_another_name_is_not_ours() -> None:
    """The name is part of the key's hash."""
    with pytest.raises(BadNote):
        note.verify(note.sign(TEXT, "another.test/log", KEY), LOG)
    with pytest.raises(BadNote):
        note.verify(NOTE, Verifier("another.test/log", LOG.public_key))


@pytest.mark.parametrize(
    "changed",
    [
        "",
        "\n",
        TEXT,
        NOTE[:-1],
        NOTE + "\n",
        NOTE.replace("\n\n", "\n"),
        NOTE.replace("\n\n", "\n\n\n"),
        NOTE.replace("\n", "\r\n"),
        NOTE.replace("— ", "- "),
        NOTE.replace("— ", "—"),
        NOTE.replace("— accord.test/log ", "— "),
        NOTE + "— x\n",
        NOTE + "— x AAAA\n",
        NOTE + "— x+y AAAAAAAA\n",
        NOTE + "— x not base64\n",
        NOTE.replace("accord", "acc\0rd"),
        "x" * 1_000_001,
    ],
)
def test_what_is_no_note_is_refused(changed: str) -> None:
    """Blank lines, line ends, marks and lengths are exactly those of the specification."""
    with pytest.raises(BadNote):
        note.verify(changed, LOG)


@given(st.text(max_size=200))
def test_any_text_is_refused_unless_it_is_the_note(text: str) -> None:
    """Nothing verifies by chance, and nothing raises but a ValueError."""
    with pytest.raises(ValueError):
        note.verify(text, LOG)


def test_only_a_text_of_whole_lines_is_signed() -> None:
    """A note's text ends with a newline."""
    with pytest.raises(ValueError):
        note.sign("no newline", LOG.name, KEY)


ROOT = base64.b64encode(bytes(32)).decode()


@pytest.mark.parametrize(
    "text",
    [
        "",
        f"log\n42\n{ROOT}",
        f"\n42\n{ROOT}\n",
        f"log\n042\n{ROOT}\n",
        f"log\n-1\n{ROOT}\n",
        f"log\n+1\n{ROOT}\n",
        f"log\n 1\n{ROOT}\n",
        f"log\n٤٢\n{ROOT}\n",
        f"log\n1_0\n{ROOT}\n",
        f"log\n{'9' * 5_000}\n{ROOT}\n",
        "log\n42\n\n",
        f"log\n42\n{ROOT[:-4]}\n",
        f"log\n42\n{ROOT[:-2]}B=\n",
        f"log\n42\n{ROOT} \n",
        "log\n42\nnot base64\n",
    ],
)
def test_what_is_no_checkpoint_is_refused(text: str) -> None:
    """Origin, a decimal size without leading zero, 32 bytes in base64's one form."""
    with pytest.raises(ValueError):
        note.parse_checkpoint(text)


def test_extension_lines_are_allowed() -> None:
    """A checkpoint may say more, after its three lines."""
    assert note.parse_checkpoint(TEXT + "extension\n") == note.parse_checkpoint(TEXT)


@pytest.mark.parametrize(
    "vkey",
    [
        "",
        "name",
        "name+00000000",
        str(LOG).replace("accord", "accorb"),
        str(LOG)[:-4],
        str(LOG).replace(LOG.key_id.hex(), "00000000"),
        f"name+{LOG.key_id.hex()}+not base64",
        f"{LOG.name}+{LOG.key_id.hex()}+" + base64.b64encode(b"\x04" + LOG.public_key).decode(),
    ],
)
def test_what_is_no_verifier_key_is_refused(vkey: str) -> None:
    """Name, hash of name and key, an Ed25519 key: all three agree."""
    with pytest.raises(BadNote):
        note.parse_verifier(vkey)
