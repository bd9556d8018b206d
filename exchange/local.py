"""A whole bus on this machine: broker, ledger, worker, connector, sandbox, each its own process, none left behind.

Used by `accord demo`, `accord dev` and the tests. Stopping is in reverse order; `kill -9` of this process ends the others too.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from signal import SIGKILL

import structlog

from consent.client import connect, hang_up
from consent.door import Door
from consent.issuers import DECLARED, write_issuers
from consent.keys import BadKeyFile
from exchange.adapters.http import HttpDoor, HttpOutbox, HttpReader, http_ledger, read_key, secured
from exchange.adapters.kafka import KafkaOutbox, KafkaReader, create_topics
from exchange.clock import SystemClock
from exchange.core import topics
from exchange.data_sets import PROVIDERS
from exchange.embedded import process
from exchange.embedded.choose import beside, open_kafka
from exchange.embedded.jars import Progress
from exchange.introduction import introduce, open_connector_keys, open_wallet
from exchange.locks import owned
from exchange.nursery import Nursery, start_nursery
from exchange.places import ROLES, Places, RoleFailed
from exchange.sdk import Bus
from exchange.settings import Settings
from exchange.tracing import Tracing, to_file
from exchange.trust import Trust

READY_S = 120.0
AWAY = 4
"""How a process ends whose broker or ledger did not answer (`exchange.cli`)."""
STOP_S = 8.0
RESTART_S = 1.0
PARTITIONS = 4
"""Of each topic on a broker of somebody's own, where nobody says."""
FEW_PARTITIONS = 2
"""On a broker of one machine: a worker a core, and every fetch names all the partitions of its reader, whether they bring anything or not."""


@dataclass
class LocalBus:
    """The processes of one bus over one data directory."""

    settings: Settings
    places: Places
    bootstrap: str = ""
    sandbox_url: str = ""
    portal_url: str = ""
    demarche_url: str = ""
    facade_url: str = ""
    cases: Sequence[Path] = ()
    notices: list[str] = field(default_factory=list)
    nursery: Nursery | None = None
    partitions: int = FEW_PARTITIONS
    """Of each topic, where the broker is this bus's own."""
    children: dict[str, process.Child] = field(default_factory=dict)
    _commands: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @cached_property
    def ledger(self) -> Door:
        return connect(self.places.socket)

    def addresses(self) -> dict[str, str]:
        """Where everything is: broker, State API, portal and its parts, data directory; the portal's are empty where there is none."""
        at = self.portal_url
        portal = {
            "portal": at,
            "api": at and f"{at}/v1",
            "console": at and f"{at}/console",
            "demarche": self.demarche_url,
            "facade": self.facade_url,
        }
        return {"kafka": self.bootstrap, "state_api": self.sandbox_url, **portal, "data": str(self.places.root)}

    def spawn(self, name: str, *arguments: str) -> None:
        """Start `accord <arguments>` as the process `name`."""
        self.places.run.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.places.ready(name).unlink(missing_ok=True)
        self._commands[name] = arguments
        command, trusted = (*arguments, "--data", str(self.places.root), "--name", name), arguments[0] == "ledger"
        if self.nursery is not None and not self.nursery.alive:
            self.nursery = Nursery(self.places)
        if self.nursery is not None and not (trusted and "ACCORD_KEK" in os.environ):  # a KEK goes to the ledger alone
            self.children[name] = self.nursery.fork(command, self.places.log(name))
            return
        argv = [sys.executable, "-m", "exchange.cli", *command]
        self.children[name] = process.spawn(
            argv, cwd=Path.cwd(), output=self.places.log(name), death_signal=SIGKILL, trusted=trusted
        )

    async def supervise(self) -> None:
        """For ever: start again what ended by itself (a bug is exit code 70), each at most once a second."""
        while True:
            await asyncio.sleep(RESTART_S)
            for name, child in list(self.children.items()):
                if child.poll() is not None:
                    structlog.get_logger().warning("restarted", process=name, exit_code=child.returncode)
                    self.spawn(name, *self._commands[name])

    async def ready(self, *names: str) -> None:
        """Until these processes work; one whose broker did not answer yet is started again (a slow machine), `RoleFailed` if one ends
        otherwise, or in the end."""
        deadline_s = asyncio.get_running_loop().time() + READY_S
        for name in names:
            while not self.places.ready(name).exists():
                ended = self.children[name].poll()
                if ended not in (None, AWAY) or asyncio.get_running_loop().time() > deadline_s:
                    raise RoleFailed(name, self.places.log(name))
                if ended == AWAY:
                    self.spawn(name, *self._commands[name])
                await asyncio.sleep(0.02)

    def stop(self, name: str) -> None:
        child = self.children.pop(name, None)
        if child is not None:
            process.stop(child, patience_s=STOP_S)

    def kill(self, name: str) -> None:
        """`kill -9`."""
        process.kill(self.children.pop(name))

    def start_ledger(self) -> None:
        if not self.places.issuers.exists():
            write_issuers(self.places.issuers, DECLARED)
        self.spawn("ledger", "ledger", "run", "--origin", self.settings.origin)

    def start_sandbox(self) -> None:
        self.places.run.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self.places.token.exists():
            self.places.token.touch(mode=0o600)
            self.places.token.write_text(secrets.token_urlsafe(24), encoding="ascii")
        more = [word for folder in self.cases for word in ("--cases", str(folder))]
        self.spawn("sandbox", "sandbox", *more)

    def start_worker(self, name: str = "worker", roles: tuple[str, ...] = ROLES) -> None:
        self.spawn(name, "worker", "--roles", ",".join(roles))

    def start_connector(self, *providers: str) -> None:
        """A process for these providers, named after the first. Its sandbox has no limit: neither has it."""
        self.spawn(f"connector-{providers[0]}", "connector", "run", *providers, "--no-limits")

    def start_portal(self) -> None:
        self.spawn("portal", "portal", "run", "--port", str(self.settings.portal_port))

    def start_identity(self) -> None:
        """Fictitious people to log in as."""
        self.spawn("identity", "identity", "--port", str(self.settings.identity_port))

    def start_demarche(self) -> None:
        """The collectivity's own process: it uses the bus as any application does."""
        self.spawn("demarche", "demarche", "run", "--port", str(self.settings.demarche_port))

    def start_facade(self) -> None:
        """The State's API at the collectivity, a process of its own as well."""
        self.spawn("facade", "facade", "run", "--port", str(self.settings.facade_port))

    async def make_topics(self) -> None:
        operator = self.settings.operator_of(self.settings.recipient)
        cluster = bool(self.settings.broker)
        partitions = PARTITIONS if cluster else self.partitions
        wanted = topics.specs([operator], PROVIDERS, partitions=partitions, cluster=cluster)
        await create_topics(self.bootstrap, wanted)

    def start_agents(self, apart: tuple[str, ...] = ()) -> list[str]:
        """The worker, a process for each role `apart`, and the connectors; their names."""
        self.start_worker("worker", tuple(role for role in ROLES if role not in apart))
        for role in apart:
            self.start_worker(role, (role,))
        self.start_connector(*PROVIDERS)
        return ["worker", *apart, f"connector-{PROVIDERS[0]}"]

    async def close(self) -> None:
        """Stop every process, the last started first."""
        await hang_up(self.ledger)
        for child in reversed(self.children.values()):
            child.terminate()
        for name in reversed(list(self.children)):
            self.stop(name)
        if self.nursery is not None:
            self.nursery.close()
        self.places.address.unlink(missing_ok=True)


@asynccontextmanager
async def local_bus(
    settings: Settings,
    places: Places,
    *,
    cases: Sequence[Path] = (),
    progress: Progress | None = None,
    brief: bool = False,
    portal: bool = False,
    nursery: Nursery | None = None,
) -> AsyncIterator[LocalBus]:
    """Everything up, ready, and introduced; `brief` is for a bus that soon stops: release runs in a process of its own,
    which can be stopped alone, and the broker's next start is not prepared. `portal`: the doors for people too. A `nursery` given is
    ours to end."""
    with owned(places.run):
        bus = LocalBus(settings, places, cases=cases, nursery=nursery or start_nursery(places))
        try:
            wallet = open_wallet(places, settings)
            for provider in PROVIDERS:  # made here, before two processes could each make their own
                open_connector_keys(places.connector(provider))
            places.broker_ready.unlink(missing_ok=True)
            bus.start_ledger()
            bus.start_sandbox()
            names = bus.start_agents(apart=("release",) if brief else ())
            kafka = open_kafka(
                settings.kafka, places.broker, progress, train=not brief, light=True, notices=bus.notices
            )
            async with beside(kafka) as bus.bootstrap:
                await bus.make_topics()
                places.announce(places.broker_ready, kafka=bus.bootstrap)
                await bus.ready("sandbox", "ledger")
                bus.sandbox_url = places.awaited(places.ready("sandbox"))["url"]
                await introduce(bus.ledger, places, wallet)
                if portal:
                    bus.start_identity()
                    bus.start_portal()
                    bus.start_demarche()
                    bus.start_facade()
                    names += ["identity", "portal", "demarche", "facade"]
                await bus.ready(*names)
                if portal:
                    bus.portal_url, bus.demarche_url, bus.facade_url = (
                        places.awaited(places.ready(name))["url"] for name in ("portal", "demarche", "facade")
                    )
                places.announce(places.address, **bus.addresses(), pid=os.getpid())
                supervisor = asyncio.create_task(bus.supervise())
                try:
                    yield bus
                finally:
                    supervisor.cancel()
                    await bus.close()
        finally:
            await bus.close()


@asynccontextmanager
async def client(settings: Settings, places: Places, bootstrap: str) -> AsyncIterator[Bus]:
    """The SDK of the settings' collectivity, on a broker."""
    spans = to_file("sdk", places.traces("sdk")) if settings.traces else Tracing()
    async with KafkaOutbox(bootstrap) as outbox:
        wallet = open_wallet(places, settings)
        trust, ledger = Trust.load(places.trust), connect(places.socket)
        reader = lambda topic, offsets: KafkaReader(bootstrap, topic, offsets)  # noqa: E731  # a reader for any topic
        try:
            async with Bus(wallet, outbox, reader, ledger, trust, SystemClock(), spans) as bus:
                yield bus
        finally:
            await hang_up(ledger)


@asynccontextmanager
async def by_http(settings: Settings, places: Places) -> AsyncIterator[Bus]:
    """The SDK of the settings' collectivity, on a bus's HTTP API; its wallet and what it trusts are in its own data directory."""
    if settings.client_key_file is None:
        raise BadKeyFile("ACCORD_CLIENT_KEY_FILE: absent")
    spans = to_file("sdk", places.traces("sdk")) if settings.traces else Tracing()
    wallet, trust, clock = open_wallet(places, settings), Trust.load(places.trust), SystemClock()
    tls = secured(settings.url_ca_file, settings.client_tls_cert_file, settings.client_tls_key_file)
    async with HttpDoor(settings.url, settings.client, read_key(settings.client_key_file), clock, tls=tls) as door:
        reader = lambda topic, offsets: HttpReader(door, topic, offsets)  # noqa: E731  # a reader for any topic
        async with Bus(wallet, HttpOutbox(door), reader, http_ledger(door), trust, clock, spans) as bus:
            yield bus


@asynccontextmanager
async def open_bus(settings: Settings | None = None, data: Path | None = None) -> AsyncIterator[Bus]:
    """The SDK on the bus that the environment names (`ACCORD_…`), by HTTP where that is a URL, or that runs over this data directory; else `Unavailable`."""
    settings = settings or Settings()
    places = settings.places(data)
    if settings.url:
        async with by_http(settings, places) as bus:
            yield bus
        return
    bootstrap = settings.broker or places.running()["kafka"]
    async with client(settings, places, bootstrap) as bus:
        yield bus
