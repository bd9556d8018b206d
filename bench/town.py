"""A whole bus for a bench: broker, ledger, sandbox, worker and connector in their processes, and people who have agreed."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from signal import SIGKILL
from subprocess import Popen

from bench.report import Say
from bench.watch import Ended, last_line
from connectors.core.cases import QUOTIENT_FAMILIAL as CASES
from connectors.sandbox import FAMILIES, load_cases
from exchange.adapters.kafka import KafkaReader
from exchange.cli.story import read_case
from exchange.clock import SystemClock
from exchange.core import topics
from exchange.core.identity import Identity
from exchange.data_sets import QUOTIENT_FAMILIAL
from exchange.embedded import process
from exchange.embedded.choose import EMBEDDED, beside, open_kafka
from exchange.embedded.jars import Progress
from exchange.introduction import PURPOSES, give, introduce, open_wallet
from exchange.local import LocalBus, client
from exchange.outcomes import Answer
from exchange.places import ROLES, Places, RoleFailed
from exchange.sdk import Bus, Request
from exchange.settings import Settings

DATA_SET, PURPOSE, PROVIDER = QUOTIENT_FAMILIAL.name, PURPOSES[0], QUOTIENT_FAMILIAL.provider
CASE, VALUE = "01-couple-deux-enfants", 742
"""Whose family everybody is, and its quotient."""
MONTHS = tuple((str(year), str(month)) for year in (2024, 2025) for month in range(1, 13) if (year, month) != (2025, 3))
"""Months the sandbox answers alike. Person and month together make a call of its own: the State refuses two like ones at once."""


def person(number: int) -> Identity:
    """One of many: the usage name tells them apart, and designates nobody more precisely for the sandbox."""
    return replace(_somebody(), nom_usage=usage_name(number))


@cache
def _somebody() -> Identity:
    (case,) = (case for case in load_cases(FAMILIES / CASES) if case.name == CASE)
    return read_case(case)[0]


def usage_name(number: int) -> str:
    return f"ESSAI-{number}"


def parameters(turn: int) -> dict[str, str]:
    """What selects the `turn`-th month."""
    year, month = MONTHS[turn % len(MONTHS)]
    return {"annee": year, "mois": month}


@dataclass
class Town:
    """A bus with its SDK, and one agreement a person."""

    bus: LocalBus
    sdk: Bus
    agreements: Sequence[bytes]
    apart: tuple[str, ...]

    async def start_agents(self) -> None:
        """Until they work."""
        self.bus.start_worker("worker", tuple(role for role in ROLES if role not in self.apart))
        for role in self.apart:
            self.bus.start_worker(role, (role,))
        self.bus.start_connector(PROVIDER)
        await self.bus.ready(*self.agents)

    def stop_agents(self) -> None:
        """So that other contenders have the machine."""
        for name in self.agents:
            self.bus.stop(name)

    @property
    def agents(self) -> list[str]:
        return ["worker", *self.apart, f"connector-{PROVIDER}"]

    async def ask(self, number: int, turn: int) -> Request:
        """What the `number`-th person's quotient was in the `turn`-th month."""
        agreement = self.agreements[number]
        return await self.sdk.request(DATA_SET, consent=agreement, purpose=PURPOSE, parameters=parameters(turn))

    async def record_bytes(self, topic: str) -> int:
        """Mean size of the records of a topic: key, value and headers."""
        async with KafkaReader(self.bus.bootstrap, topic) as reader:
            sizes = [
                len(record.key or b"") + len(record.value or b"") + sum(len(n) + len(v) for n, v in record.headers)
                async for chunk in reader.to_end() for record in chunk
            ]  # fmt: skip
        return sum(sizes) // len(sizes)

    async def hops(self) -> dict[str, int]:
        """The topics an exchange crosses, and how large its records there are."""
        operator = self.sdk.wallet.operator
        crossed = (
            topics.requests(operator),
            topics.tasks(PROVIDER),
            topics.answers(PROVIDER),
            topics.outcomes(operator),
        )
        return {topic: await self.record_bytes(topic) for topic in crossed}


def is_right(answer: Answer) -> bool:
    """Whether it is the one everybody gets."""
    return answer.status == "found" and answer.data is not None and answer.data["quotient_familial"]["valeur"] == VALUE


@asynccontextmanager
async def town(
    people: int, apart: tuple[str, ...], say: Say, progress: Progress | None, sandbox: Sequence[str] = ()
) -> AsyncIterator[Town]:
    """In a folder of its own; nothing is left. Its agents are not started yet. `sandbox`: the command that serves the State API instead
    of `accord sandbox`, followed by the data directory. Raises `Ended`."""
    with tempfile.TemporaryDirectory(prefix="accord-bench-") as folder:
        say("préparation du bus", "preparing the bus")
        try:
            async with _opened(Path(folder), apart, progress, sandbox) as opened:
                say(f"{people:,} accords", f"{people:,} agreements")
                opened.agreements = await _agreed(opened, people)
                yield opened
        except RoleFailed as error:
            raise Ended(f"{error.name}: {last_line(error.log)}") from None


async def _agreed(opened: Town, people: int) -> list[bytes]:
    now_ms = SystemClock().now_ms()
    ledger, wallet = opened.bus.ledger, opened.sdk.wallet
    return [await give(ledger, wallet, person(number), now_ms, max_uses=1 << 40) for number in range(people)]


@asynccontextmanager
async def _opened(
    folder: Path, apart: tuple[str, ...], progress: Progress | None, sandbox: Sequence[str]
) -> AsyncIterator[Town]:
    settings, places = Settings(data=folder, kafka=EMBEDDED, traces=False), Places(folder)
    bus = LocalBus(settings, places)
    async with AsyncExitStack() as stack:
        bus.bootstrap = await stack.enter_async_context(
            beside(open_kafka(EMBEDDED, places.broker, progress, train=False, light=True))  # as `accord dev` has it
        )
        stack.push_async_callback(bus.close)
        bus.start_ledger()
        bus.start_sandbox()
        if sandbox:
            bus.stop("sandbox")
            bus.children["sandbox"] = started([*sandbox, str(folder)], places.log("sandbox"))
        await bus.make_topics()
        places.announce(places.broker_ready, kafka=bus.bootstrap)
        await bus.ready("ledger", "sandbox")
        await introduce(bus.ledger, places, open_wallet(places, settings))
        sdk = await stack.enter_async_context(client(settings, places, bus.bootstrap))
        yield Town(bus, sdk, (), apart)


def started(argv: Sequence[str], log: Path) -> Popen[bytes]:
    """A process that does not outlive us."""
    return process.spawn(argv, cwd=Path.cwd(), output=log, death_signal=SIGKILL)
