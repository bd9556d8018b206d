"""Receipts: what they prove, to our verifier and to one written here from the RFC and C2SP texts alone; no bit to spare."""

from __future__ import annotations

import base64
import hashlib
import re
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st

from consent import verify
from consent.core import cosignature, merkle, note, proof
from consent.core.cosignature import Witness
from consent.core.note import Checkpoint, Verifier
from consent.core.proof import Proof
from consent.verify import BadReceipt, Pending, Policy

ROOT = Path(__file__).parents[2]
NOW_S = 1_700_000_000
KEYS = [Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n in range(1, 20)]
LOG = Verifier("accord.test/log", KEYS[0].public_key().public_bytes_raw())
WITNESSES = tuple(Witness(f"witness.test/w{n}", KEYS[n].public_key().public_bytes_raw()) for n in (1, 2))
POLICY = Policy(LOG, WITNESSES, 2)
LEAVES = [b"leaf %d" % n for n in range(300)]


def checkpoint(size: int, *, origin: str = LOG.name, signers: int = 2, key: Ed25519PrivateKey = KEYS[0]) -> str:
    text = Checkpoint(origin, size, merkle.root([merkle.leaf_hash(leaf) for leaf in LEAVES[:size]])).text()
    lines = [
        note.format_signature(cosignature.cosign(text, w.name, k, NOW_S))
        for w, k in zip(WITNESSES, KEYS[1:], strict=False)
    ]
    return note.sign(text, LOG.name, key) + "".join(line + "\n" for line in lines[:signers])


def receipt(index: int = 7, size: int = 300, *, head: str | None = None, extra: bytes | None = None) -> bytes:
    path = merkle.inclusion_path([merkle.leaf_hash(leaf) for leaf in LEAVES[:size]], index)
    found = Proof(index, tuple(path), head or checkpoint(size), LEAVES[index] if extra is None else extra)
    return proof.write(found).encode()


def independent(receipt: bytes, log: tuple[str, bytes], witnesses: list[tuple[str, bytes]], quorum: int) -> bytes:
    """The leaf a receipt proves, from the texts: tlog-proof, signed-note, tlog-cosignature, RFC 9162 §2.1.3.2. AssertionError."""

    def b64(text: str) -> bytes:
        data = base64.b64decode(text, validate=True)
        assert base64.b64encode(data).decode() == text
        return data

    def signed_by(kind: int, name: str, key: bytes) -> list[bytes]:
        key_id = hashlib.sha256(name.encode() + b"\n" + bytes([kind]) + key).digest()[:4]
        return [value[4:] for signer, value in signatures if signer == name and value[:4] == key_id]

    text = receipt.decode()
    assert not any(c < " " and c != "\n" for c in text)
    top, body, lines = text.split("\n\n")
    assert lines.endswith("\n")
    signatures = []
    for line in lines[:-1].split("\n"):
        dash, signer, encoded = line.split(" ")
        value = b64(encoded)
        assert dash == "\u2014" and signer and "+" not in signer and len(value) > 4
        signatures.append((signer, value))
    assert len(signatures) <= 16
    body += "\n"
    first, extra, index_line, *hashes = top.split("\n")
    assert first == "c2sp.org/tlog-proof@v1" and extra.startswith("extra ") and index_line.startswith("index ")
    leaf, index, path = b64(extra[6:]), int(index_line[6:]), [b64(h) for h in hashes]
    origin, decimal, root, *rest = body.split("\n")
    assert index_line == f"index {index}" and decimal == str(int(decimal)) and origin == log[0] and all(rest[:-1])
    ours = signed_by(1, *log)
    assert ours
    for signature in ours:
        Ed25519PublicKey.from_public_bytes(log[1]).verify(signature, body.encode())
    seen = 0
    for name, key in witnesses:
        for value in signed_by(4, name, key):
            time = int.from_bytes(value[:8], "big")
            assert 0 < time <= NOW_S + 300
            message = f"cosignature/v1\ntime {time}\n{body}".encode()
            Ed25519PublicKey.from_public_bytes(key).verify(value[8:], message)
        seen += bool(signed_by(4, name, key))
    assert seen >= quorum
    r, fn, sn = hashlib.sha256(b"\0" + leaf).digest(), index, int(decimal) - 1
    assert 0 <= fn <= sn and len(path) <= 63
    for p in path:
        assert sn != 0 and len(p) == 32
        if fn % 2 or fn == sn:
            r = hashlib.sha256(b"\1" + p + r).digest()
            while fn % 2 == 0 and fn != 0:
                fn, sn = fn // 2, sn // 2
        else:
            r = hashlib.sha256(b"\1" + r + p).digest()
        fn, sn = fn // 2, sn // 2
    assert sn == 0 and r == b64(root)
    return leaf


def by_both(data: bytes, policy: Policy = POLICY) -> bytes | None:
    """The leaf both verifiers accept, None if both refuse; they must agree."""
    try:
        ours: bytes | None = verify.verify(data, policy, NOW_S).leaf
    except BadReceipt:
        ours = None
    try:
        theirs: bytes | None = independent(data, tuple(policy.log), [tuple(w) for w in policy.witnesses], policy.quorum)
    except Exception:
        theirs = None
    assert ours == theirs
    return ours


@pytest.mark.parametrize("size", [1, 2, 3, 255, 256, 257, 300])
def test_a_receipt_proves_its_leaf(size: int) -> None:
    """Any leaf of a log of any size, to our verifier and to the other one; where, and seen by whom, comes out."""
    for index in {0, size // 2, size - 1}:
        data = receipt(index, size)
        found = verify.verify(data, POLICY, NOW_S)
        assert (found.origin, found.leaf_index, found.size, found.leaf) == (LOG.name, index, size, LEAVES[index])
        assert found.witnesses == {w.name: NOW_S for w in WITNESSES}
        assert by_both(data) == LEAVES[index]


def test_every_flipped_bit_is_refused() -> None:
    """I7: each bit of a receipt that needs all its witnesses, one after the other, by both verifiers."""
    data = receipt()
    assert by_both(data) == LEAVES[7]
    accepted = []
    for bit in range(len(data) * 8):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        if by_both(bytes(changed)) is not None:
            accepted.append(bit)
    assert accepted == []


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_any_change_is_refused(data: st.DataObject) -> None:
    """Cut, doubled, swapped or replaced pieces: both verifiers refuse whatever is not the receipt itself, its signature lines in any
    order and number (a signed note gives neither a meaning)."""
    good = receipt()
    a, b = sorted((data.draw(st.integers(0, len(good))), data.draw(st.integers(0, len(good)))))
    piece = data.draw(
        st.sampled_from([b"", good[a:b] * 2, good[b:] + good[a:b], b"\n", b"\n\n", b" ", b"0", b"\r\n", b"=="])
    )
    changed = good[:a] + piece + good[b:]
    assert by_both(changed) == (LEAVES[7] if _said(changed) == _said(good) else None)


def _said(data: bytes) -> tuple[bytes, frozenset[bytes]]:
    """What a receipt says, and who signed it: but for the lines of keys that nobody knows, which are ignored in a signed note."""
    text, _, signatures = data.rpartition(b"\n\n")
    known = set(map(_key, receipt().rpartition(b"\n\n")[2].split(b"\n")))
    return text, frozenset(line for line in signatures.split(b"\n") if _key(line) in known)


def _key(line: bytes) -> tuple[bytes, bytes] | None:
    """Name and key id of a signature line; None for what is no such line, as the end of a receipt."""
    found = re.fullmatch(rb"\xe2\x80\x94 ([^ +\s]+) ([A-Za-z0-9+/]{7,}={0,2})", line)
    try:
        raw = base64.b64decode(found[2], validate=True) if found else b""
    except ValueError:
        return None
    return (found[1], raw[:4]) if found and len(raw) > 4 and base64.b64encode(raw) == found[2] else None


@given(st.binary(max_size=300))
def test_any_bytes_are_refused(data: bytes) -> None:
    """Nothing verifies by chance, and nothing raises but BadReceipt."""
    with pytest.raises(BadReceipt):
        verify.verify(data, POLICY, NOW_S)


def test_a_leaf_may_come_beside_its_receipt() -> None:
    """The leaf given is the one proved; another one is not, whatever `extra` says."""
    data = receipt(extra=b"whatever an application likes")
    assert verify.verify(data, POLICY, NOW_S, LEAVES[7]).leaf == LEAVES[7]
    for leaf in (None, LEAVES[8], b""):
        with pytest.raises(BadReceipt):
            verify.verify(data, POLICY, NOW_S, leaf)


def test_too_few_witnesses_is_pending_and_enough_is_not() -> None:
    """A quorum: each witness once, however often it signed; the log's own word alone is pending."""
    text, _, lines = checkpoint(300).partition("\n\n")
    log, first, second = lines.splitlines(keepends=True)
    one = Policy(LOG, WITNESSES, 1)
    for kept, quorum in ((log, 0), (log + first, 1), (log + second, 1), (log + first + first, 1)):
        data = receipt(head=f"{text}\n\n{kept}")
        with pytest.raises(Pending):
            verify.verify(data, Policy(LOG, WITNESSES, quorum + 1), NOW_S)
        assert len(verify.verify(data, Policy(LOG, WITNESSES, quorum), NOW_S).witnesses) == quorum
    assert by_both(receipt(head=f"{text}\n\n{second}{log}"), one) == LEAVES[7]


def spoilt(line: str) -> str:
    """The same signer, another signature."""
    signature = note.parse_signature(line.rstrip("\n"))
    return note.format_signature(signature._replace(value=bytes(len(signature.value)))) + "\n"


def test_signatures_are_counted_known_and_checked() -> None:
    """Sixteen lines pass, seventeen do not; unknown ones are passed over, a bad one of a known key refuses all, wherever it stands."""
    text, _, lines = checkpoint(300).partition("\n\n")
    log, first, second = lines.splitlines(keepends=True)
    unknown = "".join(f"— stranger.test/{n} {base64.b64encode(bytes(70)).decode()}\n" for n in range(14))
    for kept in (unknown[unknown.index("\n") + 1 :], ""):
        assert by_both(receipt(head=f"{text}\n\n{kept}{log}{first}{second}")) == LEAVES[7]
    assert len((unknown + lines).splitlines()) == 17
    assert by_both(receipt(head=f"{text}\n\n{unknown}{log}{first}{second}")) is None
    stranger = unknown.splitlines(keepends=True)[0]
    for bad in (spoilt(log), spoilt(first)):
        for order in (stranger + bad + log + first + second, log + first + second + stranger + bad):
            assert by_both(receipt(head=f"{text}\n\n{order}")) is None


def test_another_log_is_another_log() -> None:
    """Other origin under our key, other key under our name: refused."""
    assert by_both(receipt(head=checkpoint(300, origin="accord.test/other"))) is None
    assert by_both(receipt(head=checkpoint(300, key=KEYS[5]))) is None
    assert by_both(receipt(), Policy(LOG._replace(name="accord.test/other"), WITNESSES, 2)) is None


@pytest.mark.parametrize("size", ["0300", "+300", "3e2", "", str(2**63), str(2**64), "9" * 4_999, "٣٠٠"])
def test_a_size_is_a_plain_number(size: str) -> None:
    """A signed checkpoint whose size is written otherwise or is too large proves nothing."""
    lines = checkpoint(300).split("\n")
    text = f"{lines[0]}\n{size}\n{lines[2]}\n"
    head = note.sign(text, LOG.name, KEYS[0])
    with pytest.raises(BadReceipt):
        verify.verify(receipt(head=head), Policy(LOG), NOW_S)


def test_blank_lines_and_line_ends_are_the_specifications() -> None:
    """CR LF anywhere, a blank line more or less, an empty extension line: refused."""
    good = receipt().decode()
    head, _, rest = good.partition("\n\n")
    body, _, lines = rest.partition("\n\n")
    for text in (
        good.replace("\n", "\r\n"),
        f"{head}\n\n\n{rest}",
        f"{head}\n\n{body}\n\n\n{lines}",
        f"{head}\n\n{body}\n{lines}",
        f"{head}\n{rest}",
        good[:-1],
        good + "\n",
        good.replace("\n", "\n ", 1),
    ):
        assert by_both(text.encode()) is None
    signed_blank = note.sign(f"{body}\n\n", LOG.name, KEYS[0])
    with pytest.raises(BadReceipt):
        verify.verify(receipt(head=signed_blank), Policy(LOG), NOW_S)


def test_a_policy_counts_nobody_twice() -> None:
    """One key under two names, the log as its own witness, two keys under one name, more asked than there are: refused."""
    w = WITNESSES[0]
    for witnesses, quorum in (
        ((w, Witness("witness.test/other", w.public_key)), 1),
        ((Witness("witness.test/log", LOG.public_key),), 1),
        ((w, Witness(w.name, WITNESSES[1].public_key)), 1),
        ((w,), 2),
        ((), -1),
    ):
        with pytest.raises(ValueError):
            Policy(LOG, witnesses, quorum)
    assert verify.policy(str(LOG), [str(w) for w in WITNESSES]) == POLICY
    assert verify.policy(str(LOG), [str(w) for w in WITNESSES], 1).quorum == 1


def test_the_verifier_needs_nothing_of_the_bus() -> None:
    """Imported alone, it brings the ledger's pure core and `cryptography`: no store, no settings, no network."""
    code = "import sys, consent.verify; print(*sorted(m for m in sys.modules if m.split('.')[0] in {'consent', 'exchange', 'sqlalchemy', 'httpx'}))"
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    names = {"consent", "consent.core", "consent.verify"} | {
        f"consent.core.{n}" for n in ("cosignature", "merkle", "note", "proof")
    }
    assert set(ran.stdout.split()) == names
