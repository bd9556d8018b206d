"""Two ledgers at once beside one: how releases grow with the ledgers that an operator cuts its authorisations into (`docs/scale.md`).

Each is a process with a store, an opener and answers of its own. `python -m bench.release_pair ANSWERS AGREEMENTS` is one of them: it
says `ready`, waits for a line, releases, says `done`, and loads again, until its input ends.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from time import perf_counter

from bench.ledger import store
from bench.load import WrongCount
from bench.release_arena import new_arena
from bench.report import Figures, middle
from consent.keys import ephemeral
from consent.opening import Beside

CORES = 4
"""What two need: each keeps two cores busy, its store and the opening of seals."""
READY, DONE = b"ready", b"done"


async def two_and_one(answers: int, agreements: int, repeat: int) -> tuple[Figures, Figures]:
    """Answers a second of both at once, and of one alone, in turn. `WrongCount` where one of them ends before."""
    both, alone = list[Figures](), list[Figures]()
    async with _ledger(answers, agreements) as one, _ledger(answers, agreements) as other:
        for _ in range(repeat):
            alone.append(await _released([one], answers))
            both.append(await _released([one, other], answers))
    return middle(both), middle(alone)


async def _released(ledgers: Sequence[asyncio.subprocess.Process], answers: int) -> Figures:
    await _said(ledgers, READY)
    began_s = perf_counter()
    for ledger in ledgers:
        assert ledger.stdin is not None
        ledger.stdin.write(b"\n")
    await _said(ledgers, DONE)
    return {"per_s": answers * len(ledgers) / (perf_counter() - began_s)}


async def _said(ledgers: Sequence[asyncio.subprocess.Process], word: bytes) -> None:
    for ledger in ledgers:
        assert ledger.stdout is not None
        if (said := (await ledger.stdout.readline()).strip()) != word:
            raise WrongCount(f"a ledger said {said!r}, not {word!r}")


@asynccontextmanager
async def _ledger(answers: int, agreements: int) -> AsyncIterator[asyncio.subprocess.Process]:
    argv, pipe = (sys.executable, "-m", "bench.release_pair", str(answers), str(agreements)), asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_exec(*argv, stdin=pipe, stdout=pipe)
    try:
        yield child
    finally:
        assert child.stdin is not None
        child.stdin.close()
        await child.wait()


async def _child(answers: int, agreements: int) -> None:
    async with aclosing(Beside()) as opener:
        with store("") as (engine, _):
            place = await new_arena(engine, ephemeral("accord.bench/release"), agreements, opener)
            await place.begin()
            while True:
                load = await place.load(answers)
                print(READY.decode(), flush=True)
                if not await asyncio.to_thread(sys.stdin.readline):
                    return
                await place.release(load)
                print(DONE.decode(), flush=True)


if __name__ == "__main__":
    asyncio.run(_child(int(sys.argv[1]), int(sys.argv[2])))
