"""Kafka Streams beside the gate: the two topologies of `../shared/peers/kafka-streams`, built there where a JDK and Maven are, run by
the broker's own Java on requests of the same size, under as many consents, on the same broker.

Their figures are those they print: decisions over the whole run, from the first decision (JVM started, consents loaded) to the last.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import os
import re
import shutil
import struct
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from signal import SIGKILL
from subprocess import Popen
from typing import Any, Protocol
from uuid import UUID

import fastavro

from bench.agreements import Agreement
from bench.arena import Arena
from bench.load import Load, WrongCount, publish
from bench.report import Figures, Words
from bench.watch import TIME_LIMIT_S, Ended, last_line
from consent.core.facts import Terms
from exchange.adapters.kafka import KafkaOutbox, create_topics
from exchange.caches import cache_home
from exchange.core.topics import TopicSpec
from exchange.embedded import process
from exchange.embedded.node import java
from exchange.local import PARTITIONS, STOP_S
from exchange.locks import exclusive
from exchange.ports import Message, Record

SOURCES = Path(__file__).resolve().parents[2] / "shared" / "peers" / "kafka-streams"
_SAID = re.compile(r"^(\d+) (\d+) /s wall (\d+) /cpu-s allow=(\d+)$", re.MULTILINE)
_STATE = "ks-state-*"
_BUILD_S = 600
_JVM = ("-Xmx2g",)
_TWO_BYTES_FROM = 64
"""Avro writes lengths from here on in two bytes."""


class Absent(Exception):
    """The peer cannot be measured here; why, in French and in English."""

    def __init__(self, fr: str, en: str) -> None:
        super().__init__(en)
        self.words: Words = (f"Kafka Streams non mesuré : {fr}", f"Kafka Streams not measured: {en}")


def built(sources: Path = SOURCES) -> str:
    """The class path of the peers, built once in the user's cache. Raises `Absent`."""
    if not sources.is_dir():
        raise Absent("../shared/peers/kafka-streams n'est pas là", "../shared/peers/kafka-streams is not there")
    if shutil.which("javac") is None or shutil.which("mvn") is None:
        raise Absent("ni JDK ni Maven", "no JDK or no Maven")
    files = sorted(path for path in sources.rglob("*") if path.is_file() and "target" not in path.parts)
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()
    folder = cache_home() / f"kafka-streams-{digest[:16]}"
    folder.mkdir(parents=True, exist_ok=True)
    with exclusive(folder / ".lock"):
        if not (folder / "whole").exists():
            for path in files:
                (folder / path.relative_to(sources)).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, folder / path.relative_to(sources))
            _build(folder)
            (folder / "whole").touch()
    return f"{folder}/target/classes{os.pathsep}{folder}/target/libs/*"


def _build(folder: Path) -> None:
    """As the README beside it says."""
    argv = ["mvn", "-q", "-B", "package", "dependency:copy-dependencies", "-DoutputDirectory=target/libs"]
    try:
        done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, timeout=_BUILD_S, check=False)
    except subprocess.TimeoutExpired:
        raise Absent("Maven n'a pas fini", "Maven did not finish") from None
    if done.returncode:
        said = (done.stdout + done.stderr).strip().splitlines()
        raise Absent("Maven a échoué", f"Maven failed: {said[0] if said else ''}")


class Form(Protocol):
    """How what a topology reads and writes is laid out."""

    name: str
    label: Words
    arguments: tuple[str, ...]
    consents: str
    requests: str
    outputs: str

    def consent(self, agreement: Agreement) -> Message: ...

    def request(self, number: int, agreement: Agreement, record_bytes: int) -> Message:
        """Of so many bytes, key and value."""
        ...

    def decided(self, record: Record) -> tuple[int, bytes, bool]:
        """Number, authorisation, and whether it was allowed; WrongCount if refused for another reason than a withdrawal."""
        ...


class Team:
    """`peer.Gate`: Avro generic records, keyed by person; one agreement each here, so the person is named like it."""

    name, label = "streams", ("Kafka Streams", "Kafka Streams")
    consents, requests, outputs = "bench.consents", "bench.requests", "bench.verdicts"
    arguments: tuple[str, ...] = ("memory",)

    def __init__(self, terms: Terms, sources: Path = SOURCES) -> None:
        java_text = (sources / "src/main/java/peer/Gate.java").read_text(encoding="utf-8")
        texts = re.findall(r'static final String (REQ|CON|VER)="((?:[^"\\]|\\.)*)"', java_text)
        self._schemas = {name: fastavro.parse_schema(json.loads(text.replace('\\"', '"'))) for name, text in texts}
        self._common = {
            "consumer": terms.recipient, "provider": terms.provider, "scopes": list(terms.scopes), "purpose": terms.purpose,
        }  # fmt: skip
        self._life = {"not_before": terms.not_before_ms, "not_after": terms.not_after_ms}
        self._issued_ms = terms.not_before_ms

    def consent(self, agreement: Agreement) -> Message:
        subject, consent = _named(agreement)
        held = {"consent_id": consent, "subject": subject, "revoked": not agreement.live} | self._common | self._life
        return Message(subject.encode(), self._write("CON", held), [])

    def request(self, number: int, agreement: Agreement, record_bytes: int) -> Message:
        subject, consent = _named(agreement)
        request = str(UUID(bytes=os.urandom(12) + number.to_bytes(4, "big")))
        asked = {"request_id": request, "consent_id": consent, "subject": subject, "issued_at": self._issued_ms}
        bare = self._write("REQ", asked | self._common | {"payload": b""})
        room = record_bytes - len(subject) - len(bare)
        payload = os.urandom(room - 1 if room > _TWO_BYTES_FROM else room)  # a longer length takes a byte more
        return Message(subject.encode(), self._write("REQ", asked | self._common | {"payload": payload}), [])

    def decided(self, record: Record) -> tuple[int, bytes, bool]:
        found: Any = fastavro.schemaless_reader(io.BytesIO(record.value or b""), self._schemas["VER"], None)
        if found["decision"] not in ("ALLOW", "REVOKED"):
            raise WrongCount(f"{self.name}: {found['decision']}")
        number = int.from_bytes(UUID(found["request_id"]).bytes[-4:], "big")
        return number, bytes.fromhex(found["subject"]), found["decision"] == "ALLOW"

    def _write(self, schema: str, value: dict[str, Any]) -> bytes:
        out = io.BytesIO()
        fastavro.schemaless_writer(out, self._schemas[schema], value)
        return out.getvalue()


def _named(agreement: Agreement) -> tuple[str, str]:
    return agreement.authorisation.hex(), str(UUID(bytes=agreement.authorisation))


class Tuned:
    """`peer.GateRaw`: byte arrays laid out by hand, keyed by authorisation; the ask is the gate's own."""

    name, label = "streams-raw", ("Kafka Streams, réglé à la main", "Kafka Streams, hand-tuned")
    consents, requests, outputs = "tg.consents", "tg.requests", "tg.tasks"
    arguments: tuple[str, ...] = ()
    _HEAD, _CONSENT = struct.Struct(">5s16s16sqqH"), struct.Struct(">Bqq32s")
    _REQUEST, _AUTHORISATION, _DECISION = slice(17, 21), slice(21, 37), 45

    def __init__(self, terms: Terms, asks: Sequence[bytes]) -> None:
        self._terms, self._asks = terms, asks

    def consent(self, agreement: Agreement) -> Message:
        life = self._terms.not_before_ms, self._terms.not_after_ms
        return Message(agreement.authorisation, self._CONSENT.pack(not agreement.live, *life, os.urandom(32)), [])

    def request(self, number: int, agreement: Agreement, record_bytes: int) -> Message:
        request, ask = os.urandom(12) + number.to_bytes(4, "big"), self._asks[number % len(self._asks)]
        issued_ms, deadline_ms = self._terms.not_before_ms, self._terms.not_after_ms
        head = (
            self._HEAD.pack(bytes(4) + b"\1", request, agreement.authorisation, issued_ms, deadline_ms, len(ask)) + ask
        )
        key = agreement.authorisation
        return Message(key, head + os.urandom(record_bytes - len(key) - len(head)), [])

    def decided(self, record: Record) -> tuple[int, bytes, bool]:
        value = record.value or b""
        if value[self._DECISION] not in (0, 2):
            raise WrongCount(f"{self.name}: decision {value[self._DECISION]}")
        return int.from_bytes(value[self._REQUEST], "big"), value[self._AUTHORISATION], not value[self._DECISION]


@dataclass(frozen=True)
class Peer:
    """One topology on an arena; `classes` is its class path."""

    form: Form
    main: str
    classes: str
    arena: Arena

    async def load(self, record_bytes: int) -> None:
        """Consents first, then the requests of the arena's load, each as long as the gate's."""
        form, load, bootstrap = self.form, self.arena.load, self.arena.bus.bootstrap
        compacted = TopicSpec(form.consents, PARTITIONS, config={"cleanup.policy": "compact"})
        plain = (TopicSpec(name, PARTITIONS) for name in (form.requests, form.outputs))
        await create_topics(bootstrap, [compacted, *plain])
        asked = (load.agreements[number] for number in sorted(set(load.drawn)))
        requests = (form.request(n, load.agreements[at], record_bytes) for n, at in enumerate(load.drawn))
        async with KafkaOutbox(bootstrap) as outbox:
            await publish(outbox, form.consents, map(form.consent, asked))
            size_bytes = await publish(outbox, form.requests, requests)
        if size_bytes != load.count * record_bytes:
            raise WrongCount(f"{form.name}: requests of {size_bytes / load.count} bytes")

    async def measure(self) -> Figures:
        """One run, from the beginning of its topics, and the check of every fate."""
        form, load, bus = self.form, self.arena.load, self.arena.bus
        before, log = await self.arena.watch.ends(form.outputs), bus.places.log(form.name)
        argv = [java(), *_JVM, "-cp", self.classes, self.main, bus.bootstrap, str(load.count), *form.arguments]
        with _swept():
            child = process.spawn(argv, cwd=Path.cwd(), output=log, death_signal=SIGKILL)
            try:
                await _ended(child, log)
            finally:
                process.stop(child, patience_s=STOP_S)
        async with self.arena.reader(form.outputs, before) as outputs:
            await load.check_each((outputs.to_end(), self._fate))
        return said(log, load)

    def _fate(self, record: Record) -> int:
        number, authorisation, allowed = self.form.decided(record)
        return self.arena.load.fate(number, authorisation, live=allowed)


def peers(arena: Arena, classes: str) -> tuple[Peer, Peer]:
    """As a team writes it, and tuned by hand."""
    team, tuned = Team(arena.agreed), Tuned(arena.agreed, arena.load.asks)
    return Peer(team, "peer.Gate", classes, arena), Peer(tuned, "peer.GateRaw", classes, arena)


async def _ended(child: Popen[bytes], log: Path) -> None:
    """Until it ends by itself, and well."""
    try:
        await asyncio.to_thread(child.wait, TIME_LIMIT_S)
    except subprocess.TimeoutExpired:
        raise Ended(f"{log.stem}: too slow") from None
    if child.returncode:
        raise Ended(f"{log.stem}: exit code {child.returncode}: {last_line(log)}")


@contextmanager
def _swept() -> Iterator[None]:
    """What a peer leaves in the system's own folder for temporary things, whatever ours is, goes away."""
    folder = Path("/tmp")  # noqa: S108  # named in the peers' source
    before = set(folder.glob(_STATE))
    try:
        yield
    finally:
        for left in set(folder.glob(_STATE)) - before:
            shutil.rmtree(left, ignore_errors=True)


def said(log: Path, load: Load) -> Figures:
    """What a peer printed last. Raises `WrongCount` if that is not about the whole load."""
    last = _SAID.findall(log.read_text(encoding="utf-8", errors="replace"))[-1:]
    if not last or (int(last[0][0]), int(last[0][3])) != (load.count, load.allowed):
        raise WrongCount(f"{log.stem}: {last_line(log)}")
    return {"per_s": float(last[0][1]), "per_cpu_s": float(last[0][2])}
