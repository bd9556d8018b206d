"""The heads a ledger signs and publishes: one history, whatever was restored, forked or run twice."""

from __future__ import annotations

import asyncio
import itertools
import shutil
import threading
from pathlib import Path

import httpx
import pytest
from sqlalchemy import Engine, delete, select, update

from consent import publish
from consent.core import merkle, note
from consent.core.note import Checkpoint
from consent.ledger import Ledger
from consent.public_log import PublicLog
from consent.stores import tables as t
from consent.stores import tree
from consent.stores.engine import open_store
from consent.transaction import transaction
from exchange.ports import Unavailable
from tests.logs import Entries, fetched_log, files, grow, served
from tests.world import SetClock, World


def public(world: World, folder: Path) -> PublicLog:
    return PublicLog(world.ledger, folder, (), world.clock, httpx.AsyncClient())


async def test_the_ledgers_log_is_published_as_it_grows(world: World, tmp_path: Path) -> None:
    """Each step: what lies in the folder is the head just signed, from the store's own leaves; a second step changes nothing."""
    log = public(world, tmp_path)
    for count in (0, 1, 250, 300, 1_000):
        grow(world, count)
        await log.step()
        text = await world.ledger.checkpoint()
        assert publish.published(tmp_path) == text
        before = files(tmp_path)
        await log.step()
        assert files(tmp_path) == before
    with served(tmp_path) as url:
        entries = fetched_log(url, world.keys.origin, world.keys.verifier.public_key)
    with world.engine.begin() as connection:
        assert entries == [row.leaf for row in connection.execute(select(t.leaf.c.leaf).order_by(t.leaf.c.idx))]
    assert [head.size for head in await world.ledger.signed()] == [len(entries)]


async def test_heads_signed_between_two_publications_are_published_too(world: World, tmp_path: Path) -> None:
    """Whoever was told a checkpoint finds its partial tiles."""
    log, sizes = public(world, tmp_path), []
    for count in (3, 4, 5):
        grow(world, count)
        sizes.append(publish.head(await world.ledger.checkpoint()).size)
    await log.step()
    assert {f"tile/0/000.p/{size}" for size in sizes} <= set(files(tmp_path))


async def test_every_leaf_of_the_ledger_is_proved_from_its_nodes(world: World) -> None:
    """Across tiles: the path of a leaf in the store is the path in the tree of all leaves."""
    grow(world, 1_200)
    with world.engine.begin() as connection:
        hashes = [row.hash for row in connection.execute(select(t.leaf.c.hash).order_by(t.leaf.c.idx))]
    for index in {0, 255, 256, 511, 767, 1_023, len(hashes) - 1}:
        leaf, path, text = await world.ledger.proof(index)
        assert path == merkle.inclusion_path(hashes, index)
        merkle.verify_inclusion(merkle.leaf_hash(leaf), index, len(hashes), path, publish.head(text).root)
    assert await world.ledger.verify() == []


async def test_a_log_written_before_nodes_were_kept_gets_them(world: World) -> None:
    """Filled from the leaves, once; without them nothing is signed."""
    grow(world, 66_000)
    with world.engine.begin() as connection:
        before = connection.execute(select(t.node).order_by(t.node.c.level, t.node.c.number)).all()
        connection.execute(delete(t.node))
    assert await world.ledger.verify() == ["nodes do not follow from the leaves"]
    with pytest.raises(Unavailable):
        await world.ledger.checkpoint()
    for _ in range(2):
        tree.fill(world.engine)
        with world.engine.begin() as connection:
            assert connection.execute(select(t.node).order_by(t.node.c.level, t.node.c.number)).all() == before
    assert publish.head(await world.ledger.checkpoint()).size > 66_000


async def test_a_log_without_its_tiles_is_proved_from_its_leaves(world: World) -> None:
    """They are the same hashes kept together: filled once, the same again, and one that differs is found."""
    grow(world, 66_000)
    with world.engine.begin() as connection:
        before = connection.execute(select(t.tile).order_by(t.tile.c.level, t.tile.c.number)).all()
        connection.execute(delete(t.tile))
    assert [(row.level, row.number) for row in before] == [*((0, n) for n in range(257)), (1, 0)]
    assert await world.ledger.verify() == ["nodes do not follow from the leaves"]
    leaf, path, head = await world.ledger.proof(1_000)
    for _ in range(2):
        tree.fill(world.engine)
        with world.engine.begin() as connection:
            assert connection.execute(select(t.tile).order_by(t.tile.c.level, t.tile.c.number)).all() == before
    world.restart()
    assert await world.ledger.proof(1_000) == (leaf, path, head) and await world.ledger.verify() == []
    with world.engine.begin() as connection:
        connection.execute(update(t.tile).where(t.tile.c.number == 3, t.tile.c.level == 0).values(hashes=bytes(8192)))
    world.restart()
    assert await world.ledger.verify() == ["nodes do not follow from the leaves"]
    with pytest.raises(Unavailable):
        await world.ledger.proof(1_000)


def shorten(world: World, count: int) -> None:
    """What a restored backup is: the log as it was `count` leaves ago, and so the heads."""
    with world.engine.begin() as connection:
        size = connection.execute(select(t.log.c.size)).scalar_one() - count
        connection.execute(delete(t.leaf).where(t.leaf.c.idx >= size))
        hashes = [row.hash for row in connection.execute(select(t.leaf.c.hash).order_by(t.leaf.c.idx))]
        connection.execute(update(t.log).values(size=size, frontier=b"".join(merkle.append((), 0, hashes))))


async def test_a_log_behind_its_last_head_signs_nothing(world: World) -> None:
    """Fewer leaves than were signed, or as many others: refused, until the very leaves are back."""
    grow(world, 3)
    with world.engine.begin() as connection:
        last = connection.execute(select(t.leaf).order_by(t.leaf.c.idx.desc())).first()
        log = connection.execute(select(t.log)).one()
    before = await world.ledger.checkpoint()
    shorten(world, 1)
    with pytest.raises(Unavailable, match="behind"):
        await world.ledger.checkpoint()
    grow(world, 1)
    with pytest.raises(Unavailable, match="does not follow"):
        await world.ledger.checkpoint()
    grow(world, 5)
    with pytest.raises(Unavailable, match="does not follow"):
        await world.ledger.checkpoint()
    shorten(world, 6)
    with world.engine.begin() as connection:
        assert last is not None
        connection.execute(t.leaf.insert().values(**last._mapping))
        connection.execute(update(t.log).values(size=log.size, frontier=log.frontier))
    assert await world.ledger.checkpoint() == before


async def test_an_old_backup_is_bound_by_what_was_published(tmp_path: Path) -> None:
    """Restored whole, heads and all, beside a folder that knows better but has lost its leaves: nothing is signed, nothing published."""
    world = await World.open(tmp_path / "ledger.sqlite")
    await world.ledger.checkpoint()
    world.engine.dispose()
    shutil.copy(tmp_path / "ledger.sqlite", tmp_path / "backup.sqlite")
    world = World(tmp_path / "ledger.sqlite", world.keys)
    grow(world, 10)
    await public(world, tmp_path / "log").step()
    shutil.rmtree(tmp_path / "log" / "tile")
    world.engine.dispose()
    restored, before = World(tmp_path / "backup.sqlite", world.keys), files(tmp_path / "log")
    log = public(restored, tmp_path / "log")
    await log.start()
    for count in (0, 3, 7, 20):
        grow(restored, count)
        with pytest.raises(Unavailable):
            await log.step()
        with pytest.raises(Unavailable):
            await restored.ledger.checkpoint()
    assert files(tmp_path / "log") == before
    restored.engine.dispose()


async def test_an_anchor_is_our_own_checkpoint(world: World) -> None:
    """A head signed by others, or for another origin, binds nothing; two heads of one size stop everything."""
    grow(world, 2)
    size = publish.head(await world.ledger.checkpoint()).size
    for text in (
        Entries(300).checkpoint(300),
        note.sign(Checkpoint("other", 1, bytes(32)).text(), world.keys.origin, world.keys.log),
    ):
        with pytest.raises(note.BadNote):
            await world.ledger.anchor(text)
    await world.ledger.checkpoint()
    fork = Checkpoint(world.keys.origin, size, bytes(32)).text()
    await world.ledger.anchor(note.sign(fork, world.keys.origin, world.keys.log))
    grow(world, 1)
    with pytest.raises(Unavailable):
        await world.ledger.checkpoint()


async def test_a_size_a_witness_has_seen_binds_too(world: World) -> None:
    """Larger than the log: nothing is signed until that head is anchored and its leaves are back. Smaller: nothing changes."""
    grow(world, 2)
    size = publish.head(await world.ledger.checkpoint()).size
    await world.ledger.witnessed(size)
    grow(world, 1)
    await world.ledger.checkpoint()
    await world.ledger.witnessed(size + 3)
    for count in (0, 2, 1):
        grow(world, count)
        with pytest.raises(Unavailable):
            await world.ledger.checkpoint()
    real = Checkpoint(world.keys.origin, size + 3, tree.Tree(size + 3, world.ledger.source().hashes).root()).text()
    await world.ledger.anchor(note.sign(real, world.keys.origin, world.keys.log))
    assert publish.head(await world.ledger.checkpoint()).size == size + 4


async def test_two_ledgers_on_one_store_sign_one_history(shared: Path | str) -> None:
    """Two processes' worth of engines, growing and signing at once: every two heads ever signed are consistent."""
    world = await World.open(shared)
    engines, heads = [world.engine, open_store(shared)], set()

    def work(engine: Engine) -> None:
        ledger = Ledger(engine, world.keys, SetClock(), lambda _: b"")
        for number in range(30):
            with transaction(engine, world.keys, number) as tx:
                tx.append("directory", b"", b"fact")
            heads.add(publish.head(asyncio.run(ledger.checkpoint())))

    threads = [threading.Thread(target=work, args=(engine,)) for engine in engines]
    for thread in threads:
        thread.start()
    for thread in threads:
        await asyncio.to_thread(thread.join)
    with world.engine.begin() as connection:
        hashes = [row.hash for row in connection.execute(select(t.leaf.c.hash).order_by(t.leaf.c.idx))]
    assert len({head.size for head in heads}) == len(heads) >= 30 and max(heads, key=lambda h: h.size).size == len(
        hashes
    )
    for old, new in itertools.combinations(sorted(heads, key=lambda h: h.size), 2):
        path = merkle.consistency_path(hashes[: new.size], old.size)
        merkle.verify_consistency(old.size, new.size, path, old.root, new.root)
    for engine in engines:
        engine.dispose()


async def test_what_cannot_be_written_is_tried_again(world: World, tmp_path: Path) -> None:
    """A folder that cannot be made stops neither the ledger nor its log: once it can, the log is there."""
    (tmp_path / "log").write_bytes(b"in the way")
    log, stop = public(world, tmp_path / "log"), asyncio.Event()
    running = asyncio.create_task(log.run(stop))
    await asyncio.sleep(0)
    await world.give()
    (tmp_path / "log").unlink()
    deadline = asyncio.get_running_loop().time() + 20
    while not (tmp_path / "log" / "checkpoint").exists():
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.02)
    stop.set()
    await running
    assert publish.published(tmp_path / "log") == await world.ledger.checkpoint()
