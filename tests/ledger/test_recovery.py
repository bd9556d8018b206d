"""Recovering: an old backup, restored, serves nobody until it knows what it forgot (protocol §8, row 20)."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from consent import publish
from consent.client import connect, hang_up
from consent.core import merkle, note, tiles
from consent.core.facts import Acknowledgement, Evidence, State, Submission, Verdict
from consent.core.lost import Recovered, reread
from consent.core.rules import CLOSED, Happening, replay
from consent.core.tiles import Tree
from consent.service import Service
from consent.stores import tables as t
from consent.witness import client as witnesses
from consent.witness.client import Place
from exchange.core.errors import Code
from exchange.core.identity import canonical
from exchange.introduction import PURPOSES, introduce_collectivity, terms
from exchange.ports import Recovering, Refused, Unavailable
from exchange.schemas import catalogue
from tests.backups import anchored, backup, public, recovered, restore
from tests.logs import fetched_log, files, grow, served
from tests.witnessing import a_witness, http_to
from tests.world import JEANNE, OPERATOR, PAUL, RECIPIENT, World, codes, held

NARROW = ("cnaf_enfants",)
PAPER = Evidence("counter", "agent-7", bytes(32))


async def restored(world: World, folder: Path, since: Callable[[], Awaitable[None]]) -> None:
    """What an old backup is: all that happened `since` is published, and gone."""
    await world.ledger.checkpoint()
    saved = backup(world)
    await since()
    await public(world, folder).step()
    restore(world, saved)


async def test_a_store_older_than_its_log_answers_nothing(world: World, tmp_path: Path) -> None:
    """Neither the gate nor a connector nor release nor an operator gets an answer, and nothing is written; proofs of what is there
    are still given."""
    authorisation = await world.give()
    asked, answer = await world.answered(authorisation)
    await restored(world, tmp_path, lambda: _grown(world, 3))
    await anchored(world, tmp_path)
    ledger, now_ms, before = world.ledger, world.clock.now_ms(), backup(world)
    verdict = Verdict(asked.key, asked.digest, now_ms, "expired", Code.DEADLINE_PASSED)
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: ledger.lookup([authorisation]),
        lambda: ledger.attempt([asked.attempt]),
        lambda: ledger.release([answer], []),
        lambda: ledger.release([verdict], []),
        lambda: ledger.unconfirmed([Submission(asked.key, asked.digest)]),
        lambda: ledger.events(0, 10),
        ledger.directory,
        lambda: ledger.grant(bytes(16), terms(RECIPIENT, now_ms), canonical(PAUL), PAPER, OPERATOR),
        lambda: ledger.request(bytes(16), terms(RECIPIENT, now_ms), PAPER, OPERATOR),
        lambda: ledger.refuse(bytes(16), terms(RECIPIENT, now_ms), PAPER),
        lambda: ledger.renew(authorisation, terms(RECIPIENT, now_ms), PAPER, OPERATOR),
        lambda: ledger.rebind(authorisation, canonical(JEANNE), PAPER, OPERATOR),
        lambda: ledger.narrow(authorisation, NARROW, OPERATOR),
        lambda: ledger.capsule(authorisation, OPERATOR),
        lambda: ledger.habilitate(RECIPIENT, "cnaf.quotient-familial.v1", PURPOSES[0], (), "", now_ms),
        lambda: ledger.delegate(RECIPIENT, OPERATOR, now_ms),
        lambda: ledger.enter(world.wallet.entry(now_ms + 1_000)),
        ledger.sweep,
        ledger.rotate,
    ]
    for call in calls:
        with pytest.raises(Recovering):
            await call()
    with pytest.raises(Unavailable):
        await ledger.checkpoint()
    assert backup(world) == before
    assert await ledger.missing() == 3
    assert [entry.kind for entry in await ledger.entries(authorisation)] == ["given"]


async def _grown(world: World, count: int) -> None:
    grow(world, count)


async def test_it_recovers_from_what_it_published_before_it_serves(world: World, tmp_path: Path) -> None:
    """At the start: the leaves are back byte for byte in their places, the head signed next follows from every one published, and
    who follows the log from outside sees one history."""
    await world.give()
    await restored(world, tmp_path, lambda: _given(world, 3))
    text = publish.published(tmp_path)
    assert text is not None
    before, after = publish.head(text), await world.ledger.checkpoint()
    assert publish.head(after).size < before.size
    log = public(world, tmp_path)
    await log.start()
    assert await world.ledger.verify() == [] and await world.ledger.missing() == 0
    tree = Tree(before.size, world.ledger.source().hashes)
    assert tree.root() == before.root
    await introduce_collectivity(world.ledger, world.wallet, world.clock.now_ms())
    await world.give(PAUL)
    await log.step()
    head = publish.head(await world.ledger.checkpoint())
    path = Tree(head.size, world.ledger.source().hashes).consistency(before.size)
    merkle.verify_consistency(before.size, head.size, path, before.root, head.root)
    with served(tmp_path) as url:
        entries = fetched_log(url, world.keys.origin, world.keys.verifier.public_key)
    with world.engine.begin() as connection:
        rows = connection.execute(select(t.leaf).order_by(t.leaf.c.idx)).all()
    assert entries == [row.leaf for row in rows]
    assert [row.kind for row in rows[before.size - 3 :]][:4] == ["given", "given", "given", "recovered"]


async def _given(world: World, count: int) -> None:
    for _ in range(count):
        await world.give()


CLOSINGS = {
    Happening.WITHDRAWN: State.WITHDRAWN,
    Happening.OPPOSED: State.OPPOSED,
    Happening.ERASED: State.ERASED,
    Happening.INVALIDATED: State.INVALIDATED,
    Happening.ENDED: State.ENDED,
}


@pytest.mark.parametrize("happening", CLOSINGS)
async def test_what_was_closed_since_is_closed_again(world: World, tmp_path: Path, happening: Happening) -> None:
    """State, keys and person as they were; an answer of before the backup does not open; asking again gets an acknowledgement of the
    same leaf."""
    authorisation = await world.give()
    _, answer = await world.answered(authorisation)
    told: list[Acknowledgement] = []

    async def since() -> None:
        told.append(await world.ledger.withdraw(authorisation, happening))

    await restored(world, tmp_path, since)
    assert await world.ledger.has_key(authorisation)
    await recovered(world, tmp_path)
    assert (await held(world, authorisation)).state is CLOSINGS[happening]
    assert not await world.ledger.has_key(authorisation)
    assert codes(await world.release(answer)) != ["released"]
    again = await world.ledger.withdraw(authorisation, happening)
    assert (again.leaf_index, again.leaf_hash, again.state) == (told[0].leaf_index, told[0].leaf_hash, told[0].state)
    note.verify(again.note, world.keys.verifier)
    assert await world.ledger.verify() == []
    with world.engine.begin() as connection:
        row = connection.execute(select(t.authorisation)).one()
        keys = connection.execute(select(t.content_key)).all()
    assert (not row.person and not row.subject_ref and not keys) == (happening is Happening.ERASED)


async def test_an_erased_person_is_gone_from_the_files_before_anybody_is_served(tmp_path: Path) -> None:
    """The old backup's copy of the wrapped keys is in no byte of the store once it has caught up."""
    world = await World.open(tmp_path / "ledger.sqlite")
    authorisation = await world.give()
    with world.engine.begin() as connection:
        wrapped = [
            bytes(row.wrapped)
            for table in (t.content_key, t.release_key)
            for row in connection.execute(select(table.c.wrapped))
        ]

    async def since() -> None:
        await world.ledger.withdraw(authorisation, Happening.ERASED)

    await restored(world, tmp_path / "log", since)
    await recovered(world, tmp_path / "log")
    stored = b"".join(content for name, content in files(tmp_path).items() if name.startswith("ledger.sqlite"))
    assert stored and not any(secret in stored for secret in wrapped)
    world.engine.dispose()


async def test_time_and_uses_are_back(world: World, tmp_path: Path) -> None:
    """Expired and used up: closed by the leaf; what was released is counted, live agreements have another key and go on."""
    spent, expiring, going_on = await world.give(max_uses=1), await world.give(), await world.give(max_uses=3)
    late = await world.give(not_after_ms=world.clock.now_ms() + 1_000)

    async def since() -> None:
        for authorisation in (spent, going_on, going_on):
            _, answer = await world.answered(authorisation)
            await world.confirm(await world.told(answer))
        world.clock.advance(2_000)
        await world.ledger.sweep()

    await restored(world, tmp_path, since)
    found = await recovered(world, tmp_path)
    assert found.rekeyed == 1 and found.missing == 0
    assert {(await held(world, a)).state for a in (expiring, going_on)} == {State.LIVE}
    assert (await held(world, late)).state is State.EXPIRED
    assert ((await held(world, spent)).state, (await held(world, spent)).uses) == (State.USED_UP, 1)
    assert (await held(world, going_on)).uses == 2
    assert await world.ledger.verify() == []
    world.wallet.keep(going_on, (await world.ledger.capsule(going_on, OPERATOR)).capsule)
    _, answer = await world.answered(going_on)
    assert codes(await world.release(answer)) == ["released"]
    assert (await held(world, going_on)).state is State.USED_UP


async def test_what_was_released_since_is_not_released_again(world: World, tmp_path: Path) -> None:
    """The answer met again, after its request was registered before the backup or after it: no key leaves the ledger."""
    authorisation = await world.give()
    before, answer = await world.answered(authorisation)
    after = world.ask(authorisation)

    async def since() -> None:
        assert codes(await world.release(answer)) == ["released"]
        await world.attempt(after)
        assert codes(await world.release(world.answer(after))) == ["released"]

    await restored(world, tmp_path, since)
    await recovered(world, tmp_path)
    again = await world.release(answer, world.answer(before), world.answer(after))
    assert codes(again)[0] == "refused" and codes(again)[2] == "dead:no_attempt"
    assert (await world.attempt(after)).reason == Code.CERTIFICATE_OUTDATED
    assert (await held(world, authorisation)).uses == 2


LOST_TERMS: dict[str, Callable[[World, bytes], Awaitable[object]]] = {
    "narrowed": lambda w, a: w.ledger.narrow(a, NARROW, OPERATOR),
    "renewed": lambda w, a: w.ledger.renew(a, terms(RECIPIENT, w.clock.now_ms()), PAPER, OPERATOR),
    "rebound": lambda w, a: w.ledger.rebind(a, canonical(PAUL), PAPER, OPERATOR),
}


@pytest.mark.parametrize("kind", LOST_TERMS)
async def test_terms_nobody_knows_any_more_open_nothing(world: World, tmp_path: Path, kind: str) -> None:
    """Narrowed, renewed or rebound since: invalidated, by a leaf that says so, and no key is left."""
    authorisation = await world.give()
    _, answer = await world.answered(authorisation)

    async def since() -> None:
        await LOST_TERMS[kind](world, authorisation)

    await restored(world, tmp_path, since)
    assert (await recovered(world, tmp_path)).invalidated == 1
    assert (await held(world, authorisation)).state is State.INVALIDATED
    assert not await world.ledger.has_key(authorisation)
    assert codes(await world.release(answer)) == ["refused"]
    assert [entry.kind for entry in await world.ledger.entries(authorisation)][:3] == ["given", kind, "invalidated"]
    assert await world.ledger.verify() == []


async def test_an_agreement_given_since_is_unknown_until_it_is_named(world: World, tmp_path: Path) -> None:
    """No request under it is answered; its person can still withdraw it, and nobody can give it anew under its id."""
    given: list[bytes] = []

    async def since() -> None:
        given.extend([await world.give(), await world.give(PAUL), await world.give()])
        await world.ledger.withdraw(given[2], "withdrawn")

    await restored(world, tmp_path, since)
    await recovered(world, tmp_path)
    assert await world.ledger.lookup(given) == [None, None, None]
    first = await world.ledger.withdraw(given[0], "withdrawn")
    assert first.state is State.WITHDRAWN and await world.ledger.withdraw(given[0], "withdrawn") == first
    now_ms = world.clock.now_ms()
    await introduce_collectivity(world.ledger, world.wallet, now_ms)
    for authorisation in given:
        with pytest.raises(Refused, match=Code.CONFLICT):
            await world.ledger.grant(authorisation, terms(RECIPIENT, now_ms), canonical(PAUL), PAPER, OPERATOR)
    last = await world.ledger.withdraw(given[2], "withdrawn")
    assert (await world.ledger.proof(last.leaf_index))[0] in set(_leaves(tmp_path))
    assert await world.ledger.verify() == []
    with pytest.raises(Refused, match=Code.AUTHORISATION_UNKNOWN):
        await world.ledger.withdraw(b"never given, ev.", "withdrawn")


def _leaves(folder: Path) -> list[bytes]:
    text = publish.published(folder)
    assert text is not None
    source = publish.Files(folder)
    return [e for tile in tiles.tiles(publish.head(text).size) if not tile.level for e in source.entries(tile)]


async def test_a_withdrawal_is_binding_while_the_ledger_recovers(world: World, tmp_path: Path) -> None:
    """Its key is destroyed at once and it says that it is recorded; once the log is back it has its leaf, and its acknowledgement is
    the same each time it is asked for. An erasure is the last word."""
    withdrawn, erased, closed, new = await world.give(), await world.give(PAUL), await world.give(), list[bytes]()
    ended = await world.ledger.withdraw(closed, "ended")

    async def since() -> None:
        new.append(await world.give())

    await restored(world, tmp_path, since)
    await anchored(world, tmp_path)
    for authorisation, words in ((withdrawn, ("withdrawn", "opposed")), (erased, ("withdrawn", "erased", "withdrawn")), (new[0], ("withdrawn",))):  # fmt: skip
        for word in words:
            with pytest.raises(Recovering) as told:
                await world.ledger.withdraw(authorisation, word)
            assert told.value.recorded
        assert not await world.ledger.has_key(authorisation)
    assert await world.ledger.withdraw(closed, "withdrawn") == ended
    world.restart()
    assert (await recovered(world, tmp_path)).applied == 3
    assert [(await held(world, a)).state for a in (withdrawn, erased, new[0])] == ["withdrawn", "erased", "withdrawn"]
    for authorisation in (withdrawn, erased, new[0]):
        acknowledgement = await world.ledger.withdraw(authorisation, "withdrawn")
        assert acknowledgement == await world.ledger.withdraw(authorisation, "withdrawn")
        await world.ledger.proof(acknowledgement.leaf_index)
    assert await world.ledger.verify() == []


async def test_who_may_ask_is_entered_again_where_it_changed(world: World, tmp_path: Path) -> None:
    """A revocation may be among the leaves lost: nobody may ask until the register is entered again; agreements live on."""
    authorisation = await world.give()

    async def since() -> None:
        await world.ledger.delegate(RECIPIENT, "213105554", world.clock.now_ms() + 1_000)

    await restored(world, tmp_path, since)
    assert (await recovered(world, tmp_path)).register_lost
    found = await held(world, authorisation)
    assert (found.operators, found.habilitated, await world.ledger.directory()) == ((), (), [])
    await introduce_collectivity(world.ledger, world.wallet, world.clock.now_ms())
    _, answer = await world.answered(authorisation)
    assert codes(await world.release(answer)) == ["released"]


async def test_who_followed_the_events_forgets_what_it_remembers(world: World, tmp_path: Path) -> None:
    """A gate's memory may be newer than the store: after its last event comes the one that clears it, whatever numbers the lost ones
    had."""
    last: list[int] = []

    async def since() -> None:
        await _given(world, 5)
        last.append((await world.ledger.events(0, 1_000))[-1].sequence)

    await restored(world, tmp_path, since)
    await recovered(world, tmp_path)
    told = await world.ledger.events(last[0], 1_000)
    assert (bytes(16), 0) in [(event.authorisation, event.version) for event in told]


async def test_a_recovery_cut_short_goes_on_where_it_was(world: World, tmp_path: Path) -> None:
    """Chunk after chunk, each in a process of its own: still recovering in between, and nothing is read back twice."""
    authorisation = await world.give()

    async def since() -> None:
        grow(world, 1_500)
        await world.ledger.withdraw(authorisation, "withdrawn")
        grow(world, 1_000)

    await restored(world, tmp_path, since)
    steps: list[Recovered] = []
    while not steps or steps[-1].went_on:
        steps.append(await world.ledger.recover(str(tmp_path)))
        world.restart()
        if steps[-1].missing or len(steps) == 1:
            await anchored(world, tmp_path)
            with pytest.raises(Recovering):
                await world.ledger.lookup([authorisation])
    assert [(step.reread, step.missing) for step in steps] == [(1_000, 1_501), (1_000, 501), (501, 0), (0, 0)]
    assert (await held(world, authorisation)).state is State.WITHDRAWN
    assert await world.ledger.verify() == []


async def test_only_the_log_itself_is_read_back(world: World, tmp_path: Path) -> None:
    """A checkpoint or bundle cut, flipped or missing, a store with a history of its own: refused, nothing changed, still recovering. A
    hash tile spoilt changes nothing: it is the leaves that must lead to the signed head."""
    await restored(world, tmp_path / "log", lambda: _grown(world, 300))
    await anchored(world, tmp_path / "log")
    before, whole, spoilt = backup(world), files(tmp_path / "log"), tmp_path / "spoilt"
    size = publish.head(whole["checkpoint"].decode()).size
    needed = {tiles.entries_path(tile) for tile in tiles.tiles(size) if tile.level == 0} | {"checkpoint"}
    assert needed | {"tile/0/000", "tile/1/000.p/1"} <= set(whole) and len(needed) == 3
    for name, content in whole.items():
        flipped = content[:-9] + bytes([content[-9] ^ 1]) + content[-8:]
        for change in (content[: len(content) // 2], flipped, b""):
            shutil.copytree(tmp_path / "log", spoilt)
            (spoilt / name).write_bytes(change)
            if name in needed:
                with pytest.raises(Refused, match=Code.LOG_UNUSABLE):
                    await recovered(world, spoilt)
                assert backup(world) == before, name
            else:
                assert (await recovered(world, spoilt)).reread == 300
                restore(world, before)
            shutil.rmtree(spoilt)
    assert await world.ledger.recover(str(tmp_path / "nowhere")) == Recovered(missing=300)
    grow(world, 1)
    with pytest.raises(Refused, match=Code.LOG_UNUSABLE):
        await recovered(world, tmp_path / "log")
    restore(world, before)
    assert (await recovered(world, tmp_path / "log")).reread == 300


async def test_a_witness_alone_may_know_better(world: World, tmp_path: Path) -> None:
    """The folder is as old as the backup, the witness is not: recovering, saying how much is missing, until a newer copy is given.
    A head offered to a witness lies in the folder with its tiles before the witness sees it."""
    server = a_witness(tmp_path, world.keys.verifier)
    place = Place("http://witness.test", server.witness)
    async with http_to(server) as http:
        log = public(world, tmp_path / "log", place, http=http)
        await log.step()
        old = tmp_path / "old"
        shutil.copytree(tmp_path / "log", old)
        saved, authorisation = backup(world), await world.give()
        (tmp_path / "log" / "checkpoint").rename(
            tmp_path / "kept"
        )  # the step stops between the witness and its own seal
        text = await world.ledger.checkpoint()
        await public(world, tmp_path / "log", place, http=http).step()
        offered = publish.published(tmp_path / "log", publish.OFFERED)
        assert offered is not None and publish.head(offered) == publish.head(text)
        await _ask(world, http, place, text)
        (tmp_path / "kept").replace(tmp_path / "log" / "checkpoint")
        restore(world, saved)
        await public(world, old, place, http=http).start()
        assert await world.ledger.missing() == 1
        with pytest.raises(Recovering):
            await world.ledger.lookup([authorisation])
        assert (await recovered(world, old)).missing == 1
        await public(world, tmp_path / "log", place, http=http).start()
        assert await world.ledger.missing() == 0
        await _ask(world, http, place, await world.ledger.checkpoint())


async def _ask(world: World, http: httpx.AsyncClient, place: Place, text: str) -> None:
    """The witness cosigns this head: it follows from all it has seen."""
    tree = Tree(publish.head(text).size, world.ledger.source().hashes)
    await witnesses.ask(http, place, text, tree.consistency, world.clock.now_ms() // 1000, 0)


async def test_two_histories_are_never_served(world: World, tmp_path: Path) -> None:
    """A head of ours that the log, already longer, does not lead to: nothing is answered or signed; withdrawals bind."""
    await world.ledger.checkpoint()
    saved = backup(world)
    grow(world, 2)
    other = await world.ledger.checkpoint()
    restore(world, saved)
    authorisation = await world.give()
    await world.give()
    await world.ledger.anchor(other)
    for _ in range(2):
        with pytest.raises(Recovering):
            await world.ledger.lookup([authorisation])
        with pytest.raises(Unavailable):
            await world.ledger.checkpoint()
        with pytest.raises(Recovering):
            await world.ledger.withdraw(authorisation, "withdrawn")
        world.restart()
    assert not await world.ledger.has_key(authorisation)


async def test_callers_over_the_socket_are_told(world: World, tmp_path: Path) -> None:
    """The process's own clients: `Recovering`, with or without `recorded`; recovery is asked for there too."""
    authorisation = await world.give()
    await restored(world, tmp_path / "log", lambda: _given(world, 2))
    await anchored(world, tmp_path / "log")
    service, client = Service(world.ledger, tmp_path / "ledger.sock"), connect(tmp_path / "ledger.sock")
    await service.start()
    try:
        with pytest.raises(Recovering) as looked:
            await client.lookup([authorisation])
        with pytest.raises(Recovering) as withdrew:
            await client.withdraw(authorisation, "withdrawn")
        assert (looked.value.recorded, withdrew.value.recorded) == (False, True)
        shutil.copytree(tmp_path / "log", tmp_path / "broken")
        (tmp_path / "broken" / "checkpoint").write_bytes(b"\xff")
        with pytest.raises(Refused, match=Code.LOG_UNUSABLE):
            await client.recover(str(tmp_path / "broken"))
        assert (await client.recover(str(tmp_path / "log"))).applied == 1
        assert (await client.withdraw(authorisation, "withdrawn")).state is State.WITHDRAWN
    finally:
        await hang_up(client)
        await service.stop()


def test_leaves_read_back_lead_where_the_table_leads() -> None:
    """Every state and every kind: the state is the table's, and a key that was made or used since the backup is never kept."""
    for state in State:
        for happening in Happening:
            change = reread(state, happening.value)
            assert (change.state if change else state) is replay([happening], state)
            assert change is None or change.terms or change.keys.value.startswith("destroy")
        released, newer = reread(state, "released"), reread(state, "a kind of a later version")
        assert released is not None and (released.uses, released.keys.value, released.state) == (1, "destroy", state)
        assert newer is not None and not newer.terms
    for kind in set(_kinds()) - set(Happening) - {"released", "unknown"}:
        assert all(reread(state, kind) is None for state in State), f"{kind}: what does it do to an older store?"
    assert {state for state in State if state in CLOSED} >= set(CLOSINGS.values())


def _kinds() -> list[str]:
    """Every kind a leaf may have."""
    fields = {field["name"]: field["type"] for field in catalogue().codec("ledger-fact").schema["fields"]}
    return list(fields["kind"]["symbols"])


# The command


@contextmanager
def ledger_running(data: Path) -> Iterator[None]:
    """`accord ledger run`, ended as a service is."""
    argv = [sys.executable, "-m", "exchange.cli", "ledger", "run", "--data", str(data), "--json"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert any(line == '{"ready": "ledger"}\n' for line in process.stdout)
        yield
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


def accord(*words: str) -> tuple[int, dict[str, Any]]:
    """A command's exit code and last line of JSON."""
    argv = [sys.executable, "-m", "exchange.cli", *words, "--json"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, json.loads(done.stdout.splitlines()[-1])


def test_a_ledger_restored_without_its_public_log_is_given_a_copy(tmp_path: Path) -> None:
    """An old store beside the newer checkpoint alone: the process starts, doctor and every command say what to do; given a copy of the
    log it recovers, says what people must enter again, and serves."""
    data, where = tmp_path / "bus", ("--data", str(tmp_path / "bus"))
    store, log = data / "ledger" / "ledger.db", data / "log"
    with ledger_running(data):
        pass
    saved = store.read_bytes()
    with ledger_running(data):
        assert accord("ledger", "introduce", *where)[0] == 0
        size = accord("ledger", "verify", *where)[1]["size"]
        deadline_s = monotonic() + 60
        while publish.head((log / "checkpoint").read_text()).size < size:
            assert monotonic() < deadline_s
            sleep(0.05)
    shutil.copytree(log, tmp_path / "copy")
    shutil.rmtree(log / "tile")
    store.write_bytes(saved)
    assert accord("ledger", "checkpoint", *where)[1]["error"] in ("recovering", "unavailable")
    with ledger_running(data):
        code, told = accord("ledger", "introduce", *where)
        assert (code, told["error"]) == (4, "recovering")
        assert accord("doctor", *where)[0] == 4
        assert accord("ledger", "recover", *where)[1]["error"] == "log_unusable"
        code, found = accord("ledger", "recover", str(tmp_path / "copy"), *where)
        assert (code, found["missing"], found["register_lost"]) == (0, 0, True) and found["reread"] > 0
        assert accord("ledger", "introduce", *where)[0] == 0
        assert accord("ledger", "verify", *where)[1]["ok"] is True
