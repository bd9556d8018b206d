"""The sandbox State API that also writes down when each call came in. `python -m bench.state_api DATA` serves a bus's connectors in the
place of `accord sandbox`; lines `<Unix ms> <usage name> <year> <month>` go to `calls(places)`, each before its call is answered."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TextIO
from urllib.parse import parse_qs

from starlette.types import Receive, Scope, Send

from connectors.sandbox import FAMILIES, Sandbox, load_cases
from exchange.clock import SystemClock
from exchange.places import Places

ANSWER_S = 0.02
"""How long this State thinks: a withdrawal then finds requests there, too."""


def calls(places: Places) -> Path:
    return places.run / "state-api.calls"


class TimedSandbox(Sandbox):
    """A sandbox that tells `sink` of each call about a person."""

    def __init__(self, token: str, sink: TextIO) -> None:
        super().__init__(load_cases(FAMILIES), token=token)
        self._sink, self._wall = sink, SystemClock()

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        at_ms, asked = self._wall.now_ms(), parse_qs(scope["query_string"].decode("ascii"))
        words = [asked.get(name, ["-"])[0] for name in ("nomUsage", "annee", "mois")]
        print(at_ms, *words, file=self._sink, flush=True)
        await asyncio.sleep(ANSWER_S)
        await super()._app(scope, receive, send)


def main(data: str) -> None:
    places = Places(Path(data))
    with calls(places).open("w", encoding="utf-8") as sink:
        sandbox = TimedSandbox(places.token.read_text(encoding="ascii").strip(), sink)
        sandbox.serve(lambda url: places.announce(places.ready("sandbox"), url=url))


if __name__ == "__main__":
    main(*sys.argv[1:])
