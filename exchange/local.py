"""A whole bus on this machine: broker, ledger, worker, connector, sandbox, each its own process, none left behind.

Used by `accord demo`, `accord dev` and the tests. Stopping is in reverse order; `kill -9` of this process ends the others too.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGKILL

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from consent.client import connect
from consent.keys import read_or_make
from consent.ledger import Ledger
from exchange.adapters.kafka import KafkaOutbox, KafkaReader, TopicSpec, create_topics
from exchange.clock import SystemClock
from exchange.core import topics
from exchange.data_sets import PROVIDERS
from exchange.embedded import process
from exchange.embedded.choose import open_kafka
from exchange.embedded.jars import Progress
from exchange.introduction import introduce_collectivity, introduce_provider, open_connector_keys
from exchange.places import Places
from exchange.ports import Unavailable
from exchange.roles import ROLES
from exchange.sdk import Bus
from exchange.settings import Settings
from exchange.tracing import Tracing, to_file
from exchange.trust import Trust
from exchange.wallet import Wallet

READY_S = 60.0
STOP_S = 8.0
PARTITIONS = 4


class RoleFailed(Exception):
    """A process of the bus ended before it was ready. Says which, and where its log is."""

    def __init__(self, name: str, log: Path) -> None:
        super().__init__(f"{name}: {log}")
        self.name, self.log = name, log


@dataclass
class LocalBus:
    """The processes of one bus over one data directory."""

    settings: Settings
    places: Places
    bootstrap: str = ""
    sandbox_url: str = ""
    cases: Sequence[Path] = ()
    children: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def ledger(self) -> Ledger:
        return connect(self.places.socket)

    def spawn(self, name: str, *arguments: str) -> None:
        """Start `accord <arguments>` as the process `name`."""
        self.places.run.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.places.ready(name).unlink(missing_ok=True)
        argv = [sys.executable, "-m", "exchange.cli", *arguments, "--data", str(self.places.root), "--name", name]
        self.children[name] = process.spawn(argv, cwd=Path.cwd(), output=self.places.log(name), death_signal=SIGKILL)

    async def ready(self, *names: str) -> None:
        """Until these processes work; `RoleFailed` if one ends first."""
        deadline_s = asyncio.get_running_loop().time() + READY_S
        for name in names:
            while not self.places.ready(name).exists():
                if self.children[name].poll() is not None or asyncio.get_running_loop().time() > deadline_s:
                    raise RoleFailed(name, self.places.log(name))
                await asyncio.sleep(0.02)

    def stop(self, name: str) -> None:
        child = self.children.pop(name, None)
        if child is not None:
            process.stop(child, patience_s=STOP_S)

    def kill(self, name: str) -> None:
        """`kill -9`."""
        process.kill(self.children.pop(name))

    def start_ledger(self) -> None:
        self.spawn("ledger", "ledger", "run", "--origin", self.settings.origin)

    def start_sandbox(self) -> None:
        self.places.run.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self.places.token.exists():
            self.places.token.touch(mode=0o600)
            self.places.token.write_text(secrets.token_urlsafe(24), encoding="ascii")
        more = [word for folder in self.cases for word in ("--cases", str(folder))]
        self.spawn("sandbox", "sandbox", *more)

    def start_worker(self, name: str = "worker", roles: tuple[str, ...] = ROLES) -> None:
        self.spawn(name, "worker", "--kafka", self.bootstrap, "--roles", ",".join(roles))

    def start_connector(self, provider: str = "cnaf") -> None:
        url, token = self.settings.state_api_url or self.sandbox_url, self.settings.state_api_token_file or self.places.token
        arguments = ("connector", "run", provider, "--kafka", self.bootstrap, "--url", url, "--token-file", str(token))
        self.spawn(f"connector-{provider}", *arguments)

    async def make_topics(self) -> None:
        operator = self.settings.operator_of(self.settings.recipient)
        cluster = self.settings.kafka not in ("embedded", "testcontainers")
        wanted = topics.specs([operator], PROVIDERS, partitions=PARTITIONS, cluster=cluster)
        await create_topics(self.bootstrap, [TopicSpec(*spec) for spec in wanted])

    async def introduce(self, wallet: Wallet) -> None:
        """The providers and this collectivity become known to the ledger; once."""
        now_ms = SystemClock().now_ms()
        for provider in PROVIDERS:
            folder = self.places.connector(provider)
            enrolment = Ed25519PrivateKey.from_private_bytes(read_or_make(folder / "enrolment.key"))
            await introduce_provider(self.ledger, provider, open_connector_keys(folder), enrolment, now_ms)
        await introduce_collectivity(self.ledger, wallet, now_ms)

    def close(self) -> None:
        """Stop every process, the last started first."""
        for child in reversed(self.children.values()):
            child.terminate()
        for name in reversed(list(self.children)):
            self.stop(name)
        self.places.address.unlink(missing_ok=True)


@asynccontextmanager
async def local_bus(
    settings: Settings, places: Places, *, cases: Sequence[Path] = (), progress: Progress | None = None, split: bool = False
) -> AsyncIterator[LocalBus]:
    """Everything up, ready, and introduced; `split` runs release in a process of its own (so that it can be stopped alone)."""
    bus = LocalBus(settings, places, cases=cases)
    try:
        bus.start_ledger()
        bus.start_sandbox()
        with open_kafka(settings.kafka, places.broker, progress) as bus.bootstrap:
            await bus.make_topics()
            await bus.ready("sandbox", "ledger")
            bus.sandbox_url = json.loads(places.ready("sandbox").read_text(encoding="utf-8"))["url"]
            await bus.introduce(open_wallet(settings, places))
            names = ["worker", "connector-cnaf"]
            bus.start_worker("worker", tuple(role for role in ROLES if not (split and role == "release")))
            if split:
                bus.start_worker("release", ("release",))
                names.append("release")
            bus.start_connector()
            await bus.ready(*names)
            places.announce(places.address, kafka=bus.bootstrap, api=bus.sandbox_url, console=None, data=str(places.root), pid=os.getpid())
            try:
                yield bus
            finally:
                bus.close()
    finally:
        bus.close()


def open_wallet(settings: Settings, places: Places) -> Wallet:
    recipient = settings.recipient
    return Wallet.open(places.collectivity(recipient), recipient, settings.operator_of(recipient))


def address(places: Places) -> dict[str, str]:
    """How to reach the bus that runs over this data directory; `Unavailable` if none does."""
    try:
        found: dict[str, str] = json.loads(places.address.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise Unavailable("no bus is running here") from None
    return found


@asynccontextmanager
async def client(settings: Settings, places: Places, bootstrap: str) -> AsyncIterator[Bus]:
    """The SDK of the settings' collectivity, on a broker."""
    spans = to_file("sdk", places.traces("sdk")) if settings.traces else Tracing()
    async with KafkaOutbox(bootstrap) as outbox:
        wallet, trust = open_wallet(settings, places), Trust.load(places.trust)
        ledger = connect(settings.ledger or places.socket)
        reader = lambda topic, offsets: KafkaReader(bootstrap, topic, offsets)  # noqa: E731  # a reader for any topic
        async with Bus(wallet, outbox, reader, ledger, trust, SystemClock(), spans) as bus:
            yield bus
