"""C2SP tlog-proof: its one form."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent.core import proof
from consent.core.proof import BadProof, Proof

EXAMPLES = Path(__file__).parents[3] / "shared" / "vectors" / "c2sp-examples" / "examples.json"
CHECKPOINT = "log\n9\n" + base64.b64encode(bytes(32)).decode() + "\n\n— log AAAAAAA=\n"
PATH = tuple(bytes([n]) * 32 for n in range(4))
TEXT = proof.write(Proof(8, PATH, CHECKPOINT, b"leaf"))
HASH = base64.b64encode(bytes(32)).decode()


def test_the_specifications_proof_is_read() -> None:
    """Index, five hashes and the checkpoint verbatim, as the specification's example has them; written, it is the same text."""
    if not EXAMPLES.exists():
        pytest.skip("no C2SP examples at ../shared/vectors/c2sp-examples")
    example = json.loads(EXAMPLES.read_text())["tlog-proof"][0]
    found = proof.read(example)
    assert (found.leaf_index, len(found.path)) == (73_894, 5)
    assert found.extra.startswith(b"age-v1.2.1-darwin-arm64.tar.gz")
    assert found.checkpoint == example.partition("\n\n")[2] and found.checkpoint.startswith(
        "example.com/fancylog\n109482\n"
    )
    assert proof.write(found) == example


@given(st.integers(0, 2**63 - 1), st.lists(st.binary(min_size=32, max_size=32), max_size=63), st.binary(max_size=99))
def test_a_proof_comes_back(index: int, path: list[bytes], extra: bytes) -> None:
    """What is written is read, with or without extra bytes, up to 63 hashes."""
    written = Proof(index, tuple(path), CHECKPOINT, extra)
    assert proof.read(proof.write(written)) == written


@pytest.mark.parametrize(
    "text",
    [
        "",
        TEXT.replace("@v1", "@v2"),
        " " + TEXT,
        TEXT.replace("\n", "\r\n"),
        TEXT.replace("\n\n", "\n\n\n", 1),
        TEXT.partition("\n\n")[0] + "\n\n",
        TEXT.partition("\n\n")[0] + "\n",
        TEXT.replace("extra bGVhZg==", "extra "),
        TEXT.replace("extra bGVhZg==", "extra bGVhZh=="),
        TEXT.replace("extra bGVhZg==", "extra bGVhZg"),
        TEXT.replace("extra bGVhZg==\n", "extra bGVhZg==\nextra bGVhZg==\n"),
        TEXT.replace("extra bGVhZg==\nindex 8\n", "index 8\nextra bGVhZg==\n"),
        TEXT.replace("index 8", "index 08"),
        TEXT.replace("index 8", "index -8"),
        TEXT.replace("index 8", "index +8"),
        TEXT.replace("index 8", "index  8"),
        TEXT.replace("index 8", "index 8 "),
        TEXT.replace("index 8", "index ٨"),
        TEXT.replace("index 8", f"index {2**63}"),
        TEXT.replace("index 8", f"index {2**64}"),
        TEXT.replace("index 8", "index " + "9" * 5_000),
        TEXT.replace("index 8", "index"),
        TEXT.replace("index 8\n", ""),
        TEXT.replace(base64.b64encode(PATH[1]).decode(), base64.b64encode(PATH[1][:31]).decode()),
        TEXT.replace(base64.b64encode(PATH[1]).decode(), "not base64"),
        TEXT.replace("index 8\n", "index 8\n" + f"{HASH}\n" * 60),
        TEXT + "x" * proof.MAX_BYTES,
    ],
)
def test_what_is_no_proof_is_refused(text: str) -> None:
    """Header, optional extra, index without leading zero and below 2^63, at most 63 hashes of 32 bytes, one blank line."""
    with pytest.raises(BadProof):
        proof.read(text)


def test_sixty_three_hashes_are_read_and_sixty_four_are_not() -> None:
    """The bound lies exactly there."""
    assert len(proof.read(TEXT.replace("index 8\n", "index 8\n" + f"{HASH}\n" * 59)).path) == 63
    with pytest.raises(BadProof):
        proof.read(TEXT.replace("index 8\n", "index 8\n" + f"{HASH}\n" * 60))
