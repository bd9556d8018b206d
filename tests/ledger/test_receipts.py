"""Receipts as the ledger gives them, and their verification offline: what is said is what the leaves hold, no bit to spare."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from consent import paper, verify, verify_receipt
from consent.client import connect, hang_up
from consent.core import record
from consent.core.facts import State
from consent.core.record import Document
from consent.keys import ephemeral
from consent.receipts import read_parties
from consent.service import Service
from consent.verify import Pending
from exchange.core.errors import Code
from exchange.introduction import record as record_agreement
from exchange.introduction import terms
from exchange.ports import Refused
from tests.receipts import (
    COUNTER,
    DAY_MS,
    NOTICE,
    WITNESS,
    cosigned,
    give,
    holds,
    lived,
    now_s,
    policy,
    proven,
    resigned,
)
from tests.vouching import Login, issuers
from tests.world import JEANNE, OPERATOR, RECIPIENT, World

ROOT = Path(__file__).parents[2]


async def test_a_receipt_tells_a_whole_life(world: World) -> None:
    """Given at the counter, narrowed, withdrawn: each event with its time and entry, the terms as they stand, the state; the person
    as a reference, never by name."""
    a = await lived(world)
    text = await world.ledger.receipt(a)
    found = proven(world, text.encode())
    assert found.life is not None and found.document is not None
    assert [event.kind for event in found.life.events] == ["given", "narrowed", "withdrawn"]
    assert found.life.state is State.WITHDRAWN and found.life.terms.scopes == ("cnaf_enfants", "cnaf_quotient_familial")
    assert (found.form, found.kind, found.leaf_index) == ("json-ld", "given", found.life.events[0].leaf_index)
    for word in ("MARTIN", "Jeanne", "1980-01-02"):
        assert word not in text


async def test_a_receipt_counts_the_uses_so_far(world: World) -> None:
    """Uses are the ledger's, at the time of the receipt."""
    a = await world.give()
    _, answer = await world.answered(a)
    await world.told(answer)
    document = record.parse(await world.ledger.receipt(a))
    assert document["dpv:hasRecordOfActivity"]["accord:uses"] == 1


async def test_a_refusal_has_a_receipt_and_an_erasure_has_none(world: World) -> None:
    """No is a fact like yes. After an erasure no new receipt can be made, and the old one still verifies."""
    refusal = b"r" * 16
    await world.ledger.refuse(refusal, terms(RECIPIENT, world.clock.now_ms()), COUNTER)
    assert proven(world, (await world.ledger.receipt(refusal)).encode()).kind == "refused"
    a = await world.give()
    old = (await world.ledger.receipt(a)).encode()
    await world.ledger.withdraw(a, "erased")
    with pytest.raises(Refused, match=Code.ERASED):
        await world.ledger.receipt(a)
    assert proven(world, old).kind == "given"
    with pytest.raises(Refused, match=Code.AUTHORISATION_UNKNOWN):
        await world.ledger.receipt(bytes(16))


async def test_a_receipt_is_final_once_a_witness_has_seen_it(world: World) -> None:
    """Pending while the log alone answers for it, and refused where a quorum is asked for; final with a trusted cosignature; a
    verifier that knows no witness says so."""
    a = await give(world)
    before = (await world.ledger.receipt(a)).encode()
    assert proven(world, before).status == "pending" and b'"accord:status": "pending"' in before
    with pytest.raises(Pending):
        proven(world, before, quorum=1)
    await cosigned(world)
    after = (await world.ledger.receipt(a)).encode()
    assert proven(world, after, quorum=1).status == "final" and proven(world, after).witnesses == (WITNESS.name,)
    assert b'"accord:status": "final"' in after
    alone = verify.policy(str(world.keys.verifier))
    assert verify_receipt.verify(after, alone, now_s(world)).status == "unwitnessed"


async def test_the_machine_form_is_the_plain_standard(world: World) -> None:
    """The tlog-proof in a receipt verifies on its own, with the verifier that knows nothing of receipts; its leaf is the agreement."""
    document = record.parse(await world.ledger.receipt(await lived(world)))
    text = paper.act_proof(document)
    assert verify.verify(text.encode(), policy(world), now_s(world)).leaf_index == document["accord:entry"]
    found = proven(world, text.encode())
    assert (found.form, found.kind, found.life) == ("tlog-proof", "given", None)


async def test_every_flipped_bit_of_a_receipt_is_refused() -> None:
    """I7: each byte of the JSON-LD with one bit flipped, the bit changing along: refused, or the very same document (a space)."""
    world = await World.open()
    text = (await world.ledger.receipt(await lived(world))).encode()
    good = record.parse(text.decode())
    for at in range(len(text)):
        changed = bytearray(text)
        changed[at] ^= 1 << at % 8
        if holds(world, bytes(changed)):
            assert json.dumps(record.parse(changed.decode())) == json.dumps(good), at


async def test_every_flipped_bit_of_the_machine_form_is_refused() -> None:
    """I7: a tlog-proof whose signers are all known."""
    world = await World.open()
    a = await give(world)
    await cosigned(world)
    text = paper.act_proof(record.parse(await world.ledger.receipt(a))).encode()
    assert proven(world, text, quorum=1).status == "final"
    for bit in range(len(text) * 8):
        changed = bytearray(text)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(verify.BadReceipt):
            proven(world, bytes(changed), quorum=1)


def paths(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a document."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(found for key, part in inner for found in paths(part, (*at, key)))]


HELD: list[tuple[World, str]] = []
"""One ledger and its receipt, for all the examples."""


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
async def test_any_change_of_meaning_is_refused(data: st.DataObject) -> None:
    """Any value of any field replaced, removed or added to: the signature over the rest does not hold."""
    if not HELD:
        world = await World.open()
        HELD.append((world, await world.ledger.receipt(await give(world))))
    world, text = HELD[0]
    document = record.parse(text)
    *to, last = data.draw(st.sampled_from(paths(document)[1:]))
    target: Any = document
    for key in to:
        target = target[key]
    before = json.dumps(document, sort_keys=True)
    if data.draw(st.booleans()):
        del target[last]
    else:
        target[last] = data.draw(st.sampled_from(["", "x", 0, 1, True, None, [], {}, "2030-01-01T00:00:00.000Z"]))
    assert holds(world, record.dump(document).encode()) == (json.dumps(document, sort_keys=True) == before)


LIES: dict[str, Callable[[Document, Document], Any]] = {
    "purpose": lambda r, p: p["dpv:hasPurpose"].update({"dct:identifier": "autre"}),
    "scope added": lambda r, p: p["dpv:hasPersonalData"].append({"dct:identifier": "cnaf_adresse"}),
    "scope removed": lambda r, p: p["dpv:hasPersonalData"].pop(),
    "end": lambda r, p: p["accord:notAfter"].update({"@value": "2030-01-01T00:00:00.000Z"}),
    "uses": lambda r, p: p.update({"accord:maximumUses": 7}),
    "retention": lambda r, p: p["dpv:hasStorageCondition"][1].update({"dpv:hasDuration": "P9D"}),
    "data set": lambda r, p: p.update({"accord:dataSet": "autre.v1"}),
    "controller": lambda r, p: r.update({"dpv:hasDataController": "urn:siret:21750001600019"}),
    "basis": lambda r, p: r["dpv:hasLegalBasis"].update({"accord:basis": "legal"}),
    "notice": lambda r, p: r["dpv:hasNotice"].update({"@id": "urn:sha256:" + "00" * 32}),
    "channel": lambda r, p: r["accord:collected"].update({"accord:channel": "online"}),
    "agent": lambda r, p: r["accord:collected"].update({"accord:agent": "agent-8"}),
    "state": lambda r, p: r.update({"accord:state": "live"}),
    "event": lambda r, p: r["dpv:hasConsentStatus"].pop(),
    "time": lambda r, p: r["dpv:hasConsentStatus"][0].update({"dpv:isIndicatedAtTime": "2020-01-01T00:00:00.000Z"}),
}


@pytest.mark.parametrize("lie", LIES)
async def test_even_the_ledger_cannot_say_what_its_leaves_do_not(world: World, lie: str) -> None:
    """A document that the log's own key signed again is refused where it says other than what the leaves commit to."""
    text = await world.ledger.receipt(await lived(world))
    assert holds(world, resigned(world, text, lambda document: None))

    def tell(document: Document) -> None:
        told = document["dpv:hasRecordOfActivity"]
        LIES[lie](told, told["dpv:hasProcess"])

    assert not holds(world, resigned(world, text, tell))


async def test_contents_open_their_own_leaves_only(world: World) -> None:
    """Salt or content of another fact, facts in another order, one left out in the middle, another person's: refused."""
    text, other = await world.ledger.receipt(await lived(world)), await world.ledger.receipt(await give(world))
    theirs = record.parse(other)["accord:proof"]["facts"]
    for change in (
        lambda facts: facts[0].update({"salt": facts[1]["salt"]}),
        lambda facts: facts[0].update({"content": facts[0]["content"].replace("cantine", "piscine")}),
        lambda facts: facts.reverse(),
        lambda facts: facts.pop(0),
        lambda facts: facts.pop(1),
        lambda facts: facts.append(theirs[0]),
        lambda facts: facts.clear(),
    ):
        assert not holds(world, resigned(world, text, lambda d, change=change: change(d["accord:proof"]["facts"])))  # type: ignore[misc]


async def test_a_signature_more_is_not_what_the_log_signed(world: World) -> None:
    """A signed note passes over unknown signatures; a statement does not: every bit of it counts."""
    document = record.parse(await world.ledger.receipt(await give(world)))
    statement = document["accord:proof"]["statement"]
    document["accord:proof"]["statement"] = statement + "— stranger.test/x " + "A" * 92 + "\n"
    assert not holds(world, record.dump(document).encode())


async def test_another_log_is_refused(world: World) -> None:
    """Another key under the same name, another name under the same key."""
    text = (await world.ledger.receipt(await give(world))).encode()
    for keys in (ephemeral(world.keys.origin), ephemeral("accord.test/other")):
        with pytest.raises(verify.BadReceipt):
            verify_receipt.verify(text, verify.Policy(keys.verifier), now_s(world))
    with pytest.raises(verify.BadReceipt):
        verify_receipt.verify(text, verify.Policy(world.keys.verifier._replace(name="accord.test/other")), now_s(world))


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([b"", b"{", b"%PDF-1.7\n", b"c2sp.org/tlog-proof@v1\n"]), st.binary(max_size=400))
async def test_any_bytes_are_refused(start: bytes, rest: bytes) -> None:
    """Whatever they begin like, nothing raises but BadReceipt."""
    with pytest.raises(verify.BadReceipt):
        verify_receipt.verify(start + rest, verify.Policy(KEYS.verifier), 1_700_000_000)


KEYS = ephemeral("accord.test/log")


def test_deep_documents_are_refused() -> None:
    """Nested as deep as the parser goes: BadReceipt, not a RecursionError."""
    for depth in (900, 5_000, 100_000):
        with pytest.raises(verify.BadReceipt):
            verify_receipt.verify(b'{"a":' + b"[" * depth + b"]" * depth + b"}", verify.Policy(KEYS.verifier), 0)


async def test_a_renewal_and_an_expiry_are_told(world: World) -> None:
    """The life goes on in the same receipt: expired, then renewed with more time."""
    a = await give(world, not_after_ms=world.clock.now_ms() + DAY_MS)
    world.clock.advance(2 * DAY_MS)
    await world.ledger.sweep()
    expired = proven(world, (await world.ledger.receipt(a)).encode())
    assert expired.life is not None and expired.life.state is State.EXPIRED
    await world.ledger.renew(a, terms(RECIPIENT, world.clock.now_ms(), **NOTICE), COUNTER, OPERATOR)
    found = proven(world, (await world.ledger.receipt(a)).encode())
    assert found.life is not None and found.life.state is State.LIVE
    assert [event.kind for event in found.life.events] == ["given", "expired", "renewed"]


async def test_an_identity_providers_word_is_not_in_a_receipt(world: World) -> None:
    """Tokens that name the person have a leaf of their own, which a receipt leaves closed: the act is opened and nobody is named."""
    world.ledger.issuers = issuers
    login = Login(world.clock.now_ms(), terms(RECIPIENT, world.clock.now_ms()), os.urandom(16))
    await record_agreement(world.ledger, world.wallet, login.authorisation, login.terms, JEANNE, login.evidence())
    a = login.authorisation
    text = await world.ledger.receipt(a)
    assert "MARTIN" not in text and b"MARTIN" not in paper.draw(record.parse(text), "fr")
    assert [entry.kind for entry in await world.ledger.entries(a)] == ["vouched", "given"]
    assert proven(world, text.encode()).kind == "given"


def test_organisations_are_read_from_a_file(tmp_path: Path) -> None:
    """Names by number, each field optional; no file, no names; a file that is not one is a ValueError."""
    path = tmp_path / "organisations.json"
    assert read_parties(path) == {}
    path.write_text(json.dumps({"21130055300016": {"name": "Ville d'Aubagne"}}), "utf-8")
    assert read_parties(path)["21130055300016"].name == "Ville d'Aubagne"
    for bad in ("[]", "{", '{"1": {"nom": "x"}}', '{"1": 2}'):
        path.write_text(bad, "utf-8")
        with pytest.raises(ValueError):
            read_parties(path)


def test_the_verifier_needs_no_store_and_no_network() -> None:
    """Imported alone it brings the cores, the schemas and `cryptography`: an auditor's machine needs nothing of ours running."""
    code = (
        "import sys, consent.verify_receipt; "
        "print(*sorted({m.split('.')[0] for m in sys.modules} & {'sqlalchemy', 'httpx', 'typst', 'pikepdf', 'starlette', 'faust'}), "
        "*sorted(m for m in sys.modules if m.startswith('consent.') and '.core' not in m))"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["consent.verify", "consent.verify_receipt"]


async def test_the_door_gives_receipts(world: World, tmp_path: Path) -> None:
    """Through its socket as in process."""
    a = await give(world)
    service = Service(world.ledger, tmp_path / "s")
    await service.start()
    client = connect(tmp_path / "s")
    try:
        assert proven(world, (await client.receipt(a)).encode()).kind == "given"
        with pytest.raises(Refused):
            await client.receipt(bytes(16))
    finally:
        await hang_up(client)
        await service.stop()
