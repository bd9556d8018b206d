"""Citizens who withdraw, each when the schedule says, in a process of their own: nothing else delays when an acknowledgement is seen.
`python -m bench.citizens SOCKET SCHEDULE WORDS`: a line `<Unix ms> <authorisation>` a withdrawal, in order; a JSON `Word` a line out."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import msgspec

from consent.client import connect, hang_up
from consent.door import Door
from exchange.clock import SystemClock


class Word(msgspec.Struct, frozen=True):
    """One withdrawal: asked for, committed by the ledger's clock, acknowledged to the citizen (Unix ms), and who is named (hex)."""

    authorisation: str
    asked_ms: int
    committed_ms: int
    acked_ms: int
    named: tuple[str, ...]


async def withdraw(ledger: Door, authorisation: str, due_ms: int) -> Word:
    clock = SystemClock()
    await clock.sleep(max(due_ms - clock.now_ms(), 0) / 1000)
    asked_ms = clock.now_ms()
    ack = await ledger.withdraw(bytes.fromhex(authorisation), "withdrawn")
    return Word(authorisation, asked_ms, ack.at_ms, clock.now_ms(), tuple(request.hex() for request in ack.named))


async def run(socket: Path, lines: list[list[str]]) -> list[Word]:
    ledger = connect(socket)
    try:
        return await asyncio.gather(*(withdraw(ledger, authorisation, int(at_ms)) for at_ms, authorisation in lines))
    finally:
        await hang_up(ledger)


def main(socket: Path, schedule: Path, words: Path) -> None:
    lines = [line.split() for line in schedule.read_text(encoding="ascii").splitlines()]
    words.write_bytes(b"".join(msgspec.json.encode(word) + b"\n" for word in asyncio.run(run(socket, lines))))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
