"""Withdrawal and erasure: what is binding, what is named, what is destroyed (protocol §2)."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import select

from consent.core import merkle, note
from consent.core.facts import (
    Acknowledgement,
    State,
    Verdict,
)
from consent.stores import tables as t
from exchange.core.errors import Code
from exchange.ports import LEASE_MS, Refused
from exchange.receipt import verify_proof, verify_release
from tests.world import PAUL, World, held, log_size


def said(world: World, ack: Acknowledgement) -> list[str]:
    return note.verify(ack.note, world.keys.verifier).split("\n")


async def test_an_acknowledgement_names_exactly_what_is_on_its_way(world: World) -> None:
    """Named: released and not confirmed with its key. Not: confirmed with key, refused, never released."""
    a = await world.give()
    (_, confirmed), (on_its_way, sent), (_, never), (failed, _) = [await world.answered(a) for _ in range(4)]
    await world.confirm(await world.told(confirmed))
    await world.told(sent)
    await world.told(Verdict(failed.key, failed.digest, 0, "failed", Code.PROVIDER_ERROR))
    ack = await world.ledger.withdraw(a, "withdrawn")
    assert (ack.state, ack.named) == (State.WITHDRAWN, (on_its_way.key.request,))
    assert said(world, ack)[0] == f"{world.keys.origin}/acknowledgement"
    assert said(world, ack)[5:] == [on_its_way.key.request.hex(), ""]
    leaf, path, checkpoint = await world.ledger.proof(ack.leaf_index)
    assert merkle.leaf_hash(leaf) == ack.leaf_hash
    verify_proof(leaf, ack.leaf_index, path, checkpoint, world.keys.verifier)
    assert (await world.told(never)).reason == Code.WITHDRAWN


async def test_a_release_confirmed_as_cut_stays_named(world: World) -> None:
    """A stalled worker may still hold its key: a cut release is named although it was confirmed meanwhile."""
    a = await world.give()
    asked, answer = await world.answered(a)
    await world.told(answer)
    sleep = world.clock.sleep

    async def told_as_cut(seconds: float) -> None:
        world.clock.sleep = sleep  # type: ignore[method-assign]
        cut = await world.told(answer)
        assert (cut.code, cut.delivery, cut.inner) == ("released", "cut", b"")
        await world.confirm(cut)
        await sleep(seconds)

    world.clock.sleep = told_as_cut  # type: ignore[method-assign]
    ack = await world.ledger.withdraw(a, "withdrawn")
    assert ack.named == (asked.key.request,)


async def test_an_acknowledgement_waits_for_leases_and_no_longer(world: World) -> None:
    """Unconfirmed: the whole lease, on the monotonic clock. Confirmed meanwhile: no longer than that. Nothing sent: not at all."""
    a, b, c = [await world.give() for _ in range(3)]
    (_, one), (_, two) = await world.answered(a), await world.answered(b)
    await world.told(one)
    confirmed = await world.told(two)
    started = world.clock.monotonic_ms()
    await world.ledger.withdraw(a, "withdrawn")
    assert world.clock.monotonic_ms() - started >= LEASE_MS
    started, sleep = world.clock.monotonic_ms(), world.clock.sleep

    async def confirm(seconds: float) -> None:
        await world.confirm(confirmed)
        await sleep(seconds)

    world.clock.sleep = confirm  # type: ignore[method-assign]
    ack = await world.ledger.withdraw(b, "withdrawn")
    assert ack.named == () and world.clock.monotonic_ms() - started < LEASE_MS
    started = world.clock.monotonic_ms()
    await world.ledger.withdraw(c, "withdrawn")
    assert world.clock.monotonic_ms() == started


async def test_no_key_is_handed_over_from_the_withdrawals_commit_on(world: World) -> None:
    """While the acknowledgement still waits for its lease, a redelivered release is already cut (I1b)."""
    a = await world.give()
    _, answer = await world.answered(a)
    await world.told(answer)
    deliveries: list[str] = []
    sleep = world.clock.sleep

    async def redeliver(seconds: float) -> None:
        deliveries.append((await world.told(answer)).delivery)
        await sleep(seconds)

    world.clock.sleep = redeliver  # type: ignore[method-assign]
    await world.ledger.withdraw(a, "withdrawn")
    assert deliveries and set(deliveries) == {"cut"}
    assert not await world.ledger.has_key(a)


@pytest.mark.parametrize("happening", ["withdrawn", "opposed", "erased", "invalidated", "ended"])
async def test_asking_again_gets_the_same_acknowledgement(world: World, happening: str) -> None:
    """Same bytes, same signature, no new leaf, also for another word than the first."""
    a = await world.give()
    first = await world.ledger.withdraw(a, happening)
    size = await log_size(world)
    assert await world.ledger.withdraw(a, happening) == first
    assert await world.ledger.withdraw(a, "withdrawn") == first
    assert await log_size(world) == size


async def test_a_withdrawal_cut_short_is_binding_and_acknowledged_when_asked_again(world: World) -> None:
    """A crash between commit and acknowledgement: the key is gone; asking again acknowledges the same leaf."""
    a = await world.give()
    asked, answer = await world.answered(a)
    await world.told(answer)

    async def die(seconds: float) -> None:
        raise KeyboardInterrupt

    alive, world.clock.sleep = world.clock.sleep, die  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        await world.ledger.withdraw(a, "withdrawn")
    world.clock.sleep = alive  # type: ignore[method-assign]
    world.restart()
    assert not await world.ledger.has_key(a)
    size = await log_size(world)
    ack = await world.ledger.withdraw(a, "withdrawn")
    assert (ack.named, await log_size(world)) == ((asked.key.request,), size)
    assert [e.index for e in await world.ledger.entries(a) if e.kind == "withdrawn"] == [ack.leaf_index]


async def test_erasing_what_was_withdrawn_is_another_fact(world: World) -> None:
    """Erasure after withdrawal has its own leaf and acknowledgement; withdrawal after erasure answers erased."""
    a = await world.give()
    withdrawn = await world.ledger.withdraw(a, "withdrawn")
    erased = await world.ledger.withdraw(a, "erased")
    assert (erased.state, erased.leaf_index > withdrawn.leaf_index) == (State.ERASED, True)
    assert await world.ledger.withdraw(a, "withdrawn") == erased


async def test_withdrawing_what_is_unknown_is_refused(world: World) -> None:
    """No authorisation, no acknowledgement."""
    with pytest.raises(Refused) as refused:
        await world.ledger.withdraw(bytes(16), "withdrawn")
    assert refused.value.code == Code.AUTHORISATION_UNKNOWN


@pytest.mark.parametrize("happening", ["renewed", "narrowed", "given", "expired", "used_up", "refused", "nonsense"])
async def test_a_withdrawal_can_only_close(world: World, happening: str) -> None:
    """No other happening comes in by this door: nothing is revived, renamed or acknowledged."""
    a = await world.give(not_after_ms=world.clock.now_ms() + 1_000)
    world.clock.advance(1_000)
    await world.ledger.sweep()
    with pytest.raises(ValueError):
        await world.ledger.withdraw(a, happening)
    assert (await held(world, a)).state is State.EXPIRED


def wrapped_keys(world: World, authorisation: bytes) -> list[bytes]:
    with world.engine.begin() as connection:
        return [
            row.wrapped
            for table in (t.release_key, t.content_key)
            for row in connection.execute(select(table.c.wrapped).where(table.c.authorisation == authorisation))
        ]


def everything_on_disk(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file())


async def test_erased_keys_are_in_no_file_of_the_store(on_disk: World, tmp_path: Path) -> None:
    """After the acknowledgement neither wrapped key nor wrapped content key is in the database, its WAL or beside them."""
    a, other = await on_disk.give(), await on_disk.give(PAUL)
    for _ in range(5):
        await on_disk.told((await on_disk.answered(a))[1])
    keys, kept = wrapped_keys(on_disk, a), wrapped_keys(on_disk, other)
    assert len(keys) == 2
    assert all(key in everything_on_disk(tmp_path) for key in keys + kept)
    await on_disk.ledger.withdraw(a, "erased")
    found = everything_on_disk(tmp_path)
    assert [key in found for key in keys] == [False, False]
    assert all(key in found for key in kept)


async def test_withdrawn_release_keys_are_in_no_file_of_the_store(on_disk: World, tmp_path: Path) -> None:
    """The same of a withdrawal's release key, although only an erasure promises it."""
    a = await on_disk.give()
    release_key, content_key = wrapped_keys(on_disk, a)
    await on_disk.ledger.withdraw(a, "withdrawn")
    assert release_key not in everything_on_disk(tmp_path)
    assert content_key in everything_on_disk(tmp_path)


async def test_the_person_is_nowhere_in_clear(on_disk: World, tmp_path: Path) -> None:
    """No file of the store holds a name, a birth date or a salt, before or after an erasure."""
    a = await on_disk.give()
    capsule = on_disk.wallet.capsule(a)
    assert capsule is not None
    for _ in ("before", "after"):
        found = everything_on_disk(tmp_path)
        assert [s in found for s in (b"MARTIN", b"Jeanne", b"1980-01-02", capsule.salt, capsule.identity)] == [
            False
        ] * 5
        await on_disk.ledger.withdraw(a, "erased")


async def test_earlier_proofs_verify_after_an_erasure(world: World) -> None:
    """The log keeps its leaves: a receipt got before the erasure still proves what it proved."""
    a = await world.give()
    asked, answer = await world.answered(a)
    outcome = await world.told(answer)
    await world.ledger.withdraw(a, "erased")
    verify_release(outcome, asked.digest, world.keys.verifier)
    leaf, path, checkpoint = await world.ledger.proof(outcome.leaf_index)
    assert leaf == outcome.leaf
    verify_proof(leaf, outcome.leaf_index, path, checkpoint, world.keys.verifier)
    assert await world.ledger.verify() == []
