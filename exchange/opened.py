"""Released answers opened by their collectivity: the receipt, whose certificate and whom they are about, the inner seal, the connector's
signature. A few are opened where they are; many by this process and one beside it, each as fast as it can.

The process beside has no key of its own: it is handed the collectivity's with each few answers, and forgets it with them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

import msgspec

from consent import certificates
from consent.certificates import BadCertificate
from consent.core.facts import Outcome
from exchange import outcomes, receipt
from exchange.beside import Process, serve
from exchange.core import sealing
from exchange.core.identity import commitment
from exchange.core.shape import present
from exchange.hpke import KeyPair
from exchange.receipt import BadReceipt
from exchange.schemas import catalogue
from exchange.sealing import Unopenable, open_inner
from exchange.trust import Trust
from exchange.wallet import Capsule

MANY, AT_ONCE, AHEAD = 64, 16, 12
"""From how many on a process beside is worth while; how many it is handed at once, and how often before it has answered: it has work for some
20 ms, in which this one may have other things to do."""
Connectors = Callable[[str], bytes]
"""The raw public key of a provider's connector, or what it raises without one."""


class Released(msgspec.Struct, frozen=True, array_like=True):
    """An outcome that bears an answer, the digest of its request, and the capsule of its agreement."""

    outcome: Outcome
    digest: bytes
    capsule: Capsule


class Plain(msgspec.Struct, frozen=True, array_like=True, tag="plain"):
    """What the connector said, still written (Avro): of a data set, or, where it is `ruled`, of a rule."""

    data_set: str
    ruled: bool
    said: bytes


class Broken(msgspec.Struct, frozen=True, array_like=True, tag="broken"):
    """An answer that does not open: which of `ERRORS` says so, and its words."""

    error: int
    words: str

    @property
    def reason(self) -> Exception:
        return ERRORS[self.error](self.words)


class _Asked(msgspec.Struct, frozen=True, array_like=True):
    """What the process beside is handed: the collectivity's raw private key, whom it trusts, connectors' keys by provider."""

    private: bytes
    trust: Trust
    connectors: dict[str, bytes]
    answers: Sequence[Released]


ERRORS: tuple[type[Exception], ...] = (Unopenable, BadReceipt, BadCertificate)


def open_released(one: Released, private: KeyPair, trust: Trust, connectors: Connectors) -> Plain:
    """What is inside. Raises Unopenable, BadReceipt or BadCertificate, and what `connectors` raises."""
    outcome, capsule = one.outcome, one.capsule
    receipt.verify_release(outcome, one.digest, trust.log)
    certificate = _certificate(capsule, trust.certificate)
    if certificate.hash != outcome.certificate_hash:
        raise Unopenable("answer bound to another certificate")
    if commitment(capsule.salt, capsule.identity) != certificate.commitment:
        raise Unopenable("answer about somebody else")
    context = receipt.context(outcome, one.digest)
    said = open_inner(context, outcome.inner, private, connectors(certificate.provider))
    if outcome.rule_hash != sealing.bound_rule(certificate.rule_hash):
        raise Unopenable("answer of another rule")
    return Plain(certificate.data_set, bool(certificate.rule_hash), said)


def _certificate(capsule: Capsule, issuer: bytes) -> certificates.Certificate:
    if capsule.checked == issuer:
        return certificates.read_checked(capsule.certificate)
    return certificates.read(capsule.certificate, issuer)


def read(outcome: Outcome, plain: Plain) -> outcomes.Answer:
    """What the connector said, decoded."""
    request = outcome.key.request
    if plain.ruled:
        return outcomes.ruled(request, catalogue().codec("rule-answer").decode(plain.said), outcome)
    said = catalogue().codec("state-answer").decode(plain.said)
    data = (
        present(catalogue().codec_of_data_set(plain.data_set).decode(said["data"]))
        if said["status"] == "found"
        else None
    )
    return outcomes.Answer(request, said["status"], said["code"], said["title"], data, outcome)


class Opener:
    """Of one collectivity. `keys`: connectors' keys in force, by provider."""

    def __init__(self, private: KeyPair, trust: Trust, keys: Callable[[], dict[str, bytes]]) -> None:
        self._private, self._trust, self._keys = private, trust, keys
        self._beside: Process | None = None
        self._starting: asyncio.Task[None] | None = None

    async def ready(self) -> None:
        """Return once there is a process beside, or there can be none. For who knows that many will come: else it is started with the first
        many, which do not wait for it."""
        self._start()
        if self._starting is not None:
            await self._starting

    async def open(self, answers: Sequence[Released]) -> list[Plain | Broken]:
        """In their order."""
        if len(answers) < MANY:
            return self._here(answers)
        self._start()
        parts = [answers[at : at + AT_ONCE] for at in range(0, len(answers), AT_ONCE)]
        handed, found = dict[int, asyncio.Future[bytes]](), dict[int, list[Plain | Broken]]()
        for number, some in enumerate(parts):
            if (beside := self._beside_for(len(parts) - number)) is not None:
                handed[number] = beside.ask(self._asked(some))
            else:
                found[number] = self._here(some)
                await asyncio.sleep(0)
        found |= {number: await self._told(reply, parts[number]) for number, reply in handed.items()}
        return [one for number in range(len(parts)) for one in found[number]]

    def _beside_for(self, parts: int) -> Process | None:
        """The process beside, unless it has enough to do already, or these parts are opened here by the time it has done it."""
        beside = self._beside
        return beside if beside is not None and not beside.over and beside.waiting < min(AHEAD, parts) else None

    def _here(self, answers: Sequence[Released]) -> list[Plain | Broken]:
        return _open(answers, self._private, self._trust, self._keys())

    def _asked(self, answers: Sequence[Released]) -> bytes:
        asked = _Asked(self._private.private, self._trust, self._keys(), answers)
        return msgspec.msgpack.encode(asked)

    async def _told(self, reply: asyncio.Future[bytes], answers: Sequence[Released]) -> list[Plain | Broken]:
        """What the process beside found; if it ended, what is found here."""
        try:
            return msgspec.msgpack.decode(await reply, type=list[Plain | Broken])
        except (OSError, asyncio.IncompleteReadError):
            return self._here(answers)

    def _start(self) -> None:
        """Begin one, unless there is one or it is beginning."""
        if (self._starting is None or self._starting.done()) and (self._beside is None or self._beside.over):
            self._starting = asyncio.create_task(self._started())

    async def _started(self) -> None:
        """It is there once it has answered: until then it reads what it needs of Accord. Without one, all is opened here."""
        await self._ended()
        with suppress(OSError):
            process = await Process.start(__name__)
            self._beside = process if await self._answers(process) else None

    async def _answers(self, process: Process) -> bool:
        try:
            await process.ask(self._asked([]))
        except (OSError, asyncio.IncompleteReadError):
            await process.close()
        return not process.over

    async def aclose(self) -> None:
        if self._starting is not None:
            await asyncio.gather(self._starting, return_exceptions=True)
        await self._ended()

    async def _ended(self) -> None:
        beside, self._beside = self._beside, None
        if beside is not None:
            await beside.close()


def _open(
    answers: Sequence[Released], private: KeyPair, trust: Trust, keys: Mapping[str, bytes]
) -> list[Plain | Broken]:
    def connector(provider: str) -> bytes:
        if provider not in keys:
            raise Unopenable("no key of this connector")
        return keys[provider]

    found = list[Plain | Broken]()
    for one in answers:
        try:
            found.append(open_released(one, private, trust, connector))
        except ERRORS as error:
            found.append(Broken(next(n for n, kind in enumerate(ERRORS) if isinstance(error, kind)), str(error)))
    return found


def _answer(frame: bytes) -> bytes:
    asked = msgspec.msgpack.decode(frame, type=_Asked)
    private = KeyPair.of(asked.private)
    return msgspec.msgpack.encode(_open(asked.answers, private, asked.trust, asked.connectors))


if __name__ == "__main__":
    catalogue()  # before it is waited for
    serve(_answer)
