"""Webhooks received: by the bus in memory as far as the gate, and over real sockets as far as the ledger."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from consent.client import connect, hang_up
from consent.core.facts import Habilitation
from consent.service import Service
from exchange.core import topics
from exchange.core.datapass.events import BODY_MAX_BYTES
from exchange.core.errors import Code
from exchange.datapass.desk import Desk
from exchange.datapass.memory import Memory
from exchange.datapass.server import Receiver, serve
from exchange.introduction import terms
from exchange.outcomes import ExchangeError
from exchange.ports import BadStore, Refused, Unavailable
from exchange.testing import MemoryBus
from tests.datapass.calls import (
    ALL,
    CANTEEN,
    LEGAL,
    OTHER,
    QF,
    RECIPIENT,
    RULES,
    SCOPES,
    SECRET,
    authorization,
    body_of,
    event,
    headers_of,
)
from tests.world import JEANNE, ScriptedApi, World, log_size

BIND_S = 5.0
T_S = 1_700_000_000


class Office:
    """A desk with its receiver, and DataPass's side of it."""

    def __init__(self, ledger: Any, clock: Any, memory: Memory | None = None) -> None:
        self.memory = memory or Memory(None)
        self.desk = Desk(ledger, self.memory, RULES, SCOPES, clock)
        self.receiver = Receiver(self.desk, (SECRET,))
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(self.receiver.app()), base_url="http://receiver")

    async def post(self, payload: Any, **headers: Any) -> httpx.Response:
        body = payload if isinstance(payload, bytes) else body_of(payload)
        return await self.http.post("/", content=body, headers=headers_of(body, **headers))

    async def acts(self, payload: Any) -> list[str]:
        answer = await self.post(payload)
        assert answer.status_code == 200, answer.text
        found: list[str] = answer.json()["acts"]
        return found


@pytest.fixture
async def world() -> World:
    return await World.open()


@pytest.fixture
def office(world: World) -> Office:
    return Office(world.ledger, world.clock)


async def held(world: World, recipient: str = RECIPIENT, purpose: str = CANTEEN) -> Habilitation | None:
    found = await world.ledger.habilitations()
    return next((h for h in found if (h.recipient, h.data_set, h.purpose) == (recipient, QF, purpose)), None)


async def scopes_held(world: World, recipient: str = RECIPIENT) -> list[str]:
    found = await held(world, recipient)
    return list(found.scopes) if found else []


# As far as the gate


async def asked(bus: MemoryBus, agreement: bytes, *scopes: str) -> str:
    """How a request under this agreement ends: `answered`, or why not."""
    request = await bus.sdk.request(QF, consent=agreement, purpose=CANTEEN, scopes=list(scopes) or None)
    try:
        await request.answer()
    except ExchangeError as error:
        return error.code
    return "answered"


async def test_a_revocation_binds_at_the_gate_within_five_seconds() -> None:
    """Five seconds of the bus's clock after DataPass says `revoke`, requests are refused by the gate, without a task for the connector, and the
    agreements that rested on the habilitation have no key left."""
    async with MemoryBus(ScriptedApi()) as bus:
        office, agreement = Office(bus.ledger, bus.clock), await bus.give(JEANNE)
        assert await asked(bus, agreement) == "answered"
        tasks = len(bus.broker.records(topics.tasks("cnaf")))
        assert await office.acts(event("revoke", T_S, authorization("revoked"), state="revoked")) == ["revoked"]
        await bus.clock.sleep(BIND_S)
        assert await asked(bus, agreement) == Code.HABILITATION_ABSENT
        assert len(bus.broker.records(topics.tasks("cnaf"))) == tasks
        assert not await bus.ledger.has_key(agreement)


async def test_an_approval_binds_at_the_gate_within_five_seconds() -> None:
    """A collectivity that could not ask may five seconds after DataPass says `approve`: for what it says, and no other scope."""
    async with MemoryBus(ScriptedApi()) as bus:
        office = Office(bus.ledger, bus.clock)
        await office.acts(event("revoke", T_S, authorization("revoked"), state="revoked"))
        with pytest.raises(Refused, match=Code.HABILITATION_ABSENT):
            await bus.give(JEANNE)
        assert await office.acts(event("approve", T_S + 1, authorization(scopes=["cnaf_quotient_familial"]))) == [
            "approved"
        ]
        await bus.clock.sleep(BIND_S)
        agreement = await bus.give(JEANNE, scopes=("cnaf_quotient_familial",))
        assert await asked(bus, agreement, "cnaf_quotient_familial") == "answered"
        with pytest.raises(Refused, match=Code.HABILITATION_ABSENT):
            await bus.give(JEANNE, scopes=("cnaf_adresse",))


async def test_fewer_scopes_bind_at_the_gate() -> None:
    """An approval with fewer scopes refuses the rest under agreements already given, which stay."""
    async with MemoryBus(ScriptedApi()) as bus:
        office, agreement = Office(bus.ledger, bus.clock), await bus.give(JEANNE)
        assert await office.acts(event("approve", T_S, authorization(scopes=["cnaf_enfants"]))) == ["changed"]
        await bus.clock.sleep(BIND_S)
        assert await asked(bus, agreement) == Code.HABILITATION_ABSENT
        assert await bus.ledger.has_key(agreement)


# What is written


async def test_a_transfer_moves_the_right(world: World, office: Office) -> None:
    """The new organisation gets it, the old one loses it and what rested on it."""
    await office.acts(event("approve", T_S, authorization()))
    agreement = await world.give()
    assert await office.acts(event("transfer", T_S + 1, authorization(), siret=OTHER)) == ["revoked", "approved"]
    assert await scopes_held(world) == [] and await scopes_held(world, OTHER) == ALL
    assert not await world.ledger.has_key(agreement)


async def test_one_of_two_demandes_is_revoked(world: World, office: Office) -> None:
    """What the other gives stays."""
    await office.acts(event("approve", T_S, authorization(scopes=["cnaf_enfants"]), demande=1))
    await office.acts(event("approve", T_S, authorization(scopes=["cnaf_enfants", "cnaf_adresse"]), demande=2))
    assert await scopes_held(world) == ["cnaf_adresse", "cnaf_enfants"]
    await office.acts(event("revoke", T_S + 1, authorization("revoked"), demande=2, state="revoked"))
    assert await scopes_held(world) == ["cnaf_enfants"]


async def test_replays_write_nothing(world: World, office: Office) -> None:
    """A call heard before, by us or by the process before us, adds no leaf; nor does one that says what the ledger holds."""
    approval = event("approve", T_S, authorization(scopes=["cnaf_enfants"]))
    assert await office.acts(approval) == ["changed"]
    size = await log_size(world)
    assert await office.acts(approval) == []
    assert await Office(world.ledger, world.clock).acts(approval) == []
    assert await office.acts(event("update", T_S + 5, authorization(scopes=["cnaf_enfants"]))) == []
    assert await log_size(world) == size


async def test_what_comes_late_changes_nothing(world: World, office: Office, tmp_path: Path) -> None:
    """An approval fired before a revocation and heard after it stays without effect, also after a restart; of one second, the revocation
    stands."""
    memory = Memory(tmp_path / "m.db")
    first = Office(world.ledger, world.clock, memory)
    await first.acts(event("revoke", T_S + 9, authorization("revoked"), state="revoked"))
    memory.close()
    again = Office(world.ledger, world.clock, Memory(tmp_path / "m.db"))
    for at_s in (T_S, T_S + 9):
        assert await again.acts(event("approve", at_s, authorization())) == []
    assert await scopes_held(world) == []
    assert await again.acts(event("approve", T_S + 10, authorization())) == ["approved"]


async def test_other_definitions_and_people_stay_out(world: World, office: Office, tmp_path: Path) -> None:
    """A definition the mapping does not open writes nothing; nothing of the applicant is kept."""
    memory = Memory(tmp_path / "m.db")
    assert (
        await Office(world.ledger, world.clock, memory).acts(
            event("approve", T_S, authorization(definition_id="api_entreprise"))
        )
        == []
    )
    assert await office.acts(event("create", T_S)) == []
    memory.close()
    assert b"jean" not in (tmp_path / "m.db").read_bytes().lower()


async def test_a_test_call_is_answered(office: Office) -> None:
    """DataPass makes one when the webhook is made: 200, and nothing is written."""
    answer = await office.post({"test": True, "timestamp": "2024-01-15T10:30:00+01:00"})
    assert (answer.status_code, answer.json()) == (200, {"outcome": "test", "acts": []})


async def test_what_is_not_datapass_is_refused(world: World, office: Office) -> None:
    """Another secret, no signature, another environment, other words, too much: refused with the field's name, nothing written."""
    size, good = await log_size(world), event("revoke", T_S, authorization("revoked"))
    answers = [
        await office.post(good, secret=b"another-secret-of-mine"), await office.http.post("/", content=body_of(good)),
        await office.post(good, environment="sandbox"), await office.post(b"not json"), await office.post(b" " * (BODY_MAX_BYTES + 1)),
        await office.http.get("/"),
    ]  # fmt: skip
    assert [answer.status_code for answer in answers] == [401, 401, 403, 422, 413, 405]
    assert all(answer.json()["error"] == Code.BAD_WEBHOOK for answer in answers[:5])
    assert answers[2].json()["field"] == "x-app-environment" and JEANNE.nom_naissance not in answers[0].text
    assert await log_size(world) == size


class Failing:
    """A ledger that answers `Unavailable` the first times something is written, before or after writing it."""

    def __init__(self, ledger: Any, times: int, *, after: bool) -> None:
        self._ledger, self._times, self._after = ledger, times, after

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)

    async def habilitate(self, *arguments: Any) -> None:
        self._times -= 1
        if self._times < 0 or self._after:
            await self._ledger.habilitate(*arguments)
        if self._times >= 0:
            raise Unavailable("as told")


@pytest.mark.parametrize("after", [False, True])
async def test_a_ledger_that_does_not_answer_is_told_again(world: World, after: bool) -> None:
    """503 while it does not; told again, as DataPass does, it holds the same as if it had answered at once, with no leaf too many."""
    office = Office(Failing(world.ledger, 2, after=after), world.clock)
    size, call = await log_size(world), event("transfer", T_S, authorization(), siret=OTHER)
    answers = [(await office.post(call)).status_code for _ in range(4)]
    assert answers.count(503) == (1 if after else 2) and answers[-1] == 200
    assert await scopes_held(world, OTHER) == ALL
    assert await log_size(world) == size + 1


async def test_a_memory_that_is_none(tmp_path: Path) -> None:
    """A file that is no database is said at once; one that fails later is `Unavailable`."""
    (tmp_path / "m.db").write_bytes(b"not a database" * 100)
    with pytest.raises(BadStore):
        Memory(tmp_path / "m.db")
    memory = Memory(None)
    memory.close()
    with pytest.raises(Unavailable):
        memory.known(["1"])


# Over real sockets


@asynccontextmanager
async def served(world: World, folder: Path) -> AsyncIterator[str]:
    """The receiver on TCP, the ledger behind its Unix socket; its URL."""
    service, ledger = Service(world.ledger, folder / "ledger.sock"), connect(folder / "ledger.sock")
    await service.start()
    told: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    desk = Desk(ledger, Memory(folder / "demandes.db"), RULES, SCOPES, world.clock)

    async def nothing() -> None: ...

    task = asyncio.create_task(serve(Receiver(desk, (SECRET,), body_s=0.5), "127.0.0.1", 0, told.set_result, nothing))
    try:
        yield await told
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await hang_up(ledger)
        await service.stop()


async def test_over_real_sockets(world: World, tmp_path: Path) -> None:
    """Approve, revoke and replay over HTTP: the ledger's process holds what they say by the time they are answered."""
    async with served(world, tmp_path) as url, httpx.AsyncClient() as http:
        agreement = await world.give()

        async def post(payload: Any) -> list[str]:
            body = body_of(payload)
            answer = await http.post(url, content=body, headers=headers_of(body))
            assert answer.status_code == 200, answer.text
            return list(answer.json()["acts"])

        revocation = event("revoke", T_S + 1, authorization("revoked"), state="revoked")
        assert await post(revocation) == ["revoked"]
        (found,) = await world.ledger.lookup([agreement])
        assert found is not None and (found.state, found.habilitated) == ("invalidated", ())
        assert await post(event("approve", T_S + 2, authorization())) == ["approved"]
        assert await scopes_held(world) == ALL
        assert await post(revocation) == []
        assert await scopes_held(world) == ALL
        assert (await held(world)) == Habilitation(
            RECIPIENT, QF, CANTEEN, tuple(ALL), "CRPA L114-8", world.clock.now_ms() + RULES.validity_days * 86_400_000
        )


def exchanged(url: str, *parts: bytes) -> bytes:
    """What comes back for raw bytes."""
    host, port = httpx.URL(url).host, httpx.URL(url).port
    with socket.create_connection((host, port or 80), timeout=20) as sock:
        for part in parts:
            sock.sendall(part)
        found = b""
        while chunk := sock.recv(65_536):
            found += chunk
            if b"\r\n\r\n" in found:
                break
        return found


async def test_hostile_bytes_over_a_real_socket(world: World, tmp_path: Path) -> None:
    """A body without end, one that never comes, and bytes that are no HTTP are refused; the next call is heard."""
    head = b"POST / HTTP/1.1\r\nHost: x\r\n"
    chunks = [b"10000\r\n" + b"x" * 65_536 + b"\r\n"] * (BODY_MAX_BYTES // 65_536 + 1)
    tries: Sequence[tuple[tuple[bytes, ...], bytes]] = [
        ((head + b"Transfer-Encoding: chunked\r\n\r\n", *chunks), b" 413 "), ((head + b"Content-Length: 10\r\n\r\n", b"1"), b" 408 "),
        ((b"\x16\x03\x01\x00\r\n\r\n",), b" 400 "),
    ]  # fmt: skip
    async with served(world, tmp_path) as url, httpx.AsyncClient() as http:
        for parts, status in tries:
            assert status in (await asyncio.to_thread(exchanged, url, *parts)).split(b"\r\n")[0]
        body = body_of({"test": True, "timestamp": "2026-01-01T00:00:00Z"})
        assert (await http.post(url, content=body, headers=headers_of(body))).status_code == 200


async def test_the_legal_basis_serves_grants_on_it(world: World, office: Office) -> None:
    """A legal basis in DataPass's long words is cited as the mapping says: an exchange on that basis finds it."""
    await world.ledger.habilitate(RECIPIENT, QF, CANTEEN, tuple(ALL), "autre", 2**52)
    assert await office.acts(event("approve", T_S, authorization())) == ["changed"]
    agreed = terms(RECIPIENT, world.clock.now_ms())
    found = await held(world)
    assert found is not None and found.legal_reference == "CRPA L114-8" != LEGAL and agreed.purpose == CANTEEN
