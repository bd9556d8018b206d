"""Two ledgers on one store, in processes of their own, however it came to that."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import select

from consent import publish
from consent.core import merkle
from consent.ledger import Ledger
from consent.stores import tables as t
from consent.stores.engine import open_store
from consent.transaction import transaction
from tests.faults.story import Story
from tests.faults.tracing import spread
from tests.world import SetClock

SIGNERS, TURNS = 2, 25


def test_two_signers_have_one_history(story: Story, tmp_path: Path) -> None:
    """Each appends and signs as fast as it can: no head is lost or refused, any two of all those told are one a prefix of the other, and
    all lead to the log as it stands."""

    def share(_: Path, numbers: Sequence[int]) -> int:
        return sum(signer(number) for number in numbers)

    def signer(number: int) -> int:
        engine, told = open_store(story.store), []
        ledger = Ledger(engine, story.world.keys, SetClock(), lambda _: b"")
        for _ in range(TURNS):
            with transaction(engine, story.world.keys, 0) as tx:
                tx.append("directory", b"", b"fact")
            told.append(asyncio.run(ledger.checkpoint()))
        (tmp_path / f"{number}.json").write_text(json.dumps(told))
        return len(told)

    assert spread(range(SIGNERS), share, tmp_path) == SIGNERS * TURNS
    texts = {text for file in tmp_path.glob("*.json") for text in json.loads(file.read_text())}
    heads = sorted((publish.head(text) for text in texts), key=lambda head: head.size)
    with story.world.engine.begin() as connection:
        hashes = [bytes(h) for h in connection.execute(select(t.leaf.c.hash).order_by(t.leaf.c.idx)).scalars()]
    assert len({head.size for head in heads}) == len(heads) >= TURNS
    for old, new in itertools.combinations(heads, 2):
        path = merkle.consistency_path(hashes[: new.size], old.size)
        merkle.verify_consistency(old.size, new.size, path, old.root, new.root)
    assert merkle.root(hashes[: heads[-1].size]) == heads[-1].root and heads[-1].size == len(hashes)
    assert asyncio.run(story.world.ledger.verify()) == []
