"""Content KEKs, changed on demand: what people said stays readable here, and is not in older copies of the store."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import func, select

from consent.content import ContentKeys
from consent.keys import BadKeyFile, KeyRing, open_keys
from consent.rotation import rotate_content
from consent.stores import tables as t
from consent.stores.engine import open_sqlite
from tests.world import JEANNE, PAUL, World

ORIGIN = "accord.test/content"


@pytest.fixture
async def kept(tmp_path: Path) -> AsyncIterator[World]:
    """A ledger on disk, its keys in files."""
    world = await World.open(tmp_path / "ledger.db", open_keys(tmp_path / "keys", ORIGIN))
    yield world
    world.engine.dispose()


def back(world: World, folder: Path) -> None:
    """Another process, which knows what the files say."""
    world.keys = open_keys(folder / "keys", ORIGIN)
    world.restart()


def under(world: World) -> dict[int, int]:
    """How many persons' keys lie under each epoch."""
    c = t.subject_key.c
    with world.engine.begin() as connection:
        query = select(c.kek_epoch, func.count().label("n")).group_by(c.kek_epoch)
        return {row.kek_epoch: row.n for row in connection.execute(query)}


async def test_what_was_said_is_read_after_a_rotation(world: World) -> None:
    """On every store: each person's key is moved, receipts and identities open as before, the release keys' rotation goes on."""
    given = [await world.give(JEANNE), await world.give(PAUL)]
    before = [await world.ledger.receipt(a) for a in given]
    (epoch,) = under(world)
    assert await world.ledger.rotate(content=True) == 4  # two persons, two authorisations
    assert list(under(world).values()) == [2] and epoch not in under(world)
    assert list(world.keys.content.epochs) == list(under(world))
    after = [await world.ledger.receipt(a) for a in given]
    assert [len(text) for text in after] == [len(text) for text in before]
    assert await world.ledger.rotate() == 0


async def test_a_rotation_cut_at_any_step_is_resumed(kept: World, tmp_path: Path) -> None:
    """A process that ends after any step: nothing said is lost, and the next call finishes, with one KEK left."""
    given = [await kept.give(PAUL if n % 2 else JEANNE) for n in range(4)]
    people = sum(under(kept).values())
    for stop in range(4):
        kept.clock.advance(1)
        list(itertools.islice(rotate_content(kept.ledger._begin, kept.keys, now=True, at_once=1), stop))
        back(kept, tmp_path)
        assert [await kept.ledger.receipt(a) for a in given]
        await kept.ledger.rotate()
        assert under(kept) == {max(kept.keys.content.epochs): people} and len(kept.keys.content.epochs) == 1
        assert len(list((tmp_path / "keys").glob("content-*.kek"))) == 1


async def test_who_is_met_while_keys_move_is_not_left_behind(kept: World) -> None:
    """Between two batches the ledger serves: a person's key made then lies under the newest."""
    await kept.give(JEANNE)
    steps = rotate_content(kept.ledger._begin, kept.keys, now=True, at_once=1)
    assert next(steps) == 0
    late = await kept.give(PAUL)
    assert sum(steps) == 1 and list(under(kept).values()) == [2]
    assert await kept.ledger.receipt(late)


async def test_two_rotations_side_by_side_lose_nothing(kept: World) -> None:
    """The command given twice, their steps interleaved: all lies under the newest in the end, and opens."""
    given = [await kept.give(JEANNE), await kept.give(PAUL)]
    one, other = (rotate_content(kept.ledger._begin, kept.keys, now=True, at_once=1) for _ in range(2))
    for _ in itertools.zip_longest(one, other):
        assert sum(under(kept).values()) == 2
    assert under(kept) == {kept.keys.content.newest: 2} and len(kept.keys.content.epochs) == 1
    assert [await kept.ledger.receipt(a) for a in given]


async def test_a_copy_of_the_store_opens_nothing_with_the_keys_of_after(kept: World, tmp_path: Path) -> None:
    """The store and its write-ahead log as they were before: with today's keys, before the rotation, what was said opens; after, not."""
    given = await kept.give()
    (tmp_path / "copy").mkdir()
    for name in ("ledger.db", "ledger.db-wal"):
        shutil.copy(tmp_path / name, tmp_path / "copy" / name)

    def opens(keys: KeyRing) -> bool:
        engine = open_sqlite(tmp_path / "copy" / "ledger.db")
        try:
            with engine.begin() as connection:
                return ContentKeys(connection, keys).cipher(given) is not None
        except BadKeyFile:
            return False
        finally:
            engine.dispose()

    assert opens(open_keys(tmp_path / "keys", ORIGIN))
    await kept.ledger.rotate(content=True)
    assert not opens(open_keys(tmp_path / "keys", ORIGIN))


def test_without_its_content_kek_nothing_starts(tmp_path: Path) -> None:
    """Absent or damaged: nothing is made in its place, for what people said would be lost in silence."""
    open_keys(tmp_path, ORIGIN)
    path = tmp_path / "content-1.kek"
    body = path.read_bytes()
    path.write_bytes(body[:-1])
    with pytest.raises(BadKeyFile, match=r"content-1\.kek"):
        open_keys(tmp_path, ORIGIN)
    path.unlink()
    with pytest.raises(BadKeyFile, match="content"):
        open_keys(tmp_path, ORIGIN)
