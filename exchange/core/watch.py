"""A watch: one request looked at again, period after period, and told only what changed (ADR 0019).

Look 0 is the request itself. Look n falls due n periods after the request's deadline and may be made until the next one does. Its
answer, if it is sent, belongs to a request of its own, whose id follows from the first digest and n: two deliveries of one look fold
together, and the application recognises what belongs to its watch without keeping a list.
"""

from __future__ import annotations

import hmac
from typing import NamedTuple

from consent.core.facts import RequestKey, Submission
from exchange.core.encoding import digest, join
from exchange.core.sealing import request_digest

LEAST_MS, MOST_MS = 3_600_000, 366 * 86_400_000
"""Periods the bus takes: an hour to a year."""
HOP_MS = 86_400_000
"""How long a record of a watch lies before it is written again: far less than its topic keeps it."""
ANSWER_LEAST_MS, ANSWER_MOST_MS = 1_800_000, 48 * 3_600_000
"""How long the answer of a look may take to be released: a 24th of the period, within these bounds. While it may, no key is replaced."""


def allowed(asked_ms: int, until_ms: int, agreed_ms: int) -> bool:
    """Whether an authorisation that agrees to `agreed_ms` (0: to no watch) allows what an ask says; one that asks for none is allowed."""
    if not asked_ms:
        return not until_ms
    return 0 < agreed_ms <= asked_ms and LEAST_MS <= asked_ms <= MOST_MS and until_ms >= 0


class Look(NamedTuple):
    """The next look: its number, the look whose answer was sent last and that answer's fingerprint, and State calls made for it."""

    number: int
    sent: int
    fingerprint: bytes
    calls: int = 0


class Watch(NamedTuple):
    """What never changes of a watch: the request as submitted, its deadline, its period, and its end (0: the authorisation's)."""

    first: Submission
    ask_hash: bytes
    deadline_ms: int
    every_ms: int
    until_ms: int

    def due_ms(self, number: int) -> int:
        return self.deadline_ms + number * self.every_ms

    def current(self, number: int, now_ms: int) -> int:
        """The look to make now in place of look `number`: what was missed meanwhile is not made up for."""
        return max(number, (now_ms - self.deadline_ms) // self.every_ms)

    def answer_by_ms(self, number: int, now_ms: int) -> int:
        """The deadline of the answer of a look made now; it never outlives the look's own period."""
        lasts_ms = min(max(self.every_ms // 24, ANSWER_LEAST_MS), ANSWER_MOST_MS)
        return min(self.due_ms(number + 1), now_ms + lasts_ms)

    def over(self, number: int) -> bool:
        """Whether look `number` is beyond the end the application chose."""
        return 0 < self.until_ms <= self.due_ms(number)

    def submission(self, number: int) -> Submission:
        return submission(self.first, self.ask_hash, number)


def submission(first: Submission, ask_hash: bytes, number: int) -> Submission:
    """The request that a look is."""
    if not number:
        return first
    key, request = first.key, look_id(first.digest, number)
    digest_ = request_digest(key.operator, key.authorisation, request, ask_hash)
    return Submission(RequestKey(key.operator, key.authorisation, request), digest_)


def look_id(first: bytes, number: int) -> bytes:
    """UUIDv8 (RFC 9562 §5.8): 48 bits for the number, 74 bits of SHA-256 over the first digest and the number."""
    body = bytearray(number.to_bytes(6, "big") + digest(b"accord.look.v1", first, number.to_bytes(8, "big"))[:10])
    body[6] = body[6] & 0x0F | 0x80
    body[8] = body[8] & 0x3F | 0x80
    return bytes(body)


def number_of(request: bytes, first: bytes) -> int:
    """Which look of the watch of this first digest a request id is; 0 for what is none of its looks."""
    number = int.from_bytes(request[:6], "big")
    return number if number and request == look_id(first, number) else 0


def fingerprint(secret: bytes, sent: bytes, plain: bytes) -> bytes:
    """Of an answer and the digest it was sent under: the same answer sent again, or for somebody else, has another one."""
    return hmac.digest(secret, join(b"accord.fingerprint.v1", sent, plain), "sha256")


def tag(secret: bytes, look: Look, due_ms: int, task: bytes, answer: bytes) -> bytes:
    """The connector's own mark on what it writes to itself. OverflowError for numbers no look has."""
    numbers = b"".join(value.to_bytes(8, "big") for value in (due_ms, look.number, look.sent, look.calls))
    return hmac.digest(secret, join(b"accord.look.v1", numbers, look.fingerprint, task, answer), "sha256")
