"""HPKE as Accord composes it (RFC 9180), beside `cryptography`'s own."""

from __future__ import annotations

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke as theirs
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st

from exchange import hpke
from exchange.core.sealing import X25519
from exchange.hpke import KeyPair
from exchange.suites import decrypt, private_key

SUITE = theirs.Suite(theirs.KEM.X25519, theirs.KDF.HKDF_SHA256, theirs.AEAD.AES_256_GCM)
PRIVATE = st.binary(min_size=32, max_size=32)
SMALL_ORDER = [
    bytes.fromhex(point)
    for point in (
        "00" * 32,
        "01" + "00" * 31,
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ec" + "ff" * 30 + "7f",
        "ed" + "ff" * 30 + "7f",
        "ee" + "ff" * 30 + "7f",
    )
]


@settings(deadline=None)
@given(PRIVATE, st.binary(max_size=2_000), st.binary(max_size=300))
def test_what_we_seal_they_open_and_the_other_way(private: bytes, plain: bytes, info: bytes) -> None:
    """Both are the same to the bit, whatever the key, the plaintext and the context."""
    pair, their_key = KeyPair.of(private), X25519PrivateKey.from_private_bytes(private)
    assert pair.public == their_key.public_key().public_bytes_raw()
    assert SUITE.decrypt(hpke.seal(pair.public, plain, info), their_key, info=info) == plain
    assert hpke.unseal(pair, SUITE.encrypt(plain, their_key.public_key(), info=info), info) == plain


def test_the_shared_secret_is_that_of_the_rfc() -> None:
    """RFC 9180, appendix A.1.1: what two keys share does not depend on the cipher."""
    ephemeral = KeyPair.of(bytes.fromhex("52c4a758a802cd8b936eceea314432798d5baf2d7e9235dc084ab1b9cfa2f736"))
    receiver = KeyPair.of(bytes.fromhex("4612c550263fc8ad58375df3f557aac531d26850903e55a9f23f21d8534e8ac8"))
    assert ephemeral.public.hex() == "37fda3567bdbd628e88668c3c8d7e97d1d1253b6d4ea6d44c150f741f1bf4431"
    assert receiver.public.hex() == "3948cfe0ad1ddb695d780e59077195da6c56506b027329794ab02bca80815c4d"
    shared = hpke._shared_secret(receiver.private, ephemeral.public, ephemeral.public + receiver.public)
    assert shared.hex() == "fe0e18c9f024ce43799ae393c7e8fe8fce9d218875e8227b0187c04e7d2ea1fc"


@settings(deadline=None)
@given(PRIVATE, st.binary(min_size=32, max_size=32) | st.sampled_from(SMALL_ORDER))
def test_any_point_is_one_to_both_or_to_neither(private: bytes, point: bytes) -> None:
    """Whatever 32 bytes come as an encapsulated key: both share something with it, or both refuse it."""
    try:
        X25519PrivateKey.from_private_bytes(private).exchange(X25519PublicKey.from_public_bytes(point))
    except ValueError:
        with pytest.raises(ValueError):
            hpke.seal(point, b"plain", b"info")
    else:
        assert len(hpke.seal(point, b"plain", b"info")) == 32 + len(b"plain") + 16


@pytest.mark.parametrize("point", SMALL_ORDER, ids=bytes.hex)
def test_a_point_of_small_order_seals_and_opens_nothing(point: bytes) -> None:
    """§7.1.4: what everybody shares with it is zero. Nor with its highest bit set, which the curve does not look at."""
    for each in (point, point[:31] + bytes([point[31] | 0x80])):
        with pytest.raises(ValueError, match="X25519"):
            hpke.seal(each, b"plain", b"info")
        with pytest.raises(ValueError, match="X25519"):
            hpke.unseal(KeyPair.generate(), each + bytes(16), b"info")


@pytest.mark.parametrize("size_bytes", [0, 1, 31, 33, 64])
def test_bytes_of_another_size_are_no_key(size_bytes: int) -> None:
    """Libsodium takes 32 bytes from wherever it is pointed at: the size is looked at before."""
    other = bytes([7]) * size_bytes
    with pytest.raises(ValueError, match="X25519"):
        KeyPair.of(other)
    with pytest.raises(ValueError, match="X25519"):
        hpke.seal(other, b"plain", b"info")
    with pytest.raises(ValueError, match="X25519"):
        hpke.unseal(KeyPair(other, bytes(32)), hpke.seal(KeyPair.generate().public, b"plain", b"info"), b"info")


@pytest.mark.parametrize("cut", range(0, 48, 5))
def test_what_is_too_short_opens_nothing(cut: int) -> None:
    """An encapsulated key and a tag at least; any less is refused, never read beyond."""
    pair = KeyPair.generate()
    with pytest.raises((ValueError, InvalidTag)):
        hpke.unseal(pair, hpke.seal(pair.public, b"", b"info")[:cut], b"info")


def test_a_key_kept_before_its_public_half_was_still_opens() -> None:
    """Ledgers hold release keys of 32 bytes until these are replaced; beside another public half a key opens nothing."""
    pair = KeyPair.generate()
    sealed = hpke.seal(pair.public, b"plain", b"info")
    for raw in (pair.private, pair.private + pair.public):
        assert decrypt(private_key(X25519, raw), sealed, b"info") == b"plain"
    with pytest.raises(InvalidTag):
        decrypt(private_key(X25519, pair.private + KeyPair.generate().public), sealed, b"info")


def test_a_key_pair_does_not_tell_its_private_half() -> None:
    """Not in a log, nor in a traceback with locals."""
    pair = KeyPair.generate()
    assert repr(pair.private) not in repr(pair)
    assert repr(pair.public) in repr(pair)
