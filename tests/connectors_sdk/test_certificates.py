"""The certificate a task relies upon: its own, one kept, or the ledger's, and why there is none."""

from __future__ import annotations

import pytest

from connectors.sdk.certificates import KEPT, Certificates, Relied, borne
from connectors.sdk.task import bearing
from consent.certificates import certificate_hash
from consent.core.facts import Authorisation
from exchange import wire
from exchange.core.errors import Code
from exchange.core.frame import prefix
from exchange.schemas import Name, catalogue
from exchange.testing import VirtualClock
from tests.world import World

TASK = {
    "request_id": b"r" * 16, "authorisation_id": b"a" * 16, "operator": b"211300553", "deadline_ms": bytes(8), "ask": b"ask",
    "identity": b"identity",
}  # fmt: skip


def naming(authorisation: bytes, hashed: bytes) -> dict[str, bytes]:
    """A task as the gate writes it."""
    return TASK | {"authorisation_id": authorisation, "certificate_hash": hashed, "certificate": b""}


def signed_of(world: World, authorisation: bytes) -> bytes:
    capsule = world.wallet.capsule(authorisation)
    assert capsule is not None
    return capsule.certificate


class Counted:
    """A ledger that says how often it was read, and of how many."""

    def __init__(self, world: World) -> None:
        self._ledger, self.read = world.ledger, list[int]()

    async def lookup(self, authorisations: list[bytes]) -> list[Authorisation | None]:
        self.read.append(len(authorisations))
        return await self._ledger.lookup(authorisations)


async def test_a_chunk_reads_the_ledger_once_and_then_no_more() -> None:
    """Whoever hands it over, it is the certificate of that hash."""
    world = await World.open()
    given = [await world.give() for _ in range(3)]
    signed = {each: signed_of(world, each) for each in given}
    ledger = Counted(world)
    certificates = Certificates(ledger, VirtualClock())  # type: ignore[arg-type]  # it reads, and no more
    tasks = [naming(each, certificate_hash(signed[each])) for each in given for _ in range(2)]
    for _ in range(2):
        found = await certificates.of(tasks)
        assert [borne(task, found) for task in tasks] == [signed[task["authorisation_id"]] for task in tasks]
    assert ledger.read == [3]


async def test_why_there_is_none_is_what_the_ledger_says_now() -> None:
    """Another than the one in force: outdated; of an agreement that is over: why it is; of none: unknown. Another's: outdated too."""
    world = await World.open()
    live, over = await world.give(), await world.give()
    other = certificate_hash(signed_of(world, over))
    await world.ledger.withdraw(over, "withdrawn")
    tasks = [naming(live, b"h" * 32), naming(over, b"h" * 32), naming(b"n" * 16, b"h" * 32), naming(live, other)]
    found = await Certificates(world.ledger, VirtualClock()).of(tasks)
    assert [borne(task, found) for task in tasks] == [
        Code.CERTIFICATE_OUTDATED, Code.WITHDRAWN, Code.AUTHORISATION_UNKNOWN, Code.CERTIFICATE_OUTDATED,
    ]  # fmt: skip


async def test_no_more_are_kept_than_that() -> None:
    """The memory of a connector has a bound."""
    world, clock = await World.open(), VirtualClock()
    consent = await world.give()
    kept = Certificates(world.ledger, clock)
    task = naming(consent, certificate_hash(signed_of(world, consent)))
    await kept.of([task])
    for number in range(KEPT + 5):
        kept._kept[Relied(number.to_bytes(16, "big"), b"")] = b""
    await kept.of([task])
    assert len(kept._kept) == KEPT and Relied(consent, task["certificate_hash"]) in kept._kept


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        (TASK | bearing(b"signed"), b"signed"),
        (TASK | {"certificate_hash": bytes(32), "certificate": b"signed"}, b"signed"),
        (TASK | {"certificate_hash": b"h" * 32, "certificate": b"signed"}, Code.CERTIFICATE_INVALID),
    ],
)
async def test_a_task_that_bears_its_certificate_needs_no_ledger(
    task: dict[str, bytes], expected: bytes | Code
) -> None:
    """As those of version 1 do, and those in a watch: a hash beside it must be its own."""
    assert borne(task, {}) == expected


def test_a_task_of_version_1_is_still_read() -> None:
    """What an older gate wrote before an upgrade is no dead letter."""
    first = catalogue().codecs[Name("exchange-task", 1)]
    value = prefix(catalogue().registry[Name("exchange-task", 1)].id) + first.encode(TASK | {"certificate": b"signed"})
    assert wire.read("exchange-task", value) == TASK | {"certificate_hash": bytes(32), "certificate": b"signed"}
