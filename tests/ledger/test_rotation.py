"""Release KEKs by epochs: rotation, its crashes, and what is lost with a KEK."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from sqlalchemy import func, select, update

from consent.core.facts import State
from consent.keys import KeyRing, open_keys
from consent.rotation import EPOCH_MS, KEY_LIFE_MS, private_keys, rotate
from consent.stores import tables as t
from consent.stores.engine import open_sqlite
from consent.transaction import transaction
from tests.world import OPERATOR, PAUL, World, held

ORIGIN = "accord.test/rotation"


class Kept(World):
    """A ledger on disk, its keys in files: it may die and come back."""

    @property
    def folder(self) -> Path:
        assert self.keys.directory is not None
        return self.keys.directory

    def back(self) -> None:
        """Another process, which knows what the files say."""
        self.keys = open_keys(self.folder, ORIGIN)
        self.restart()

    @property
    def kek_files(self) -> list[int]:
        names = [path.name for path in self.folder.glob("release-*.kek")]
        return sorted(int(name.removeprefix("release-").removesuffix(".kek")) for name in names)

    def steps(self, at_once: int, *, now: bool = False) -> Iterator[int]:
        """A rotation, `at_once` keys in each transaction."""
        return rotate(self.ledger._begin, self.keys, now=now, at_once=at_once)

    def under(self) -> dict[int, int]:
        """How many keys lie under each epoch."""
        c = t.release_key.c
        with self.engine.begin() as connection:
            query = select(c.kek_epoch, func.count().label("n")).group_by(c.kek_epoch)
            return {row.kek_epoch: row.n for row in connection.execute(query)}

    async def code(self, authorisation: bytes) -> str:
        """What a new request ends with."""
        _, answer = await self.answered(authorisation)
        return (await self.told(answer)).code


@pytest.fixture
async def kept(tmp_path: Path) -> AsyncIterator[Kept]:
    world = await Kept.open(tmp_path / "ledger.db", open_keys(tmp_path / "keys", ORIGIN))
    assert isinstance(world, Kept)
    await world.ledger.rotate()  # as the process does before it serves
    yield world
    world.engine.dispose()


async def test_an_epoch_is_a_day(kept: Kept) -> None:
    """A day old: another KEK, named after its birth, every key under it, the old file gone. Until then nothing moves."""
    a, born = await kept.give(), kept.clock.now_ms()
    assert kept.kek_files == [born] and kept.under() == {born: 1}
    kept.clock.advance(EPOCH_MS - 1)
    assert await kept.ledger.rotate() == 0 and kept.kek_files == [born]
    kept.clock.advance(1)
    assert await kept.ledger.rotate() == 1
    assert kept.kek_files == [born + EPOCH_MS] and kept.under() == {born + EPOCH_MS: 1}
    assert list(kept.keys.release.epochs) == [born + EPOCH_MS]
    kept.back()
    assert await kept.code(a) == "released"


async def test_an_answer_in_flight_survives_a_rotation(kept: Kept) -> None:
    """Sealed before, opened after: the authorisation's key is the same, only its wrapping changed."""
    _, answer = await kept.answered(await kept.give())
    kept.clock.advance(1)
    await kept.ledger.rotate(now=True)
    assert (await kept.told(answer)).delivery == "key"


async def test_a_copy_taken_before_a_withdrawal_opens_nothing_after_the_next_rotation(
    kept: Kept, tmp_path: Path
) -> None:
    """The store and its write-ahead log copied before, with every key file of afterwards: no key unwraps. Before the rotation it did:
    that is the bound of 24 h."""
    a, other = await kept.give(), await kept.give(PAUL)
    agreements = {a, other}
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("ledger.db", "ledger.db-wal"):
        shutil.copy(tmp_path / name, copy / name)
    await kept.ledger.withdraw(a, "withdrawn")

    def opened(keys: KeyRing) -> int:
        for name in ("ledger.db", "ledger.db-wal"):
            shutil.copy(copy / name, tmp_path / f"open-{name}")
        engine = open_sqlite(tmp_path / "open-ledger.db")
        with engine.begin() as connection:
            rows = connection.execute(select(func.count()).select_from(t.release_key)).scalar_one()
            found = private_keys(connection, keys, agreements)
        engine.dispose()
        assert rows == 2
        return len(found)

    assert opened(open_keys(tmp_path / "keys", ORIGIN)) == 2
    kept.clock.advance(EPOCH_MS)
    await kept.ledger.rotate()
    assert opened(open_keys(tmp_path / "keys", ORIGIN)) == 0
    assert await kept.code(other) == "released"


async def test_a_rotation_cut_at_any_step_is_resumed(kept: Kept) -> None:
    """A process that ends after any step: no live key is ever lost, and the next call finishes, with one KEK left."""
    lives = [await kept.give() for _ in range(5)]
    for stop in range(6):
        kept.clock.advance(EPOCH_MS)
        told = list(itertools.islice(kept.steps(2), stop))
        assert len(told) == min(stop, 4)
        kept.back()
        assert sum(kept.under().values()) == 5 and set(kept.under()) <= set(kept.keys.release.epochs)
        assert await kept.code(lives[stop % 5]) == "released"
        await kept.ledger.rotate()
        assert len(kept.kek_files) == 1 and kept.under() == {kept.kek_files[0]: 5}
    assert [(await held(kept, a)).state for a in lives] == [State.LIVE] * 5


async def test_a_rotation_cut_between_the_file_and_its_directory_is_resumed(kept: Kept) -> None:
    """What a crash left half written is neither a KEK nor kept."""
    a = await kept.give()
    half = kept.folder / f"release-{kept.clock.now_ms() + 5}.kek.new"
    half.write_bytes(b"half")
    half.chmod(0o600)
    kept.back()
    assert not half.exists() and await kept.code(a) == "released"


def lose(kept: Kept) -> None:
    for path in kept.folder.glob("release-*.kek"):
        path.unlink()
    kept.back()


async def test_a_lost_kek_costs_the_answers_in_flight_only(kept: Kept) -> None:
    """The file is gone at a start: the ledger works; a live agreement gets another key and certificate, a fact of the log; the old
    answer is refused, a new request under the re-issued capsule is released."""
    a = await kept.give()
    asked, answer = await kept.answered(a)
    before = await held(kept, a)
    lose(kept)
    assert await kept.ledger.rotate() == 1
    after = await held(kept, a)
    assert (after.state, after.version) == (State.LIVE, before.version + 1)
    assert after.certificate_hash != before.certificate_hash
    assert [e.kind for e in await kept.ledger.entries(a)][-1] == "rekeyed"
    assert (await kept.ledger.events(0, 100))[-1].version == after.version
    refused = await kept.told(answer)
    assert (refused.code, refused.reason, refused.inner) == ("refused", "certificate_outdated", b"")
    stale = await kept.attempt(kept.ask(a))
    assert stale.reason == "certificate_outdated"
    kept.wallet.keep(a, (await kept.ledger.capsule(a, OPERATOR)).capsule)
    assert await kept.code(a) == "released"
    assert kept.certificate(a).epoch == asked.certificate.epoch + 1 and await kept.ledger.verify() == []


async def test_before_lost_keys_are_replaced_nothing_opens(kept: Kept) -> None:
    """A release that comes first is refused, not an error."""
    _, answer = await kept.answered(await kept.give())
    lose(kept)
    refused = await kept.told(answer)
    assert (refused.code, refused.reason) == ("refused", "certificate_outdated")


async def test_a_release_in_doubt_is_cut_when_its_key_is_lost(kept: Kept) -> None:
    """Handed over once, asked again after the loss: the same outcome, without the key."""
    _, answer = await kept.answered(await kept.give())
    assert (await kept.told(answer)).delivery == "key"
    lose(kept)
    await kept.ledger.rotate()
    again = await kept.told(answer)
    assert (again.code, again.delivery) == ("released", "cut")


async def test_a_lost_kek_revives_nothing(kept: Kept) -> None:
    """Withdrawn stays withdrawn, retired keys are gone: only what is live gets a key."""
    withdrawn, spent, live = await kept.give(), await kept.give(max_uses=1), await kept.give()
    await kept.ledger.withdraw(withdrawn, "withdrawn")
    assert await kept.code(spent) == "released"
    assert (await held(kept, spent)).state is State.USED_UP and sum(kept.under().values()) == 2
    lose(kept)
    await kept.ledger.rotate()
    assert [await kept.ledger.has_key(a) for a in (withdrawn, spent, live)] == [False, False, True]
    assert (await held(kept, spent)).state is State.USED_UP


async def test_an_epoch_is_never_used_twice(kept: Kept) -> None:
    """A KEK begun after a loss, or twice in one millisecond, has another name: rows of the lost one never meet it."""
    await kept.give()
    seen = {*kept.kek_files}
    for _ in range(3):
        lose(kept)
        await kept.ledger.rotate()
        await kept.ledger.rotate(now=True)
        assert seen.isdisjoint(kept.kek_files) and len(kept.kek_files) == 1
        seen |= {*kept.kek_files}


async def test_two_rotations_side_by_side_do_no_harm(kept: Kept) -> None:
    """The sweep's and the command's, their steps interleaved."""
    lives = [await kept.give() for _ in range(5)]
    kept.clock.advance(EPOCH_MS)
    one, other = kept.steps(2), kept.steps(2, now=True)
    for _ in itertools.zip_longest(one, other):
        assert sum(kept.under().values()) == 5
    assert kept.under() == {kept.kek_files[0]: 5} and len(kept.kek_files) == 1
    for a in lives:
        assert await kept.code(a) == "released"


async def test_a_destroyed_kek_is_overwritten(kept: Kept) -> None:
    """Who kept its file open reads zeros."""
    (path,) = kept.folder.glob("release-*.kek")
    with path.open("rb") as old:
        kept.clock.advance(1)
        await kept.ledger.rotate(now=True)
        body = old.read()
    assert body and not any(body)


async def test_rotation_works_on_every_store(world: World) -> None:
    """The same statements on SQLite and PostgreSQL, keys in memory."""
    a = await world.give()
    _, answer = await world.answered(a)
    assert await world.ledger.rotate(now=True) == 1
    assert (await world.told(answer)).code == "released"
    world.keys.release.epochs.clear()
    assert await world.ledger.rotate() == 1
    assert (await held(world, a)).version == 2


async def test_a_key_kept_without_its_public_half_is_kept_whole(world: World) -> None:
    """As keys were until 2026-12: it opens before the rotation and after, which adds the public half."""
    a, c = await world.give(), t.release_key.c

    def kept() -> bytes:
        with world.engine.begin() as connection:
            (key,) = private_keys(connection, world.keys, [a]).values()
        return key.raw

    whole = kept()
    half = whole[: len(whole) // 2]
    with world.engine.begin() as connection:
        epoch = connection.execute(select(c.epoch).where(c.authorisation == a)).scalar_one()
        old = update(t.release_key).where(c.authorisation == a).values(wrapped=world.keys.wrap_release(a, epoch, half))
        connection.execute(old)
    (_, before), (_, after) = await world.answered(a), await world.answered(a)
    assert kept() == half and (await world.told(before)).delivery == "key"
    assert await world.ledger.rotate(now=True) == 1
    assert kept() == whole and (await world.told(after)).delivery == "key"


async def test_what_is_granted_while_keys_move_is_under_the_newest(kept: Kept) -> None:
    """Between two batches the ledger serves: nothing it mints is left behind."""
    await kept.give()
    kept.clock.advance(EPOCH_MS)
    steps = kept.steps(1)
    assert next(steps) == 0
    late = await kept.give(PAUL)
    assert sum(steps) == 1 and kept.under() == {kept.kek_files[0]: 2}
    assert await kept.code(late) == "released"


async def test_an_interrupted_transaction_moves_nothing(kept: Kept) -> None:
    """Wrapped anew but not committed: the old wrapping stands, and its KEK with it."""
    a = await kept.give()
    before = kept.under()
    kept.keys.release.begin(kept.clock.now_ms() + 1)
    with suppress(KeyboardInterrupt), transaction(kept.engine, kept.keys, kept.clock.now_ms()) as tx:
        tx.connection.execute(t.release_key.update().values(kek_epoch=0))
        raise KeyboardInterrupt
    assert kept.under() == before
    kept.back()
    assert await kept.code(a) == "released"


async def test_a_key_that_has_served_for_30_days_is_replaced(kept: Kept) -> None:
    """At the day's rotation: another key and certificate, the same agreement; who still relies on the old one is told so."""
    a = await kept.give()
    await kept.confirm(await kept.told((await kept.answered(a))[1]))
    kept.clock.advance(KEY_LIFE_MS - 1)
    await kept.ledger.rotate()
    assert kept.certificate(a).hash == (await held(kept, a)).certificate_hash
    kept.clock.advance(EPOCH_MS)
    await kept.ledger.rotate()
    assert kept.certificate(a).hash != (await held(kept, a)).certificate_hash
    assert [e.kind for e in await kept.ledger.entries(a)][-1] == "rekeyed" and sum(kept.under().values()) == 1
    assert (await kept.attempt(kept.ask(a))).reason == "certificate_outdated"
    kept.wallet.keep(a, (await kept.ledger.capsule(a, OPERATOR)).capsule)
    assert await kept.code(a) == "released" and await kept.ledger.verify() == []


async def test_a_key_that_never_served_is_kept(kept: Kept) -> None:
    """Nothing was ever sealed to it: a new one would protect nothing, and cost a fact a month for each agreement."""
    a = await kept.give()
    kept.clock.advance(2 * KEY_LIFE_MS)
    await kept.ledger.rotate()
    assert await kept.code(a) == "released"


async def test_a_key_is_not_replaced_under_a_request(kept: Kept) -> None:
    """Called for and not answered, or released and not confirmed: the old key serves until that is over."""
    a = await kept.give()
    kept.clock.advance(KEY_LIFE_MS)
    _, answer = await kept.answered(a)
    await kept.ledger.rotate(now=True)
    outcome = await kept.told(answer)
    assert outcome.delivery == "key"
    kept.clock.advance(2 * EPOCH_MS)
    await kept.ledger.rotate(now=True)
    assert (await kept.told(answer)).delivery == "key"
    await kept.confirm(outcome)
    await kept.ledger.rotate(now=True)
    assert [e.kind for e in await kept.ledger.entries(a)][-1] == "rekeyed"
