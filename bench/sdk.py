"""What the SDK adds to its own cryptography: requests published and answers opened a second by one process, beside the bare HPKE `seal`
and `open` of `cryptography` on one core, in the same run. Each answer also bears a signature: its Ed25519 `verify`, bare, is measured beside
them, for seal stands beside one operation, and an answer takes two.

Every agreement is asked about once a turn, by an SDK that remembers nothing; its wallet opened the capsule, and checked the certificate in
it, when the agreement was given, as any wallet does. The answers are a real
connector's and a real ledger's, made aside; the broker is the embedded one, requests are acknowledged by it (acks=all, idempotent).
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, process_time

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from bench.bare import HPKE, OURS
from bench.load import WrongCount
from bench.report import (
    Contender,
    Figures,
    Result,
    Say,
    Target,
    Words,
    at_least,
    load_1m,
    machine,
    middle,
    ratio,
    versions,
)
from bench.sdk_answers import Desk
from bench.town import DATA_SET, PROVIDER, PURPOSE, is_right, person
from bench.watch import family_cpu_s
from connectors.agent import ConnectorKeys
from consent.keys import ephemeral
from consent.ledger import Ledger
from consent.stores.engine import open_store
from exchange.adapters.kafka import KafkaOutbox, KafkaReader, create_topics
from exchange.clock import SystemClock
from exchange.core import topics
from exchange.embedded.choose import EMBEDDED, beside, open_kafka
from exchange.embedded.jars import Progress
from exchange.hpke import KeyPair
from exchange.introduction import give, introduce_collectivity, introduce_provider
from exchange.local import PARTITIONS
from exchange.outcomes import Answer
from exchange.sdk import Bus, Request, cursor_of
from exchange.sealing import public_bytes
from exchange.settings import RECIPIENT
from exchange.stopping import long_lived
from exchange.trust import Trust
from exchange.wallet import Wallet

TO_BARE = 0.6
SEAL_BYTES, INFO_BYTES = 200, 64
"""Of a request's identity and what it is bound to; an answer's inner seal is measured as it is."""
TITLE: Words = ("ce que le SDK ajoute à sa cryptographie", "what the SDK adds to its cryptography")
PUBLISHED: Words = ("demandes publiées", "requests published")
OPENED: Words = ("réponses ouvertes, deux processus", "answers opened, two processes")
ALONE: Words = ("réponses ouvertes, un seul processus", "answers opened, one process")
TWO: Words = (
    "Le SDK ouvre les réponses nombreuses dans son processus et dans un autre à côté (ADR 0045), lancé avant la mesure : deux cœurs, quand le "
    "scellement nu en a un. Un connecteur signe ensemble ce qu'il répond ensemble (ADR 0044), ici 64 réponses.",
    "The SDK opens answers that are many in its process and in one beside it (ADR 0045), started before the measure: two cores, where the bare "
    "seal has one. A connector signs together what it answers together (ADR 0044), here 64 answers.",
)
SEAL: Words = ("scellement HPKE nu", "bare HPKE seal")
OPEN: Words = ("ouverture HPKE nue", "bare HPKE open")
VERIFY: Words = ("signature Ed25519 vérifiée, nue", "bare Ed25519 verify")


@dataclass(frozen=True)
class Size:
    """Requests a turn, each under an agreement of its own; how many an application has under way."""

    requests: int = 10_000
    repeat: int = 3
    at_once: int = 512


async def run(size: Size, say: Say, progress: Progress | None = None) -> Result:
    """The whole bench. Raises `WrongCount` rather than give a wrong figure."""
    before, turns = load_1m(), list[dict[str, Figures]]()
    with tempfile.TemporaryDirectory(prefix="accord-bench-") as folder:
        say(f"broker, {size.requests:,} accords", f"broker, {size.requests:,} agreements")
        async with _opened_place(Path(folder), size.requests, progress) as place:
            long_lived()  # as whoever asks for long; ledger and desk, which are no application's, are then left alone
            for turn in range(1, size.repeat + 1):
                say(
                    f"publier, répondre, ouvrir ({turn}/{size.repeat})", f"publish, answer, open ({turn}/{size.repeat})"
                )
                turns += [await place.turn(size.at_once, alone=alone) for alone in (False, True)]
            inner_bytes = place.desk.inner_bytes
    figures = {name: middle([turn[name] for turn in turns if name in turn]) for name in turns[0] | turns[1]}
    return result(size, figures, inner_bytes, before)


def result(size: Size, figures: dict[str, Figures], inner_bytes: int, before: float) -> Result:
    labels = {"published": PUBLISHED, "seal": SEAL, "opened": OPENED, "alone": ALONE, "open": OPEN, "verify": VERIFY}
    contenders = tuple(Contender(name, label, figures[name]) for name, label in labels.items())
    ratios = {
        f"{ours}_to_{bare}": ratio(figures[ours]["per_s"], figures[bare]["per_s"])
        for ours, bare in (("published", "seal"), ("opened", "seal"), ("alone", "seal"), ("alone", "open"))
    }
    opening, verifying = figures["open"]["per_s"], figures["verify"]["per_s"]
    if opening and verifying:
        ratios["alone_to_open_and_verify"] = ratio(figures["alone"]["per_s"], 1 / (1 / opening + 1 / verifying))
    sizes: dict[str, int | str] = {
        "requests": size.requests,
        "at_once": size.at_once,
        "seal_bytes": SEAL_BYTES,
        "open_bytes": inner_bytes,
    }
    return Result(
        "sdk", TITLE, sizes, size.repeat, contenders, ratios, targets(ratios), machine(before), versions(), (TWO, OURS)
    )


def targets(ratios: Figures) -> tuple[Target, ...]:
    return (
        at_least("published_to_seal", ("demandes publiées / scellement nu", "requests published / bare seal"), ratios["published_to_seal"], TO_BARE),
        at_least("opened_to_seal", ("réponses ouvertes / scellement nu", "answers opened / bare seal"), ratios["opened_to_seal"], TO_BARE),
    )  # fmt: skip


@dataclass
class _Place:
    """A broker, a collectivity with its agreements, and a desk that answers."""

    bootstrap: str
    wallet: Wallet
    ledger: Ledger
    trust: Trust
    desk: Desk
    agreements: Sequence[bytes]

    async def turn(self, at_once: int, *, alone: bool) -> dict[str, Figures]:
        """One measure of each, by an SDK that remembers nothing and whose wallet lies on the disk; `alone`: by one process."""
        operator, count = self.wallet.operator, len(self.agreements)
        asked_from, told_from = await self._ends(topics.requests(operator)), await self._ends(topics.outcomes(operator))
        async with AsyncExitStack() as stack:
            outbox = await stack.enter_async_context(KafkaOutbox(self.bootstrap))
            sdk = await stack.enter_async_context(self._sdk(outbox))
            began = perf_counter(), process_time()
            requests = await _published(sdk, self.agreements, at_once)
            published = _rates(count, began)
            async with KafkaReader(self.bootstrap, topics.requests(operator), asked_from) as reader:
                records = [record async for chunk in reader.to_end() for record in chunk]
            await outbox.send(await self.desk.answer(records, {request.key.request for request in requests}))
            await asyncio.gather(*(request.outcome() for request in requests))
            if not alone:
                await sdk.opener.ready()
            began = perf_counter(), family_cpu_s()
            await (_opened_alone if alone else _opened)(sdk, requests, cursor_of(told_from))
            opened = {"alone" if alone else "opened": _rates(count, began, family_cpu_s)}
        return {"published": published} | opened | _bare(count, self.desk.inner_bytes)

    def _sdk(self, outbox: KafkaOutbox) -> Bus:
        folder = self.wallet.folder
        assert folder is not None
        wallet = Wallet.open(folder.parent, self.wallet.recipient, self.wallet.operator)
        reader = lambda topic, offsets: KafkaReader(self.bootstrap, topic, offsets)  # noqa: E731  # a reader for any topic
        return Bus(wallet, outbox, reader, self.ledger, self.trust, SystemClock())

    async def _ends(self, topic: str) -> dict[int, int]:
        async with KafkaReader(self.bootstrap, topic) as reader:
            return await reader.end_offsets()


async def _published(sdk: Bus, agreements: Sequence[bytes], at_once: int) -> list[Request]:
    """A request under each, `at_once` under way."""
    left, requests = iter(agreements), list[Request]()

    async def ask() -> None:
        for agreement in left:
            requests.append(await sdk.request(DATA_SET, consent=agreement, purpose=PURPOSE))

    await asyncio.gather(*(ask() for _ in range(at_once)))
    return requests


async def _opened(sdk: Bus, requests: Sequence[Request], cursor: str) -> None:
    """All of their answers, read from the topic, opened and checked. `WrongCount` for another answer, or one too many or too few."""
    told = 0
    async for ended in sdk.answers(requests, cursor):
        told += 1
        if not isinstance(ended.answer, Answer) or not is_right(ended.answer):
            raise WrongCount("another answer")
    if told != len(requests):
        raise WrongCount(f"{told} answers to {len(requests)} requests")


async def _opened_alone(sdk: Bus, requests: Sequence[Request], cursor: str) -> None:
    """The same, each opened when it is read."""
    waiting = {request.key.request: request for request in requests}
    async with aclosing(sdk.events(cursor)) as events:
        async for event in events:
            request = waiting.pop(event.request, None)
            if request is None or not is_right(sdk.open(request, event.outcome)):
                raise WrongCount("another answer")
            if not waiting:
                return


def _rates(count: int, began: tuple[float, float], used: Callable[[], float] = process_time) -> Figures:
    wall_s, used_s = perf_counter() - began[0], used() - began[1]
    return {"per_s": count / wall_s, "per_cpu_s": count / used_s}


def _bare(count: int, inner_bytes: int) -> dict[str, Figures]:
    """The cryptography alone, one thing after the other: to one key, of the sizes above."""
    private, info = X25519PrivateKey.generate(), os.urandom(INFO_BYTES)
    public, plain = private.public_key(), os.urandom(SEAL_BYTES)
    began = perf_counter(), process_time()
    for _ in range(count):
        HPKE.encrypt(plain, public, info=info)
    seal, sealed = _rates(count, began), HPKE.encrypt(os.urandom(inner_bytes), public, info=info)
    began = perf_counter(), process_time()
    for _ in range(count):
        HPKE.decrypt(sealed, private, info=info)
    opened, signing = _rates(count, began), Ed25519PrivateKey.generate()
    public_half, signature = signing.public_key(), signing.sign(sealed)
    began = perf_counter(), process_time()
    for _ in range(count):
        public_half.verify(signature, sealed)
    return {"seal": seal, "open": opened, "verify": _rates(count, began)}


@asynccontextmanager
async def _opened_place(folder: Path, requests: int, progress: Progress | None) -> AsyncIterator[_Place]:
    clock, keys = SystemClock(), ephemeral("accord.bench/sdk")
    connector = ConnectorKeys(KeyPair.generate(), Ed25519PrivateKey.generate(), os.urandom(32))
    ledger = Ledger(open_store(None), keys, clock, lambda _: connector.mac)
    trust = Trust(keys.verifier, public_bytes(keys.certificate), public_bytes(keys.registrar))
    wallet = Wallet.open(folder / "wallet", RECIPIENT, RECIPIENT[:9], trust.certificate)
    await introduce_provider(ledger, PROVIDER, connector, Ed25519PrivateKey.generate(), clock.now_ms())
    await introduce_collectivity(ledger, wallet, clock.now_ms())
    agreements = [await give(ledger, wallet, person(number), clock.now_ms()) for number in range(requests)]
    async with AsyncExitStack() as stack:
        bootstrap = await stack.enter_async_context(
            beside(open_kafka(EMBEDDED, folder / "broker", progress, train=False))
        )
        wanted = topics.specs([wallet.operator], [PROVIDER], partitions=PARTITIONS, cluster=False)
        await create_topics(bootstrap, wanted)
        yield _Place(bootstrap, wallet, ledger, trust, Desk(ledger, connector, wallet, trust), agreements)
