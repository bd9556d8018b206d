"""A store cut short: at every byte of its last three commits, as a disk that loses the end of what was written.

Covered: the write-ahead log cut at each byte from its end down to before the third-last commit; at each commit and at each frame
boundary, one byte before and after it, the whole ledger is opened on it. The main file, checkpointed and then cut, at each page
boundary of its last pages, one byte before and after.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import apsw
import pytest

from consent import publish
from exchange.core.identity import canonical
from exchange.introduction import terms
from exchange.ports import Recovering, Unavailable
from tests.faults.story import GIVEN, PAPER
from tests.faults.tracing import spread
from tests.world import OPERATOR, PAUL, RECIPIENT, World

PAGE_BYTES, WAL_HEADER_BYTES, FRAME_HEADER_BYTES = 512, 32, 24
FRAME_BYTES = FRAME_HEADER_BYTES + PAGE_BYTES


class Commit(NamedTuple):
    """The write-ahead log after a commit: its length, and what the store then says."""

    wal_bytes: int
    says: tuple[object, ...]


class Cut(NamedTuple):
    """A store whose last three commits lie in its write-ahead log, and the head it had published."""

    world: World
    store: Path
    commits: list[Commit]
    head: str

    @property
    def wal(self) -> Path:
        return self.store.with_name(self.store.name + "-wal")

    def to(self, length: int) -> None:
        """Nothing after this byte; the index, which lies in memory, is gone with the machine."""
        os.truncate(self.wal, length)
        self.store.with_name(self.store.name + "-shm").unlink(missing_ok=True)

    def says(self) -> tuple[object, ...]:
        """What lies in the store, as SQLite alone reads it; nothing is changed."""
        connection = apsw.Connection(str(self.store))
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        found = next(connection.execute(_SAYS))
        connection.close()
        return found


_SAYS = """SELECT size, hex(frontier), sequence, (SELECT count(*) FROM leaf), (SELECT count(*) FROM authorisation),
(SELECT count(*) FROM release_key), (SELECT count(*) FROM attempt), (SELECT count(*) FROM terminal),
(SELECT sum(uses) FROM authorisation), (SELECT count(*) FROM outbox) FROM log"""


async def made(store: Path) -> Cut:
    """Pages are small, so that every byte can be tried."""
    with sqlite3.connect(store) as connection:
        connection.execute(f"PRAGMA page_size={PAGE_BYTES}")
        connection.execute("VACUUM")
    world = await World.open(store)
    authorisation = await world.give()
    asked = world.ask(authorisation)
    with world.engine.connect() as connection:
        connection.connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.connection.cursor().execute("PRAGMA wal_autocheckpoint=0")
    cut = Cut(world, store, [], "")
    cut.commits.append(Commit(WAL_HEADER_BYTES, cut.says()))
    agreed = terms(RECIPIENT, world.clock.now_ms())
    await world.ledger.grant(GIVEN, agreed, canonical(PAUL), PAPER, OPERATOR)
    cut.commits.append(Commit(cut.wal.stat().st_size, cut.says()))
    await world.attempt(asked)
    cut.commits.append(Commit(cut.wal.stat().st_size, cut.says()))
    await world.told(world.answer(asked))
    cut.commits.append(Commit(cut.wal.stat().st_size, cut.says()))
    kept = cut.store.read_bytes(), cut.wal.read_bytes()
    head = await world.ledger.checkpoint()
    with apsw.Connection(str(store)) as connection:  # the last one open: closing the engine changes no file
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        world.engine.dispose()
    connection.close()
    cut.store.write_bytes(kept[0])
    cut.wal.write_bytes(kept[1])
    return cut._replace(head=head)


@pytest.fixture
def cut(memory: Path) -> Cut:
    store = memory / "cut.db"
    for file in memory.glob("cut.db*"):
        file.unlink()
    return asyncio.run(made(store))


def test_cut_at_every_byte_the_store_is_a_prefix(cut: Cut, memory: Path) -> None:
    """It says what it said after one of its commits, the last one that is whole: never half a fact, never an error."""
    assert len({commit.says for commit in cut.commits}) == 4
    last = cut.wal.stat().st_size
    assert last == cut.commits[-1].wal_bytes and last > 3 * FRAME_BYTES

    def share(folder: Path, lengths: Sequence[int]) -> int:
        own = cut._replace(store=folder / "cut.db")
        own.store.write_bytes(cut.store.read_bytes())
        own.wal.write_bytes(cut.wal.read_bytes())
        for length in lengths:
            own.to(length)
            whole = [commit.says for commit in cut.commits if commit.wal_bytes <= length] or [cut.commits[0].says]
            assert own.says() == whole[-1], length
        return len(lengths)

    assert spread(range(last, -1, -1), share, memory) == last + 1
    print(f"{last + 1} cuts")


def test_a_cut_ledger_verifies_and_signs_nothing_it_does_not_lead_to(cut: Cut) -> None:
    """At each frame, and one byte before and after: the log verifies, nothing is hidden or half there. Told what it had published, it
    serves if that is all there, and else answers nothing and signs nothing."""
    whole, store = cut.wal.read_bytes(), cut.store.read_bytes()
    frames = range(WAL_HEADER_BYTES, len(whole) + 1, FRAME_BYTES)
    lengths = sorted({length for frame in frames for length in (frame - 1, frame, frame + 1) if length <= len(whole)})
    for length in lengths:
        cut.store.write_bytes(store)
        cut.wal.write_bytes(whole)
        cut.to(length)
        asyncio.run(_hold(cut, length == len(whole)))
    print(f"{len(lengths)} cuts")


async def _hold(cut: Cut, all_there: bool) -> None:
    cut.world.restart()
    ledger = cut.world.ledger
    assert await ledger.verify() == []
    (given,) = await ledger.lookup([GIVEN])
    assert (given is not None) == await ledger.has_key(GIVEN)
    await ledger.anchor(cut.head)
    if all_there:
        assert publish.head(await ledger.checkpoint()) == publish.head(cut.head)
    else:
        with pytest.raises(Recovering):
            await ledger.lookup([GIVEN])
        with pytest.raises(Unavailable):
            await ledger.checkpoint()
    cut.world.engine.dispose()


def test_a_main_file_cut_short_is_never_taken_for_whole(cut: Cut) -> None:
    """Its last pages missing or torn: the ledger does not open, or says what does not hold, or answers nothing beside its published log;
    it never signs another history."""
    with sqlite3.connect(cut.store) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    whole = cut.store.read_bytes()
    boundaries = [len(whole) - page * PAGE_BYTES for page in range(1, 13)]
    lengths = sorted({length + around for length in boundaries for around in (-1, 0, 1)})
    outcomes = [asyncio.run(_judged(cut, whole[:length])) for length in lengths]
    assert set(outcomes) <= {"refused", "found"}
    print(f"{len(lengths)} cuts")


async def _judged(cut: Cut, content: bytes) -> str:
    cut.store.write_bytes(content)
    for part in ("-wal", "-shm"):
        cut.store.with_name(cut.store.name + part).unlink(missing_ok=True)
    cut.world.restart()
    try:
        if await cut.world.ledger.verify():
            return "found"
        await cut.world.ledger.anchor(cut.head)
        text = await cut.world.ledger.checkpoint()
        return "refused" if publish.head(text) != publish.head(cut.head) else "signed"
    except Unavailable:
        return "refused"
    finally:
        cut.world.engine.dispose()
