"""The ledger's keys: files, modes, wrapping domains."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidTag

from consent.core import note
from consent.keys import BadKeyFile, KeyRing, ephemeral, open_keys, read_or_make

FILES = {"release-1.kek", "content.kek", "pseudonym.key", "log.key", "certificate.key", "registrar.key"}


def test_keys_are_made_once_and_read_back(tmp_path: Path) -> None:
    """The first opening makes them, every other finds the same."""
    first, again = open_keys(tmp_path / "keys", "accord.test/x"), open_keys(tmp_path / "keys", "accord.test/x")
    assert first.secrets == again.secrets and set(first.secrets) == FILES
    assert {p.name for p in (tmp_path / "keys").iterdir()} == FILES
    assert len(set(first.secrets.values())) == len(FILES)
    assert all(len(secret) == 32 for secret in first.secrets.values())


def test_keys_are_for_their_owner_only(tmp_path: Path) -> None:
    """0600 in a folder of 0700, even under a generous umask."""
    before = os.umask(0)
    try:
        open_keys(tmp_path / "keys", "accord.test/x")
    finally:
        os.umask(before)
    assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o700
    assert {p.stat().st_mode & 0o777 for p in (tmp_path / "keys").iterdir()} == {0o600}


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o601])
def test_a_key_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    """The file is named with what to do; its bytes are not."""
    secret = read_or_make(tmp_path / "log.key")
    (tmp_path / "log.key").chmod(mode)
    with pytest.raises(BadKeyFile, match=r"^log\.key: readable by others \(chmod 600\)$") as refused:
        read_or_make(tmp_path / "log.key")
    assert secret.hex() not in str(refused.value)


@pytest.mark.parametrize("size_bytes", [0, 31, 33])
def test_a_key_of_another_size_is_refused(tmp_path: Path, size_bytes: int) -> None:
    """An empty or truncated key file is not padded, not replaced."""
    path = tmp_path / "log.key"
    path.write_bytes(bytes(size_bytes))
    path.chmod(0o600)
    with pytest.raises(BadKeyFile, match=rf"^log\.key: {size_bytes} bytes instead of 32$"):
        read_or_make(path)
    assert path.read_bytes() == bytes(size_bytes)


def test_a_key_half_written_by_a_crash_is_made_again(tmp_path: Path) -> None:
    """What was left aside is not the key: the file appears whole or not at all."""
    (tmp_path / "log.key.new").write_bytes(b"half")
    (tmp_path / "log.key.new").chmod(0o600)
    assert len(read_or_make(tmp_path / "log.key")) == 32
    assert not (tmp_path / "log.key.new").exists()


@pytest.fixture(scope="module")
def ring() -> KeyRing:
    return ephemeral("accord.test/x")


def test_a_wrapped_key_comes_back_for_its_authorisation_and_epoch_only(ring: KeyRing) -> None:
    """Bound to both: a row moved to another authorisation or epoch does not open."""
    a, secret = os.urandom(16), os.urandom(32)
    wrapped = ring.wrap_release(a, 1, secret)
    assert ring.unwrap_release(a, 1, wrapped) == secret and secret not in wrapped
    assert ring.wrap_release(a, 1, secret) != wrapped
    for authorisation, epoch in ((a, 2), (bytes(16), 1)):
        with pytest.raises(InvalidTag):
            ring.unwrap_release(authorisation, epoch, wrapped)


def test_wrapping_domains_are_apart(ring: KeyRing) -> None:
    """A content key does not open as a release key, nor under another ledger's keys."""
    a, secret = os.urandom(16), os.urandom(32)
    wrapped = ring.wrap_content_key(a, secret)
    assert ring.unwrap_content_key(a, wrapped) == secret
    with pytest.raises(InvalidTag):
        ring.unwrap_release(a, 1, wrapped)
    with pytest.raises(InvalidTag):
        ring.unwrap_content_key(bytes(16), wrapped)
    with pytest.raises(InvalidTag):
        ephemeral("accord.test/x").unwrap_content_key(a, wrapped)


def test_the_log_key_is_the_one_its_verifier_names(ring: KeyRing) -> None:
    """What the log signs verifies under the published key, and under no other of the ring."""
    signed = note.sign("text\n", ring.origin, ring.log)
    assert note.verify(signed, ring.verifier) == "text\n"
    for other in (ring.certificate, ring.registrar):
        with pytest.raises(note.BadNote):
            note.verify(note.sign("text\n", ring.origin, other), ring.verifier)


def test_a_ring_does_not_show_its_secrets_in_its_error(tmp_path: Path) -> None:
    """A folder in place of a key file is an OSError that names the path only."""
    (tmp_path / "keys" / "log.key").mkdir(parents=True, mode=0o700)
    with pytest.raises(OSError):
        open_keys(tmp_path / "keys", "accord.test/x")
