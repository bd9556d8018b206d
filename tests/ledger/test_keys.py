"""The ledger's keys: files, modes, wrapping domains, and what a person's key wraps."""

from __future__ import annotations

import os
import shutil
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidTag
from sqlalchemy import func, select

from consent.content import ContentKeys
from consent.core import note
from consent.keys import BadKeyFile, KeyRing, ephemeral, open_keys, read_or_make
from consent.keys.ring import LASTING, ROOT
from consent.stores import tables as t
from consent.transaction import Transaction, transaction
from tests.world import JEANNE, PAUL, World

FILES = {*LASTING, ROOT, "content-1.kek", "release-1.kek"}
ORIGIN = "accord.test/x"


def _all(ring: KeyRing) -> list[bytes]:
    return [*ring.secrets.values(), *ring.release.epochs.values(), *ring.content.epochs.values()]


def test_keys_are_made_once_and_read_back(tmp_path: Path) -> None:
    """The first opening makes them, every other finds the same."""
    first, again = open_keys(tmp_path / "keys", ORIGIN), open_keys(tmp_path / "keys", ORIGIN)
    assert _all(first) == _all(again) and set(first.secrets) == set(LASTING)
    assert {p.name for p in (tmp_path / "keys").iterdir()} == FILES
    secrets = _all(first)
    assert len(set(secrets)) == len(FILES) - 1 and all(len(secret) == 32 for secret in secrets)


def test_keys_are_for_their_owner_only(tmp_path: Path) -> None:
    """0600 in a folder of 0700, even under a generous umask."""
    before = os.umask(0)
    try:
        open_keys(tmp_path / "keys", ORIGIN).release.begin(2)
    finally:
        os.umask(before)
    assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o700
    assert {p.stat().st_mode & 0o777 for p in (tmp_path / "keys").iterdir()} == {0o600}


@pytest.mark.parametrize("name", [*LASTING, ROOT])
def test_a_key_that_is_absent_stops_the_ledger_and_is_not_made_anew(tmp_path: Path, name: str) -> None:
    """Another log key would sign another log, another content key read nothing: fail closed, and say which file."""
    open_keys(tmp_path, ORIGIN)
    (tmp_path / name).unlink()
    with pytest.raises(BadKeyFile, match=f"^{name}: absent$"):
        open_keys(tmp_path, ORIGIN)
    assert {p.name for p in tmp_path.iterdir()} == FILES - {name}


def test_all_keys_gone_beside_a_ledger_that_worked_is_an_error_too(tmp_path: Path) -> None:
    """An empty folder is filled at the very first start only."""
    with pytest.raises(BadKeyFile, match="absent$"):
        open_keys(tmp_path / "keys", ORIGIN, make=False)
    assert not (tmp_path / "keys").exists()


def test_keys_half_made_by_a_crash_are_made_again(tmp_path: Path) -> None:
    """The folder appears whole or not at all."""
    aside = tmp_path / "keys.new"
    aside.mkdir()
    (aside / "log.key").write_bytes(b"half")
    open_keys(tmp_path / "keys", ORIGIN)
    assert {p.name for p in tmp_path.iterdir()} == {"keys"}


@pytest.mark.parametrize("name", LASTING)
def test_a_key_put_in_the_place_of_another_does_not_open(tmp_path: Path, name: str) -> None:
    """Each file is bound to its name."""
    open_keys(tmp_path, ORIGIN)
    shutil.copy(tmp_path / "release-1.kek", tmp_path / name)
    with pytest.raises(BadKeyFile, match=f"^{name}: altered"):
        open_keys(tmp_path, ORIGIN)


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


def test_a_ring_never_shows_a_secret(tmp_path: Path) -> None:
    """Neither repr, nor str, nor an error."""
    ring = open_keys(tmp_path, ORIGIN)
    secrets = _all(ring)
    (tmp_path / "log.key").write_bytes(ring.secrets["log.key"])
    with pytest.raises(BadKeyFile) as refused:
        open_keys(tmp_path, ORIGIN)
    shown = f"{ring!r} {ring} {refused.value!r} {ephemeral(ORIGIN)!r}"
    assert all(repr(s)[2:-1] not in shown and s.hex() not in shown for s in secrets)
    assert "secrets" not in shown and "epochs" not in shown


def test_a_ring_without_any_release_kek_opens_and_wraps_nothing(tmp_path: Path) -> None:
    """A lost one stops nothing; until the next epoch begins there is nothing to wrap with."""
    open_keys(tmp_path, ORIGIN)
    (tmp_path / "release-1.kek").unlink()
    ring = open_keys(tmp_path, ORIGIN)
    with pytest.raises(BadKeyFile, match="^release KEK: absent$"):
        ring.wrap_release(bytes(16), 1, bytes(32))


@pytest.mark.parametrize("damage", [b"", b"x" * 60])
def test_a_damaged_release_kek_is_a_lost_one(tmp_path: Path, damage: bytes) -> None:
    """It stops nothing either, and goes with the next rotation."""
    open_keys(tmp_path, ORIGIN)
    (tmp_path / "release-1.kek").write_bytes(damage)
    ring = open_keys(tmp_path, ORIGIN)
    assert ring.release.epochs == {}
    ring.release.begin(2)
    ring.release.end()
    assert {p.name for p in tmp_path.iterdir()} == FILES - {"release-1.kek"} | {"release-2.kek"}


@pytest.fixture(scope="module")
def ring() -> KeyRing:
    return ephemeral(ORIGIN)


def test_a_wrapped_key_comes_back_for_its_authorisation_epoch_and_suite_only(ring: KeyRing) -> None:
    """Bound to all three: a row moved or altered is a lost key, never another's."""
    a, secret = os.urandom(16), os.urandom(32)
    wrapped = ring.wrap_release(a, 1, secret)
    assert ring.unwrap_release(a, 1, 1, wrapped) == secret and secret not in wrapped
    assert ring.wrap_release(a, 1, secret) != wrapped
    assert ring.unwrap_release(a, 2, 1, wrapped) is None
    assert ring.unwrap_release(bytes(16), 1, 1, wrapped) is None
    assert ring.unwrap_release(a, 1, 1, wrapped, "mlkem768-x25519") is None
    assert ring.unwrap_release(a, 1, 2, wrapped) is None
    assert ring.unwrap_release(a, 1, 1, b"") is None


def test_wrapping_domains_are_apart(ring: KeyRing) -> None:
    """A subject's key does not open as a release key, nor under another ledger's keys."""
    a, secret = os.urandom(16), os.urandom(32)
    wrapped = ring.wrap_subject_key(a, secret)
    assert ring.unwrap_subject_key(a, 1, wrapped) == secret
    assert ring.unwrap_release(a, 1, 1, wrapped) is None
    with pytest.raises(BadKeyFile):
        ring.unwrap_subject_key(bytes(16), 1, wrapped)
    with pytest.raises(BadKeyFile):
        ring.unwrap_subject_key(a, 2, wrapped)
    with pytest.raises(BadKeyFile):
        ephemeral(ORIGIN).unwrap_subject_key(a, 1, wrapped)


def test_the_log_key_is_the_one_its_verifier_names(ring: KeyRing) -> None:
    """What the log signs verifies under the published key, and under no other of the ring."""
    signed = note.sign("text\n", ring.origin, ring.log)
    assert note.verify(signed, ring.verifier) == "text\n"
    for other in (ring.certificate, ring.registrar):
        with pytest.raises(note.BadNote):
            note.verify(note.sign("text\n", ring.origin, other), ring.verifier)


# Content


def begin(world: World) -> AbstractContextManager[Transaction]:
    return transaction(world.engine, world.keys, world.clock.now_ms())


def rows(world: World) -> tuple[int, int]:
    """How many subjects and authorisations have a key."""
    with world.engine.begin() as connection:
        return tuple(connection.execute(select(func.count()).select_from(table)).scalar_one()
                     for table in (t.subject_key, t.content_key))  # type: ignore[return-value]  # two tables  # fmt: skip


async def test_two_agreements_of_a_person_share_the_key_of_that_person(world: World) -> None:
    """One key wraps both; somebody else has their own."""
    before = rows(world)
    await world.give(JEANNE)
    await world.give(JEANNE, purpose="tarification-periscolaire")
    await world.give(PAUL)
    after = rows(world)
    assert (after[0] - before[0], after[1] - before[1]) == (2, 3)


async def test_one_agreement_erased_leaves_the_others_readable(world: World) -> None:
    """Its content key goes; the person's goes with the last of them."""
    before = rows(world)
    one, other = await world.give(JEANNE), await world.give(JEANNE, purpose="tarification-periscolaire")
    await world.ledger.withdraw(one, "erased")
    with begin(world) as tx:
        assert tx.content_cipher(one) is None and tx.content_cipher(other) is not None
    await world.ledger.withdraw(other, "erased")
    assert rows(world) == before


async def test_a_person_erased_takes_all_their_content_keys(world: World) -> None:
    """With one deletion, and nobody else's."""
    one, other, paul = await world.give(JEANNE), await world.give(JEANNE), await world.give(PAUL)
    subject = subject_of(world, one)
    with begin(world) as tx:
        assert tx.content_cipher(one) is not None
        tx.forget_subject_key(subject)
        assert [tx.content_cipher(a) is None for a in (one, other, paul)] == [True, True, False]
    with begin(world) as tx:
        assert [tx.content_cipher(a) is None for a in (one, other, paul)] == [True, True, False]


def subject_of(world: World, authorisation: bytes) -> bytes:
    with world.engine.begin() as connection:
        c = t.content_key.c
        return bytes(connection.execute(select(c.subject).where(c.authorisation == authorisation)).scalar_one())


async def test_what_was_said_before_the_person_was_known_stays_readable(world: World) -> None:
    """A request has a key of its own, wrapped under the person's key once there is one; its old wrapping is gone."""
    a, subject = os.urandom(16), os.urandom(32)
    before = rows(world)
    with begin(world) as tx:
        sealed = tx.mint_content_key(a).encrypt(bytes(12), b"asked", None)
        assert tx.mint_content_key(a) is tx.content_cipher(a)
    assert subject_of(world, a) == a
    with begin(world) as tx:
        assert tx.mint_content_key(a, subject).decrypt(bytes(12), sealed, None) == b"asked"
    with begin(world) as tx:
        cipher = tx.content_cipher(a)
        assert cipher is not None and cipher.decrypt(bytes(12), sealed, None) == b"asked"
        assert tx.mint_content_key(a) is cipher
    assert subject_of(world, a) == subject and rows(world) == (before[0] + 1, before[1] + 1)


async def test_a_content_key_opens_under_its_own_authorisation_only(world: World) -> None:
    """Two rows of one person, their wrapped keys swapped: neither opens."""
    one, other = await world.give(JEANNE), await world.give(JEANNE)
    c = t.content_key.c
    with world.engine.begin() as connection:
        wrapped = {r.authorisation: r.wrapped for r in connection.execute(select(t.content_key))}
        for a, b in ((one, other), (other, one)):
            connection.execute(t.content_key.update().where(c.authorisation == a).values(wrapped=wrapped[b]))
        with pytest.raises(InvalidTag):
            ContentKeys(connection, world.keys).cipher(one)


async def test_a_chunk_of_releases_reads_no_content_key(on_disk: World) -> None:
    """However many persons it is about: what a release's leaf commits to names nobody, and opens without any key."""
    asked = [on_disk.ask(await on_disk.give(replace(JEANNE, nom_naissance=f"N{number}"))) for number in range(5)]
    await on_disk.ledger.attempt([one.attempt for one in asked])
    statements: list[str] = []
    driver: Any = on_disk.engine.raw_connection().driver_connection  # the store's only one
    driver.set_trace_callback(statements.append)
    results = await on_disk.release(*(on_disk.answer(one) for one in asked))
    assert len(results) == 5 and not any("content_key" in text for text in statements)
    assert any("FROM release_key" in text for text in statements)
