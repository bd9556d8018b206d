"""Asking witnesses for cosignatures (c2sp.org/tlog-witness). Only what verifies under a witness's own key is kept."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import httpx

from consent.core import note
from consent.core.cosignature import Witness, cosigned_at, parse_witness
from consent.witness import rules
from consent.witness.rules import Submission
from exchange.bounded import ANSWER_MAX_BYTES, TooLarge, whole

TIMEOUT_S = 5.0
WITNESSES_MAX = note.MAX_SIGNATURES - 1

Prove = Callable[[int], Sequence[bytes]]
"""The consistency proof from a smaller size to the checkpoint's; ValueError if there is none."""


class Place(NamedTuple):
    """A witness and its submission prefix."""

    url: str
    witness: Witness


class NotCosigned(Exception):
    """A witness that does not answer, or says no, and why."""


class Ahead(NotCosigned):
    """A witness that has seen more of the log than the checkpoint holds."""

    def __init__(self, size: int) -> None:
        super().__init__("has seen a longer log")
        self.size = size


def read_places(path: Path) -> tuple[Place, ...]:
    """The witnesses of a JSON file `[{"url": …, "vkey": …}]`; none if it is absent. ValueError if it is not such a file."""
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return ()
    if not isinstance(body, list) or len(body) > WITNESSES_MAX:
        raise ValueError(f"a list of at most {WITNESSES_MAX} witnesses")
    places = tuple(_place(item) for item in body)
    if len({p.witness.public_key for p in places}) != len(places):
        raise ValueError("witnesses that are not distinct")
    return places


def _place(item: object) -> Place:
    match item:
        case {"url": str(url), "vkey": str(vkey), **others} if not others and url.startswith(("https://", "http://")):
            return Place(url.rstrip("/"), parse_witness(vkey))
    raise ValueError("a witness is a url and a vkey")


async def ask(http: httpx.AsyncClient, place: Place, checkpoint: str, prove: Prove, now_s: int, seen: int) -> str:
    """The witness's signature line on a checkpoint; NotCosigned otherwise. `seen` is the size it is thought to have seen."""
    text, _ = note.split(checkpoint)
    size = note.parse_checkpoint(text).size
    status, answer = await _submit(http, place, checkpoint, prove, min(seen, size))
    if status == 409:
        status, answer = await _submit(http, place, checkpoint, prove, _size(answer, size))
    if status != 200:
        raise NotCosigned(f"status {status}")
    return _line(answer, text, place.witness, now_s)


async def _submit(http: httpx.AsyncClient, place: Place, checkpoint: str, prove: Prove, seen: int) -> tuple[int, str]:
    try:
        path = tuple(prove(seen)) if seen else ()
        body = rules.write(Submission(seen, path, checkpoint))
        async with http.stream("POST", f"{place.url}/add-checkpoint", content=body, timeout=TIMEOUT_S) as response:
            return response.status_code, (await whole(response.aiter_raw(), ANSWER_MAX_BYTES)).decode()
    except TooLarge:
        raise NotCosigned("answer too long") from None
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise NotCosigned(type(error).__name__) from None


def _size(answer: str, size: int) -> int:
    """The size a witness says to have seen; `Ahead` if it is larger than ours."""
    try:
        seen = note.decimal(answer.removesuffix("\n"))
    except ValueError:
        raise NotCosigned("no size in its answer") from None
    if seen > size:
        raise Ahead(seen)
    return seen


def _line(answer: str, text: str, witness: Witness, now_s: int) -> str:
    """The witness's own line among those of an answer, verified."""
    try:
        signatures = [note.parse_signature(line) for line in answer.removesuffix("\n").split("\n")]
        ours = [s for s in signatures if (s.name, s.key_id) == (witness.name, witness.key_id)][:1]
        at_s = cosigned_at(text, ours, witness, now_s)
    except ValueError:
        raise NotCosigned("bad cosignature") from None
    if at_s is None:
        raise NotCosigned("no cosignature of its key")
    return note.format_signature(ours[0])
