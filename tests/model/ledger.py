"""The ledger's decisions in the model are the project's own: `consent.core.release.fold`, `consent.core.rules.step` and `usable`.

The model's words become values of `consent.core.facts`, the pure core decides, and the fate comes back: whoever changes the core
changes what is explored here. Decisions are memoised, so a state costs no more than if they had been described a second time.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from consent.core.facts import Answer, Authorisation, Awaits, Position, RequestKey, Verdict
from consent.core.facts import State as Life
from consent.core.release import Fate, Held, Seen, fold
from consent.core.release import Row as CoreRow
from consent.core.rules import usable
from exchange.core.sealing import NO_RULE, Context, answer_digest
from tests.model.state import Message, Row

NOW_MS = 1_000
OPERATOR, A, CERTIFICATE, RECIPIENT_KEY, SCOPES = "211300553", b"a" * 16, b"c" * 32, b"k" * 16, ("quotient",)
_KINDS = {"refusal": "refused", "expiry": "expired"}


class Standing(NamedTuple):
    """What the ledger holds of the authorisation and of a message's request."""

    auth: Life | None
    key: bool
    opened: bool
    uses: int
    uses_max: int
    row: Row | None
    confirmed: bool
    due: bool
    pulling: bool = False
    pulled: bool = False
    preview: bool = False
    awaits: Awaits = "collectivity"


@cache
def decide(message: Message, standing: Standing) -> tuple[Fate, int]:
    """The fate of one message in one transaction, and the uses after it."""
    seen = _seen(message, standing)
    rows = {seen.item.key: _row(standing.row, message, standing)} if standing.row else {}
    held = {A: _held(standing)} if standing.auth else {}
    (fate,), uses = fold([seen], rows, held, NOW_MS, pulled=standing.pulled)
    return fate, uses.get(A, standing.uses)


@cache
def serves(auth: Life | None, uses: int, uses_max: int) -> bool:
    """Whether the authorisation is usable now, as T-attempt and the gate ask it."""
    return auth is not None and usable(auth, 0, NOW_MS + 1, uses, uses_max, NOW_MS) is None


def _digest(submission: int) -> bytes:
    return bytes([submission]) * 32


def _answer(message: Message) -> Answer:
    _, request, submission, number = message
    key = RequestKey(OPERATOR, A, bytes([request]) * 16)
    return Answer(key, "cnaf", _digest(submission), b"tag", b"sealed", bytes([number]), Position("answers", 0, number))


def _seen(message: Message, standing: Standing) -> Seen:
    answer, deadline_ms = _answer(message), NOW_MS if standing.due else NOW_MS + 1
    if message[0] != "answer":
        return Seen(Verdict(answer.key, answer.digest, deadline_ms, _KINDS[message[0]], ""))  # type: ignore[arg-type]
    context = Context(answer.digest, CERTIFICATE, RECIPIENT_KEY, b"schema", SCOPES, NO_RULE, deadline_ms)
    digest = answer_digest(answer.tag, answer.sealed_key, answer.outer)
    return Seen(answer, context, b"inner" if standing.opened else None, b"T", digest)


def _row(row: Row, message: Message, standing: Standing) -> CoreRow:
    submission, code, number = row
    told = _answer(("answer", message[1], submission, number)) if code in ("released", "waiting") else None
    digest = answer_digest(told.tag, told.sealed_key, told.outer) if told else b""
    return CoreRow(_digest(submission), code, "", "", digest, standing.confirmed, standing.awaits)  # type: ignore[arg-type]


def _held(standing: Standing) -> Held:
    assert standing.auth is not None
    authorisation = Authorisation(
        A, 1, standing.auth, "21130055300016", "cnaf", "cnaf.quotient-familial.v1", "cantine", SCOPES, 0, NOW_MS + 1, standing.uses,
        standing.uses_max, b"", CERTIFICATE, (OPERATOR,), SCOPES,
    )  # fmt: skip
    return Held(
        authorisation,
        {OPERATOR: RECIPIENT_KEY},
        frozenset({CERTIFICATE} if standing.key else ()),
        frozenset({OPERATOR} if standing.pulling else ()),
        preview=standing.preview,
    )
