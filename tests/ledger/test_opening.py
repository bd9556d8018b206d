"""Answers opened in a process beside the ledger's."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from contextlib import aclosing

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from consent.opening import FEW, Beside, Closed, Key, Opened, here, open_answers
from exchange import suites
from exchange.core.sealing import HYBRID, NO_RULE, X25519, Context, answer_digest, key_id, transcript
from exchange.hpke import KeyPair
from exchange.sealing import AnswerKeys, open_inner, public_bytes, seal_answer
from tests.beside import beside_of, said_of, until

RECIPIENT, SIGNING, MAC = KeyPair.generate(), Ed25519PrivateKey.generate(), os.urandom(32)


def context(number: int) -> Context:
    ids = (number.to_bytes(32, "big"), os.urandom(32), key_id(RECIPIENT.public), bytes(32))
    return Context(*ids, ("one", "two"), NO_RULE, 1_900_000_000_000)


def sealed(number: int, suite: str = X25519) -> Closed:
    """An answer whose second attempt is the one it is of."""
    raw, public = suites.generate(suite)
    keys, own = AnswerKeys(RECIPIENT.public, public, SIGNING, MAC, suite), context(number)
    made = seal_answer(own, f"answer {number}".encode(), keys)
    attempts = ((context(number + 1_000), Key(suite, raw)), (own, Key(suite, raw)))
    return Closed(made.tag, made.sealed_key, made.outer, MAC, attempts)


def read(answer: Closed, opened: Opened) -> bytes:
    assert opened.attempt is not None
    assert opened.inner is not None
    return open_inner(answer.attempts[opened.attempt][0], opened.inner, RECIPIENT, public_bytes(SIGNING))


@pytest.mark.parametrize("suite", [X25519, HYBRID])
async def test_the_same_beside_as_here(suite: str) -> None:
    """Many chunks at once, handed to the process beside: each answer is opened as here, each chunk in its order."""
    chunks = [[sealed(100 * chunk + number, suite) for number in range(FEW)] for chunk in range(3)]
    async with aclosing(Beside()) as beside:
        found = await asyncio.gather(*map(beside, chunks))
    assert [list(one) for one in found] == [list(await here(chunk)) for chunk in chunks]
    plain = [read(*pair) for pair in zip(chunks[2], found[2], strict=True)]
    assert plain == [f"answer {200 + number}".encode() for number in range(FEW)]


def test_what_does_not_open_is_told_so() -> None:
    """Another tag, another key, no key, no attempt, altered bytes: each is told for itself, and those beside it open."""
    good = sealed(1)
    own = good.attempts[1][0]
    replace = msgspec.structs.replace
    cases = [
        (replace(good, tag=bytes(32)), Opened(None, None)),
        (replace(good, outer=good.outer[:-1] + bytes([good.outer[-1] ^ 1])), Opened(None, None)),
        (replace(good, attempts=()), Opened(None, None)),
        (
            replace(good, attempts=((own, None),)),
            Opened(0, None, transcript(own), answer_digest(good.tag, good.sealed_key, good.outer)),
        ),
        (replace(good, attempts=((own, Key(X25519, suites.generate(X25519)[0])),)), Opened(None, None)),
    ]
    found = open_answers([*(case for case, _ in cases), good])
    assert found[:-1] == [expected for _, expected in cases]
    assert read(good, found[-1]) == b"answer 1"


async def test_a_process_that_is_killed_loses_nothing() -> None:
    """Killed between two chunks or with one in its hands: the chunk is opened all the same, and the next has a process again."""
    chunk = [sealed(number) for number in range(FEW)]
    async with aclosing(Beside()) as beside:
        assert all(one.inner for one in await beside(chunk))
        first = children()
        for pid in first:
            os.kill(pid, signal.SIGKILL)
        assert all(one.inner for one in await beside(chunk))
        asked = asyncio.create_task(beside(chunk * 50))
        await until(lambda: children() - first)
        for pid in children() - first:
            os.kill(pid, signal.SIGKILL)
        assert all(one.inner for one in await asked)
        assert all(one.inner for one in await beside(chunk))
    assert children() == set()


async def test_it_sees_nothing_of_the_ledgers_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The ledger's master may stand in the environment: not in that of the process beside."""
    monkeypatch.setenv("ACCORD_KEK", "secret-of-the-ledger")
    async with aclosing(Beside()) as beside:
        await beside([sealed(number) for number in range(FEW)])
        (pid,) = children()
        assert b"secret-of-the-ledger" not in said_of(pid, "environ")


_PARENT = """
import asyncio, sys
from consent.opening import FEW, Beside
from tests.ledger.test_opening import children, sealed
async def main():
    beside = Beside()
    await beside([sealed(number) for number in range(FEW)])
    print(*children(), flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""


async def test_it_does_not_outlive_the_ledger() -> None:
    """`kill -9` of the ledger's process: the one beside it ends."""
    pid = start_and_kill()
    await until(lambda: not said_of(pid, "cmdline"))


def start_and_kill() -> int:
    """A process with one beside it, ended; which that was."""
    with subprocess.Popen([sys.executable, "-c", _PARENT], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert said_of(pid, "cmdline")
        parent.kill()
    return pid


def children() -> set[int]:
    """Processes beside, of this one."""
    return beside_of("consent.opening")
