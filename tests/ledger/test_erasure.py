"""Erasing a person (GDPR art. 17): everything goes but the proofs (I8)."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import pytest
from sqlalchemy import select

from consent.core import note, proof
from consent.core.facts import State
from consent.core.query import Erased, Officer, Query
from consent.stores import tables as t
from consent.verify import policy, verify
from exchange.core.errors import Code
from exchange.core.identity import canonical
from exchange.ports import LEASE_MS, Refused
from tests.world import JEANNE, PAUL, RECIPIENT, World, held, log_size

DPO, WHY = "dpo@ville.example", "demande d'effacement 2026-4"


async def person(world: World) -> tuple[bytes, list[bytes]]:
    """Jeanne's reference and her three authorisations, one of them withdrawn, with releases; and Paul's."""
    await world.ledger.appoint(Officer(DPO, (), 2**52))
    given = [await world.give() for _ in range(3)]
    await world.give(PAUL)
    await world.confirm(await world.told((await world.answered(given[0]))[1]))
    await world.told((await world.answered(given[1]))[1])
    await world.ledger.withdraw(given[2], "withdrawn")
    return await world.ledger.refer(DPO, WHY, canonical(JEANNE), RECIPIENT), given


def kept_secrets(world: World) -> dict[bytes, list[bytes]]:
    """Wrapped content keys by whom they are about."""
    c, found = t.content_key.c, dict[bytes, list[bytes]]()
    with world.engine.begin() as connection:
        for row in connection.execute(select(c.subject, c.wrapped)):
            found.setdefault(bytes(row.subject), []).append(bytes(row.wrapped))
    return found


def on_disk_bytes(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file())


def lines(world: World, erased: Erased) -> list[str]:
    return note.verify(erased.certificate, world.keys.verifier).split("\n")[:-1]


async def test_a_person_is_erased_at_once(world: World) -> None:
    """Every authorisation is erased, with its keys; nobody finds the person again; others are untouched."""
    reference, given = await person(world)
    await world.ledger.erase(DPO, WHY, reference)
    for a in given:
        assert (await held(world, a)).state is State.ERASED and not await world.ledger.has_key(a)
    assert (await world.ledger.query(DPO, WHY, Query(subject=reference))).rows == ()
    assert reference not in kept_secrets(world)
    with pytest.raises(Refused, match=Code.NOTHING_FOUND):
        await world.ledger.dossier(DPO, WHY, reference)
    assert [r.state for r in (await world.ledger.query(DPO, WHY, Query(state=State.LIVE))).rows] == [State.LIVE]
    other = await world.ledger.refer(DPO, WHY, canonical(PAUL), RECIPIENT)
    assert (await world.ledger.query(DPO, WHY, Query(subject=other))).total == 1
    assert await world.ledger.verify() == []


async def test_every_old_receipt_still_verifies(world: World) -> None:
    """100 % of the proofs taken before an erasure verify after it, offline, and so do proofs taken after it."""
    reference, _ = await person(world)

    async def receipts() -> list[bytes]:
        return [
            proof.write(proof.Proof(i, tuple(path), head, leaf)).encode()
            for i in range(await log_size(world))
            for leaf, path, head in [await world.ledger.proof(i)]
        ]

    before, trusted = await receipts(), policy(str(world.keys.verifier))
    erased = await world.ledger.erase(DPO, WHY, reference)
    after = await receipts()
    assert len(after) > len(before)
    for receipt in before + after:
        verify(receipt, trusted, 0)
    assert len(erased.acknowledgements) == 3


async def test_the_certificate_says_what_was_erased_and_names_nobody(world: World) -> None:
    """Signed by the log: time, facts made unreadable, a head that covers the erasure, the leaf of each authorisation. No id, no reference.
    A release is none of them: what its leaf says names nobody."""
    reference, given = await person(world)
    counted = {leaf.index for a in given for leaf in await world.ledger.entries(a) if leaf.kind != "released"}
    erased = await world.ledger.erase(DPO, WHY, reference)
    origin, at_ms, facts, size, root, *leaves = lines(world, erased)
    assert (origin, int(at_ms)) == (f"{world.keys.origin}/erasure", world.clock.now_ms() - LEASE_MS)
    erasures = [e.index for a in given for e in await world.ledger.entries(a) if e.kind == "erased"]
    assert sorted(map(int, leaves)) == sorted(erasures)
    assert int(facts) == len(counted) + 1  # and the question by which the reference was found
    assert int(size) > max(erasures) and len(base64.b64decode(root)) == 32
    said = erased.certificate.encode()
    assert all(secret.hex().encode() not in said and secret not in said for secret in (reference, *given))
    named = [ack for ack in erased.acknowledgements if len(note.verify(ack, world.keys.verifier).split("\n")) > 6]
    assert len(named) == 1


async def test_erasing_again_gets_the_same_certificate(world: World) -> None:
    """Same bytes, no second erasure, also from a new process; a question more is all that is added."""
    reference, _ = await person(world)
    first = await world.ledger.erase(DPO, WHY, reference)
    size = await log_size(world)
    world.restart()
    assert await world.ledger.erase(DPO, WHY, reference) == first
    assert await log_size(world) == size + 1


async def test_an_erasure_cut_short_is_completed_when_asked_again(world: World) -> None:
    """A crash between commit and certificate: the keys are gone; asking again certifies the same leaves."""
    reference, given = await person(world)

    async def die(seconds: float) -> None:
        raise KeyboardInterrupt

    alive, world.clock.sleep = world.clock.sleep, die  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        await world.ledger.erase(DPO, WHY, reference)
    world.clock.sleep = alive  # type: ignore[method-assign]
    world.restart()
    assert not any([await world.ledger.has_key(a) for a in given])
    erased = await world.ledger.erase(DPO, WHY, reference)
    erasures = [e.index for a in given for e in await world.ledger.entries(a) if e.kind == "erased"]
    assert sorted(map(int, lines(world, erased)[5:])) == sorted(erasures) and len(erasures) == 3


async def test_who_agrees_again_after_an_erasure_can_be_erased_again(world: World) -> None:
    """A later agreement of the same person is new: found, and erased with a certificate of its own."""
    reference, _ = await person(world)
    first = await world.ledger.erase(DPO, WHY, reference)
    a = await world.give()
    assert (await world.ledger.query(DPO, WHY, Query(subject=reference))).total == 1
    second = await world.ledger.erase(DPO, WHY, reference)
    assert second != first and (await held(world, a)).state is State.ERASED
    assert len(lines(world, second)) == 6


async def test_nothing_of_the_person_is_left_in_any_file(on_disk: World, tmp_path: Path) -> None:
    """Neither names nor reference nor a key that opened anything about them: in the database, its WAL, or beside them. Others' keys stay."""
    reference, _ = await person(on_disk)
    await on_disk.ledger.query(DPO, WHY, Query(subject=reference))
    secrets, others = kept_secrets(on_disk)[reference], kept_secrets(on_disk)
    del others[reference]
    assert len(secrets) == 4
    before = on_disk_bytes(tmp_path)
    assert reference in before and all(key in before for key in secrets)
    await on_disk.ledger.erase(DPO, WHY, reference)
    found = on_disk_bytes(tmp_path)
    words = [b"MARTIN", b"Jeanne", b"1980-01-02", hashlib.sha256(canonical(JEANNE)).digest(), WHY.encode()]
    assert [word for word in [*words, reference, reference.hex().encode(), *secrets] if word in found] == []
    assert all(key in found for keys in others.values() for key in keys)
