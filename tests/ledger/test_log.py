"""The log, and what a crash leaves of a transaction."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import Connection, delete, event, select, text, update

from consent.core import merkle, note
from consent.core.facts import (
    Confirmation,
    DeadLetter,
    State,
    Submission,
)
from consent.ledger import Ledger
from consent.stores import batch
from consent.stores import tables as t
from exchange.core.errors import Code
from exchange.ports import Refused, Unavailable
from tests.world import OPERATOR, PAUL, RECIPIENT, World, codes, held, log_size

QUOTIENT_ONLY = ("cnaf_quotient_familial",)


async def test_entries_say_what_happened_in_order(world: World) -> None:
    """Given, released, refused, withdrawn: one line each, by index, without content."""
    a = await world.give()
    (_, one), (late, two) = await world.answered(a), await world.answered(a)
    await world.told(one)
    await world.ledger.withdraw(a, "withdrawn")
    await world.told(two)
    entries = await world.ledger.entries(a)
    assert [e.kind for e in entries] == ["given", "released", "withdrawn", "refused"]
    assert entries[-1].request == late.key.request and entries[-1].code == Code.WITHDRAWN


async def test_verify_finds_a_changed_leaf(world: World) -> None:
    """A leaf, a hash or an index changed under the ledger is named."""
    await world.give()
    assert await world.ledger.verify() == []
    size, c = await log_size(world), t.leaf.c
    tampering = {
        "leaf 1: hash": update(t.leaf).where(c.idx == 1).values(leaf=b"rewritten"),
        "root does not follow from the leaves": update(t.leaf)
        .where(c.idx == 1)
        .values(leaf=b"rewritten", hash=merkle.leaf_hash(b"rewritten")),
        "indexes are not contiguous": delete(t.leaf).where(c.idx == size - 1),
    }
    for problem, statement in tampering.items():
        other = await World.open()
        await other.give()
        with other.engine.begin() as connection:
            connection.execute(statement)
        assert await other.ledger.verify() == [problem]


async def test_checkpoints_are_signed_and_consistent_as_the_log_grows(world: World) -> None:
    """Every checkpoint ever signed is a prefix of every later one, across restarts."""
    heads = []
    for number in range(6):
        await world.give()
        heads.append(note.parse_checkpoint(note.verify(await world.ledger.checkpoint(), world.keys.verifier)))
        if number % 2:
            world.restart()
    with world.engine.begin() as connection:
        hashes = [row.hash for row in connection.execute(select(t.leaf.c.hash).order_by(t.leaf.c.idx))]
    for old in heads:
        assert old.origin == world.keys.origin
        for new in heads:
            if old.size <= new.size:
                path = merkle.consistency_path(hashes[: new.size], old.size)
                merkle.verify_consistency(old.size, new.size, path, old.root, new.root)


async def test_no_leaf_names_an_authorisation_or_a_request(world: World) -> None:
    """Public leaves hold salted commitments: no id, no code, no scope in clear."""
    a = await world.give()
    asked, answer = await world.answered(a)
    await world.told(answer)
    with world.engine.begin() as connection:
        leaves = b"".join(row.leaf for row in connection.execute(select(t.leaf.c.leaf)))
    assert [s in leaves for s in (a, asked.key.request, asked.digest, b"cnaf", RECIPIENT.encode())] == [False] * 5


async def test_proving_a_leaf_that_is_not_there_is_refused(world: World) -> None:
    """An index outside the log has no proof."""
    for index in (-1, await log_size(world), 10**9):
        with pytest.raises(ValueError):
            await world.ledger.proof(index)


class Crash(Exception):
    """The process dies here."""


@pytest.mark.parametrize("method", ["grant", "attempt", "release", "narrow", "sweep"])
async def test_a_crash_inside_a_transaction_leaves_nothing(world: World, method: str) -> None:
    """An exception at each statement of each transaction: the store is as before, and asking again succeeds."""
    await world.give(not_after_ms=world.clock.now_ms() + 10)  # for the sweep
    a = await world.give()
    _, answer = await world.answered(a)
    world.clock.advance(10)
    fresh = world.ask(a)
    calls = {
        "grant": lambda: world.give(PAUL),
        "attempt": lambda: world.attempt(fresh),
        "release": lambda: world.release(answer),
        "narrow": lambda: world.ledger.narrow(a, QUOTIENT_ONLY, OPERATOR),
        "sweep": lambda: world.ledger.sweep(),
    }
    before, crashed = dump(world), 0
    for position in range(100):
        disarm = crash_at(world, position)
        try:
            await calls[method]()
            break
        except Crash:
            crashed += 1
            assert dump(world) == before
        finally:
            disarm()
    assert crashed >= 2
    assert dump(world) != before
    assert await world.ledger.verify() == []


async def test_a_crash_inside_a_withdrawal_leaves_nothing_or_a_binding_one(world: World) -> None:
    """At each statement: either the store is as before, or the key is gone; asking again acknowledges."""
    seen = set()
    for position in range(100):
        a = await world.give()
        _, answer = await world.answered(a)
        await world.told(answer)
        before, disarm = dump(world), crash_at(world, position)
        try:
            await world.ledger.withdraw(a, "withdrawn")
            break
        except Crash:
            disarm()
            binding = dump(world) != before
            seen.add(binding)
            assert await world.ledger.has_key(a) is not binding
            assert (await world.ledger.withdraw(a, "withdrawn")).named == (answer.key.request,)
        finally:
            disarm()
    assert seen == {False, True}
    assert await world.ledger.verify() == []


def dump(world: World) -> list[str]:
    """Everything the store holds."""
    with world.engine.begin() as connection:
        return [repr(row) for table in t.metadata.sorted_tables for row in connection.execute(select(table))]


def crash_at(world: World, position: int) -> Callable[[], None]:
    """Raise after the write of that number, by SQLAlchemy or beneath it; returns what takes the trap away, once or twice."""
    seen, beneath = itertools.count(), {name: getattr(batch, name) for name in ("execute", "execute_many", "fetch")}

    def after(_c: object, _k: object, statement: str, *_: object) -> None:
        if statement.startswith(("INSERT", "UPDATE", "DELETE")) and next(seen) == position:
            raise Crash

    def watched(work: Callable[..., Any]) -> Callable[..., Any]:
        def then(connection: Connection, statement: str, *values: Any) -> Any:
            done = work(connection, statement, *values)
            after(None, None, statement)
            return done

        return then

    def put(works: Mapping[str, Callable[..., Any]]) -> None:
        for name, work in works.items():
            setattr(batch, name, work)

    def disarm() -> None:
        put(beneath)
        if event.contains(world.engine, "after_cursor_execute", after):
            event.remove(world.engine, "after_cursor_execute", after)

    put({name: watched(work) for name, work in beneath.items()})
    event.listen(world.engine, "after_cursor_execute", after)
    return disarm


async def test_a_store_that_fails_is_unavailable(world: World) -> None:
    """An error of the store says nothing is known, never yes or no; nothing personal is in its text."""
    a = await world.give()
    with world.engine.begin() as connection:
        connection.execute(text("DROP TABLE acknowledgement"))
    with pytest.raises(Unavailable, match="^ledger store: (Operational|Programming)Error$"):
        await world.ledger.withdraw(a, "withdrawn")


async def test_a_read_that_fails_is_unavailable_too(world: World) -> None:
    """What is asked of the driver beneath SQLAlchemy fails in the same words, and the next call is answered."""
    a = await world.give()
    with world.engine.begin() as connection:
        connection.execute(text("ALTER TABLE habilitation RENAME TO elsewhere"))
    with pytest.raises(Unavailable, match="^ledger store: (Operational|Programming)Error$"):
        await world.ledger.lookup([a])
    with world.engine.begin() as connection:
        connection.execute(text("ALTER TABLE elsewhere RENAME TO habilitation"))
    (found,) = await world.ledger.lookup([a])
    assert found is not None and found.id == a


async def test_two_requests_of_other_authorisations_do_not_meet(world: World) -> None:
    """The same request id under two authorisations is two requests."""
    a, b = await world.give(), await world.give(PAUL)
    asked, one = await world.answered(a)
    _, two = await world.answered(b, request=asked.key.request)
    assert codes(await world.release(one, two)) == ["released", "released"]


async def test_what_is_overdue_is_told(world: World) -> None:
    """Released and unconfirmed for longer than asked: an alarm. Confirmed, refused, not ended, younger or unknown: none."""
    a, withdrawn = await world.give(), await world.give()
    (_, sent), (_, held), (_, waits) = [await world.answered(of) for of in (a, withdrawn, a)]
    await world.ledger.withdraw(withdrawn, "withdrawn")
    outcome = await world.told(sent)
    assert codes(await world.release(held)) == ["refused"]
    asked = [Submission(one.key, one.digest) for one in (sent, held, waits)]
    asked.append(Submission(sent.key, bytes(32)))
    world.clock.advance(60_000)
    assert await world.ledger.overdue(asked, 60_000) == [False] * 4
    world.clock.advance(1)
    assert await world.ledger.overdue(asked, 60_000) == [True, False, False, False]
    await world.confirm(outcome)
    assert await world.ledger.overdue(asked, 60_000) == [False] * 4


async def test_events_carry_growing_versions(world: World) -> None:
    """Each change of an authorisation is one line of the outbox, in order, with a greater version."""
    a = await world.give(max_uses=1)
    _, answer = await world.answered(a)
    await world.told(answer)
    await world.ledger.withdraw(a, "withdrawn")
    events = [e for e in await world.ledger.events(0, 1_000) if e.authorisation == a]
    assert [e.state for e in events] == ["live", "used_up", "withdrawn"]
    assert [e.version for e in events] == [1, 2, 3]
    assert await world.ledger.events(events[-1].sequence, 10) == []


async def test_a_directory_entry_nobody_signed_is_refused(world: World) -> None:
    """A key enters the directory only with its organisation's signature; it leaves countersigned."""
    entry = world.wallet.entry(world.clock.now_ms() + 1_000)
    signed = await world.ledger.enter(entry)
    assert signed.countersignature
    for forged in (
        msgspec.structs.replace(entry, operator="130025265"),
        msgspec.structs.replace(entry, signature=bytes(64)),
        world.wallet.entry(world.clock.now_ms()),
    ):
        with pytest.raises(Refused) as refused:
            await world.ledger.enter(forged)
        assert refused.value.code == Code.CERTIFICATE_INVALID


async def test_a_confirmation_of_nothing_changes_nothing(world: World) -> None:
    """Confirming another digest than the row's, or no row at all, leaves the request open."""
    asked, answer = await world.answered(await world.give())
    outcome = await world.told(answer)
    await world.ledger.release([], [Confirmation(outcome.key, bytes(32), True)])
    assert await world.ledger.unconfirmed([Submission(asked.key, asked.digest)]) == [True]


async def test_the_scopes_stored_are_the_scopes_agreed(world: World) -> None:
    """What lookup says is what was granted, and the habilitation as it stands now."""
    a = await world.give(scopes=("cnaf_quotient_familial", "cnaf_enfants"))
    found = await held(world, a)
    assert set(found.scopes) == {"cnaf_quotient_familial", "cnaf_enfants"}
    assert (found.operators, found.state, found.uses) == ((OPERATOR,), State.LIVE, 0)
    assert set(found.scopes) <= set(found.habilitated)
    assert json.dumps(found.scopes) == json.dumps(sorted(found.scopes))


async def test_a_second_ledger_on_the_same_store_goes_on_where_the_first_stopped(tmp_path: Path) -> None:
    """Opened again from its file: same rows, same log, same keys."""
    world = await World.open(tmp_path / "ledger.sqlite")
    a = await world.give()
    _, answer = await world.answered(a)
    before = await world.ledger.checkpoint()
    world.engine.dispose()
    again = World(tmp_path / "ledger.sqlite", world.keys)
    ledger = Ledger(again.engine, world.keys, world.clock, lambda provider: world.connector.mac)
    assert await ledger.checkpoint() == before
    (outcome,) = await ledger.release([answer], [])
    assert not isinstance(outcome, DeadLetter) and codes([outcome]) == ["released"]
    assert await ledger.verify() == []
    again.engine.dispose()
